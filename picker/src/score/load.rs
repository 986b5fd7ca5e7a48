//! Requests there, this one included, per unit of the operator's weight: the in-flight ledger plus
//! what the endpoint says to have beyond it.
//!
//! `load = (in flight + freshness x foreign + 1) / weight`, scored from least to greatest. Foreign
//! requests that are unknown count as the mean of the others, so that an endpoint does not look idle
//! because it is silent; when all signals have expired this is plain least in-flight.

use super::{Reading, mean, range::Range, sample::Sample};

/// Scores every sample by its load; `freshness` is that of the whole view, `0.0..=1.0`.
pub(crate) fn score(
    samples: &[Sample],
    freshness: f32,
    scratch: &mut Vec<f32>,
    loads: &mut Vec<f32>,
    scores: &mut Vec<Reading>,
) {
    let foreign = mean(samples.iter().map(|sample| sample.foreign)).unwrap_or(0.0);
    loads.clear();
    loads.extend(samples.iter().map(|sample| {
        sample.in_flight + freshness * sample.foreign.faded(foreign) + 1.0 / sample.capacity
    }));
    let range = Range::of(loads.iter().copied(), scratch);
    scores.clear();
    scores.extend(
        loads
            .iter()
            .map(|load| Reading::new(range.less_is_better(*load), 1.0)),
    );
}
