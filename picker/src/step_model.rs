//! What one step of an engine costs: the model behind every estimate of time.
//!
//! An engine with continuous batching works in steps. A step that computes `tokens` tokens (one per
//! decoding request, the rest prefill) while `kv_tokens` tokens of KV cache are attended to takes
//!
//! ```text
//!   base + token * tokens + kv_token * kv_tokens
//! ```

/// The three coefficients of a step, each finite and at least 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepModel {
    /// Microseconds that every step of an engine takes.
    pub base_us: f32,
    /// Microseconds per token computed in the step.
    pub token_us: f32,
    /// Microseconds per KV-cache token that the step attends to.
    pub kv_token_us: f32,
}

impl StepModel {
    /// The steps of an engine that takes `factor` times as long for everything.
    #[must_use]
    pub fn times(self, factor: f32) -> Self {
        Self {
            base_us: self.base_us * factor,
            token_us: self.token_us * factor,
            kv_token_us: self.kv_token_us * factor,
        }
    }

    /// Microseconds of the step of a busy engine (32 requests decode, 50,000 KV tokens are attended
    /// to): one number by which the speeds of engines can be compared.
    #[must_use]
    pub fn busy_step_us(&self) -> f32 {
        self.base_us + 32.0 * self.token_us + 50_000.0 * self.kv_token_us
    }
}

impl Default for StepModel {
    /// Llama-2-7B (multi-head attention) on an 80 GB accelerator, as in the scheduling study.
    fn default() -> Self {
        Self {
            base_us: 5_500.0,
            token_us: 20.0,
            kv_token_us: 0.15,
        }
    }
}
