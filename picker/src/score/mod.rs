//! The scorers: what each signal says about each candidate, as a score of 0 (worst) to 1 (best).
//!
//! ```text
//!   endpoint + ledger --Sample--> queue    --+
//!                                 kv_cache --+-- faded towards the mean by age --+
//!                                 lora     --+                                   +--> sum of
//!                                 prefix   --(own knowledge, eased under load)---+    weight x score
//!                                 load     --(the ledger, gains as signals age)--+
//! ```
//!
//! Unknown is neither good nor bad: it gets the mean score of the candidates where the signal is
//! known. A claim that stands out therefore attracts, silence does not.

pub(crate) mod kv_cache;
pub(crate) mod load;
pub(crate) mod lora;
pub(crate) mod prefix;
pub(crate) mod queue;
pub(crate) mod range;
pub(crate) mod sample;

/// The score of a signal that is unknown everywhere; any constant would do.
const NEUTRAL: f32 = 0.5;

/// A value and how much it is to be believed, in `0.0..=1.0`; 0 is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Reading {
    pub(crate) value: f32,
    pub(crate) trust: f32,
}

impl Reading {
    pub(crate) const UNKNOWN: Self = Self {
        value: 0.0,
        trust: 0.0,
    };

    pub(crate) const fn new(value: f32, trust: f32) -> Self {
        Self { value, trust }
    }

    pub(crate) fn is_known(self) -> bool {
        self.trust > 0.0
    }

    /// The value pulled towards `mean` as far as it is not to be believed.
    pub(crate) fn faded(self, mean: f32) -> f32 {
        if self.is_known() {
            mean + self.trust * (self.value - mean)
        } else {
            mean
        }
    }
}

/// The mean of the values, each as much as it is to be believed; `None` when none is known.
pub(crate) fn mean(readings: impl Iterator<Item = Reading>) -> Option<f32> {
    let (sum, trust) = readings.fold((0.0, 0.0), |(sum, trust), reading| {
        (sum + reading.trust * reading.value, trust + reading.trust)
    });
    (trust > 0.0).then(|| sum / trust)
}

/// Adds `weight` times each score, faded by its age, to the totals, candidate by candidate.
pub(crate) fn add_faded(totals: &mut [f32], scores: &[Reading], weight: f32) {
    let mean = mean(scores.iter().copied()).unwrap_or(NEUTRAL);
    for (total, score) in totals.iter_mut().zip(scores) {
        *total += weight * score.faded(mean);
    }
}

/// The greater of two numbers. `f32::max` has rules for NaN that wasm knows no instruction for; it
/// becomes a call, in loops that run for every candidate.
pub(crate) fn greater(one: f32, other: f32) -> f32 {
    if one > other { one } else { other }
}

/// The lesser of two numbers; see [`greater`].
pub(crate) fn lesser(one: f32, other: f32) -> f32 {
    if one < other { one } else { other }
}

#[cfg(test)]
mod tests;
