//! The waiting queue: `(max - waiting) / (max - min)`, 1 when all are equal, as in the reference.
//!
//! What the ledger knows to have been sent since the scrape counts as waiting, and both are divided
//! by the operator's weight.

use super::{Reading, range::Range, sample::Sample};

/// Scores every sample by its queue.
pub(crate) fn score(samples: &[Sample], scratch: &mut Vec<f32>, scores: &mut Vec<Reading>) {
    let known = samples
        .iter()
        .filter(|sample| sample.queue.is_known())
        .map(|sample| sample.queue.value);
    let range = Range::of(known, scratch);
    scores.clear();
    scores.extend(samples.iter().map(|sample| Reading {
        value: range.less_is_better(sample.queue.value),
        trust: sample.queue.trust,
    }));
}
