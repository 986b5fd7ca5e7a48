//! KV-cache utilization: `1 - utilization`, as in the reference.

use super::{Reading, sample::Sample};

/// Scores every sample by the free share of its KV cache.
pub(crate) fn score(samples: &[Sample], scores: &mut Vec<Reading>) {
    scores.clear();
    scores.extend(samples.iter().map(|sample| Reading {
        value: 1.0 - sample.kv_usage.value,
        trust: sample.kv_usage.trust,
    }));
}
