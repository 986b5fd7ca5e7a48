//! How fast an endpoint is compared with the model, from the answers that this gateway saw.
//!
//! Used only where the agent has learned nothing of the endpoint. What counts is the ratio of the
//! predicted to the observed time of whole answers, corrected by their true length: its logarithm is
//! averaged, each answer clipped, so that one odd answer moves the factor by a few percent at most.

use super::Completion;

/// Answers before the factor is used.
const LEAST_SAMPLES: u32 = 20;
/// What one answer counts once many were seen.
const WEIGHT: f32 = 0.03;
/// The greatest factor, and one over the least.
const MOST: f32 = 8.0;

/// A factor in `1/8..=8`; 1 is as modelled, 2 twice as fast.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SpeedFactor {
    samples: u32,
    log_ratio: f32,
    factor: Option<f32>,
}

impl SpeedFactor {
    /// The factor; 1 until enough was seen.
    pub(crate) fn get(&self) -> f32 {
        self.factor.unwrap_or(1.0)
    }

    /// Learns from an answer whose length is known; `mean_output` is what its prediction assumed.
    pub(crate) fn see(&mut self, completion: &Completion, mean_output: f32) {
        let estimate = completion.estimate;
        let Some(output) = completion.output_tokens.filter(|tokens| *tokens > 0) else {
            return;
        };
        let decode = (estimate.total_ms - estimate.ttft_ms) / mean_output * output as f32;
        let ratio = (estimate.ttft_ms + decode) / completion.total_ms;
        if !(ratio.is_finite() && ratio > 0.0) {
            return;
        }
        // The prediction was made with the present factor, so the ratio tells how far that is off.
        let sample = (ratio * self.get()).clamp(1.0 / MOST, MOST).ln();
        self.samples = self.samples.saturating_add(1);
        let weight = (1.0 / self.samples as f32).max(WEIGHT);
        self.log_ratio += weight * (sample - self.log_ratio);
        if self.samples >= LEAST_SAMPLES {
            self.factor = Some(self.log_ratio.exp());
        }
    }
}
