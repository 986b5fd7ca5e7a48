//! The cached part of the prompt: `matched bytes / bytes of all whole blocks`, as in the reference,
//! eased off where the load is far above the pool's.
//!
//! A prefix that everybody shares, by chance or by malice, would otherwise hold its traffic on one
//! endpoint however long the queue there: affinity outweighs queue and load together. Credit is full
//! up to the pool's mean in-flight load plus [`SLACK`] requests and gone at twice that; the requests
//! that spill over then carry the prefix to other endpoints.

use super::{Reading, lesser, sample::Sample};
use crate::policy::Round;

/// Requests above the pool's mean at which prefix credit begins to fade.
const SLACK: f32 = 4.0;

/// Scores every candidate by how much of the prompt, cut into blocks of `block_bytes`, it probably
/// holds; returns whether any holds some of it.
pub(crate) fn score(
    round: &Round<'_>,
    block_bytes: u32,
    samples: &[Sample],
    scores: &mut Vec<Reading>,
) -> bool {
    scores.clear();
    if round.matched.is_empty() {
        return false;
    }
    let all = round.facts.prefix.len().max(1) as f32 * block_bytes as f32;
    let total: f32 = samples.iter().map(|sample| sample.in_flight).sum();
    let grace = total / samples.len().max(1) as f32 + SLACK;
    let mut any = false;
    scores.extend(
        round
            .candidates
            .iter()
            .zip(samples)
            .map(|(position, sample)| {
                let matched = round.matched(*position);
                if matched == 0 {
                    return Reading::new(0.0, 1.0);
                }
                any = true;
                let load = sample.in_flight;
                let credit = (2.0 - load / grace).clamp(0.0, 1.0);
                // A turn is told to the byte and may end behind the last whole block.
                let share = lesser(matched as f32 / all, 1.0);
                Reading::new(credit * share, 1.0)
            }),
    );
    any
}
