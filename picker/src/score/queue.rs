//! The waiting queue: `(max - waiting) / (max - min)`, 1 when all are equal, as in the reference.
//!
//! `waiting` is what the endpoint says, faded towards the pool's mean by age, plus what it cannot
//! know yet, all per unit of the operator's weight. An endpoint without an account of itself counts
//! as the mean of the others, and worse by as much as it has more in flight than they: silence must
//! not switch off the ledger's pull.

use super::{Reading, greater, mean, range::Range, sample::Sample};

/// Scores every sample by its queue; returns `false`, with `scores` of no meaning, when no endpoint
/// has an account of its queue.
pub(crate) fn score(
    samples: &[Sample],
    scratch: &mut Vec<f32>,
    queues: &mut Vec<f32>,
    scores: &mut Vec<Reading>,
) -> bool {
    let Some(waiting) = mean(samples.iter().map(|sample| sample.waiting)) else {
        return false;
    };
    let unaccounted = mean(samples.iter().map(|sample| sample.unaccounted)).unwrap_or(0.0);
    let in_flight = mean(
        samples
            .iter()
            .map(|sample| Reading::new(sample.in_flight, 1.0)),
    );
    let in_flight = in_flight.unwrap_or(0.0);
    queues.clear();
    queues.extend(samples.iter().map(|sample| {
        let new = if sample.unaccounted.is_known() {
            sample.unaccounted.value
        } else {
            unaccounted + greater(sample.in_flight - in_flight, 0.0)
        };
        sample.waiting.faded(waiting) + new
    }));
    let range = Range::of(queues.iter().copied(), scratch);
    scores.clear();
    scores.extend(
        queues
            .iter()
            .map(|queue| Reading::new(range.less_is_better(*queue), 1.0)),
    );
    true
}
