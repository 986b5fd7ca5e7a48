//! How fast an endpoint is compared with what is expected of it, from the answers that this gateway
//! saw.
//!
//! ```text
//!   expected time of this answer, by the model and the present factor     e
//!   time that it took                                                     t
//!   factor <- factor * (1 + RATE * (e - t) / (e + t))
//! ```
//!
//! Answers faster than expected push the factor up, slower ones down, none by more than [`RATE`]: one
//! odd answer moves it by 2 % at most, and what it settles at is close to the median of what was seen.
//! What lies within [`NOISE`] of 1 counts as 1, because answers of equal endpoints differ as well.

use super::Completion;

/// The most that one answer moves the factor.
const RATE: f32 = 0.02;
/// The greatest factor, and one over the least.
const MOST: f32 = 8.0;
/// The factor, and one over it, that is still taken for chance.
const NOISE: f32 = 1.1;
/// Tokens after the first that tell the time of a token.
const LEAST_TOKENS: f32 = 8.0;

/// A factor in `1/8..=8`; 1 is as expected, 2 twice as fast.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speed(f32);

impl Default for Speed {
    fn default() -> Self {
        Self(1.0)
    }
}

impl Speed {
    /// The factor to reckon with.
    pub(super) fn get(self) -> f32 {
        if self.0 > NOISE {
            self.0 / NOISE
        } else if self.0 * NOISE < 1.0 {
            self.0 * NOISE
        } else {
            1.0
        }
    }

    /// Learns from an answer of which a mean length of `mean_output` tokens was expected.
    ///
    /// A streamed one tells the time of its tokens, any other only its whole time. Without a length,
    /// or when its policy expected nothing, it teaches nothing.
    pub(super) fn see(&mut self, completion: &Completion, mean_output: f32) {
        let estimate = completion.estimate;
        let Some(output) = completion.output_tokens else {
            return;
        };
        let later = output.saturating_sub(1) as f32;
        let decode_ms = (estimate.total_ms - estimate.ttft_ms) / mean_output * later;
        let (expected, took) = match completion.first_token_ms {
            Some(first_ms) if later >= LEAST_TOKENS => (decode_ms, completion.total_ms - first_ms),
            _ => (estimate.ttft_ms + decode_ms, completion.total_ms),
        };
        let plausible = 0.01..=1e9;
        if estimate.total_ms > 0.0 && plausible.contains(&expected) && plausible.contains(&took) {
            let step = RATE * (expected - took) / (expected + took);
            self.0 = (self.0 * (1.0 + step)).clamp(1.0 / MOST, MOST);
        }
    }
}
