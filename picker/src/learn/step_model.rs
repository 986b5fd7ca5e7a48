//! The costs of an engine's step, learned from its counters.
//!
//! ```text
//!   window   >= 1 s in which the engine was never idle, from its counters
//!      |     step time = seconds / steps,  steps = generated tokens / mean running
//!      v
//!   step time = base * 1 + token * (tokens per step) + kv_token * (KV tokens attended)
//!
//!   least squares over the last minute or so, drawn towards   scale x the default model
//! ```
//!
//! An engine under steady load shows the same step over and over: such windows tell how fast it is,
//! not which of the three coefficients makes it so. Hence the pull towards the default model times one
//! common scale: where the windows differ enough they decide each coefficient, where they do not, only
//! the scale is learned. Windows shorter than a second are refused. The scheduling study learned from
//! windows of 10 ms and nearly doubled a mixed pool's time per token.

use crate::step_model::StepModel;

/// The shortest window that is learned from, in seconds.
const LEAST_SECONDS: f64 = 1.0;
/// The greatest factor, and one over the least, by which a coefficient may differ from the default.
const MOST_FACTOR: f64 = 8.0;
/// Windows before which nothing is said.
const LEAST_WINDOWS: f64 = 5.0;
/// What a window still counts when the next one comes: the last 50 windows decide.
const KEEP: f64 = 0.98;
/// How strongly the coefficients are drawn towards the common scale, in windows.
const PULL: f64 = 0.05;
/// By which factor a window may differ from what is expected of it and still count in full.
const MOST_SURPRISE: f64 = 2.0;

/// What an engine did in a stretch of time without an idle moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// The length of the window, at least 1.
    pub seconds: f64,
    /// Tokens generated in it.
    pub generated_tokens: f64,
    /// Prompt tokens computed in it, those found in the cache left out.
    pub computed_prompt_tokens: f64,
    /// Requests that ran, on average over the window.
    pub mean_running: f64,
    /// Tokens in the KV cache, on average over the window.
    pub mean_kv_tokens: f64,
}

/// Learns one engine's [`StepModel`].
#[derive(Debug, Clone)]
pub struct StepModelLearner {
    default: StepModel,
    /// Windows seen, older ones counting less.
    windows: f64,
    /// The mean step time over the one that the default model expects.
    scale: f64,
    /// The normal equations of `row * factors = ratio`: the upper half of `sum(row row^T)`, and
    /// `sum(row * ratio)`.
    matrix: [f64; 6],
    vector: [f64; 3],
}

impl Default for StepModelLearner {
    fn default() -> Self {
        Self::new(StepModel::default())
    }
}

impl StepModelLearner {
    /// A learner that starts from `default`, whose coefficients must be finite and above 0.
    #[must_use]
    pub fn new(default: StepModel) -> Self {
        Self {
            default,
            windows: 0.0,
            scale: 1.0,
            matrix: [0.0; 6],
            vector: [0.0; 3],
        }
    }

    /// Learns from a window; one that makes no sense, is too short or has less than one generated
    /// token or one running request teaches nothing.
    pub fn window(&mut self, window: Window) {
        let Some((row, ratio)) = self.row(window) else {
            return;
        };
        let ratio = self.believable(row, ratio);
        let [base, token, kv] = row;
        self.windows = self.windows * KEEP + 1.0;
        self.scale += (ratio - self.scale) / self.windows;
        let products = [
            base * base,
            base * token,
            base * kv,
            token * token,
            token * kv,
            kv * kv,
        ];
        for (sum, product) in self.matrix.iter_mut().zip(products) {
            *sum = *sum * KEEP + product;
        }
        for (sum, part) in self.vector.iter_mut().zip(row) {
            *sum = *sum * KEEP + part * ratio;
        }
    }

    /// The shares of the default model's three parts in the step time that it expects of this window,
    /// and the step time that was seen over that.
    fn row(&self, window: Window) -> Option<([f64; 3], f64)> {
        let Window {
            seconds,
            generated_tokens,
            computed_prompt_tokens,
            mean_running,
            mean_kv_tokens,
        } = window;
        let sane = |number: f64, least: f64| (least..=1e12).contains(&number);
        let usable = sane(seconds, LEAST_SECONDS)
            && sane(generated_tokens, 1.0)
            && sane(computed_prompt_tokens, 0.0)
            && sane(mean_running, 1.0)
            && sane(mean_kv_tokens, 0.0);
        if !usable {
            return None;
        }
        let steps = generated_tokens / mean_running;
        let tokens = mean_running + computed_prompt_tokens / steps;
        let parts = [
            f64::from(self.default.base_us),
            f64::from(self.default.token_us) * tokens,
            f64::from(self.default.kv_token_us) * mean_kv_tokens,
        ];
        let expected_us: f64 = parts.iter().sum();
        let ratio = seconds * 1e6 / steps / expected_us;
        (ratio.is_finite() && ratio > 0.0).then(|| (parts.map(|part| part / expected_us), ratio))
    }

    /// The ratio within the bounds of what can be learned and, once something was, within a factor of
    /// [`MOST_SURPRISE`] of what that expects: one odd window moves little.
    fn believable(&self, row: [f64; 3], ratio: f64) -> f64 {
        let ratio = ratio.clamp(1.0 / MOST_FACTOR, MOST_FACTOR);
        if !self.is_warm() {
            return ratio;
        }
        let expected: f64 = row
            .iter()
            .zip(self.factors())
            .map(|(one, two)| one * two)
            .sum();
        ratio.clamp(expected / MOST_SURPRISE, expected * MOST_SURPRISE)
    }

    fn is_warm(&self) -> bool {
        self.windows > LEAST_WINDOWS - 0.5
    }

    /// What was learned; `None` before the first few windows. Each coefficient is finite and within a
    /// factor of 8 of the default.
    #[must_use]
    pub fn model(&self) -> Option<StepModel> {
        if !self.is_warm() {
            return None;
        }
        let [base, token, kv] = self.factors();
        let times = |coefficient: f32, factor: f64| (f64::from(coefficient) * factor) as f32;
        Some(StepModel {
            base_us: times(self.default.base_us, base),
            token_us: times(self.default.token_us, token),
            kv_token_us: times(self.default.kv_token_us, kv),
        })
    }

    /// The factors to the default's coefficients: solves `(matrix + pull) factors = vector + pull *
    /// scale` by Cramer's rule. The pull keeps the determinant above 0.
    fn factors(&self) -> [f64; 3] {
        let [aa, ab, ac, bb, bc, cc] = self.matrix;
        let (aa, bb, cc) = (aa + PULL, bb + PULL, cc + PULL);
        let [p, q, r] = self.vector.map(|sum| sum + PULL * self.scale);
        let minor = (bb * cc - bc * bc, ab * cc - bc * ac, ab * bc - bb * ac);
        let determinant = aa * minor.0 - ab * minor.1 + ac * minor.2;
        let first = p * minor.0 - ab * (q * cc - bc * r) + ac * (q * bc - bb * r);
        let second = aa * (q * cc - bc * r) - p * minor.1 + ac * (ab * r - q * ac);
        let third = aa * (bb * r - q * bc) - ab * (ab * r - q * ac) + p * minor.2;
        [first, second, third]
            .map(|value| (value / determinant).clamp(1.0 / MOST_FACTOR, MOST_FACTOR))
    }
}

#[cfg(test)]
mod tests;
