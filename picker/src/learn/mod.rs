//! What a gateway learns from the answers it sees, besides what the agent tells it.
//!
//! ```text
//!   Completion --> bytes per token, mean prompt, mean answer   of the pool      (mean)
//!              --> faster or slower than expected              per endpoint     (speed)
//!   counters (agent) --> what a step costs                     per endpoint     (step_model)
//! ```
//!
//! All of it moves slowly and within bounds, so that no answer and no endpoint can lead it far.

mod mean;
mod speed;
mod step_model;
pub use step_model::{StepModelLearner, Window};

use self::{mean::Mean, speed::Speed};
use crate::{config::CostConfig, decision::Estimate, endpoint::EndpointId, request::RequestFacts};

/// More tokens than any prompt has.
const MOST_PROMPT: f32 = 1e7;
/// More tokens than any answer has.
const MOST_OUTPUT: f32 = 1e6;
/// Prompts of fewer tokens do not tell the bytes of a token: the chat template outweighs their text.
const LEAST_TELLING_TOKENS: u32 = 64;

/// What this picker has learned so far.
#[derive(Debug)]
pub struct Learned {
    bytes_per_token: Mean,
    prompt: Mean,
    uncached: Mean,
    output: Mean,
    /// By slot.
    speeds: Vec<Speed>,
}

impl Default for Learned {
    /// Nothing yet but the default guesses.
    fn default() -> Self {
        Self::new(&CostConfig::default())
    }
}

impl Learned {
    /// Nothing yet but the configured guesses.
    pub(crate) fn new(config: &CostConfig) -> Self {
        let prompt = Mean::new(config.mean_prompt_tokens, 1.0, MOST_PROMPT);
        Self {
            bytes_per_token: Mean::new(config.bytes_per_token, 1.0, 16.0),
            prompt,
            uncached: prompt,
            output: Mean::new(config.mean_output_tokens, 1.0, MOST_OUTPUT),
            speeds: Vec::new(),
        }
    }

    /// The tokens of the request's prompt, `1.0..=1e7`: by its bytes, the mean prompt's when those are
    /// unknown.
    #[must_use]
    pub fn prompt_tokens(&self, facts: &RequestFacts) -> f32 {
        if facts.prompt_bytes == 0 {
            return self.prompt.get();
        }
        self.tokens(facts.prompt_bytes).clamp(1.0, MOST_PROMPT)
    }

    /// Bytes of prompt that one token stands for, `1.0..=16.0`.
    #[must_use]
    pub fn bytes_per_token(&self) -> f32 {
        self.bytes_per_token.get()
    }

    /// The tokens of so many bytes of prompt.
    #[must_use]
    pub fn tokens(&self, bytes: u64) -> f32 {
        bytes as f32 / self.bytes_per_token.get()
    }

    /// Tokens of a mean prompt that are not cached where it is sent, `1.0..=1e7`.
    #[must_use]
    pub fn mean_uncached_tokens(&self) -> f32 {
        self.uncached.get()
    }

    /// Tokens of a mean answer, `1.0..=1e6`.
    #[must_use]
    pub fn mean_output_tokens(&self) -> f32 {
        self.output.get()
    }

    /// How fast the endpoint in `slot` is compared with what is expected of it, `0.125..=8.0`.
    #[must_use]
    pub fn speed(&self, slot: u32) -> f32 {
        let speed = self.speeds.get(slot as usize);
        speed.map_or(1.0, |speed| speed.get())
    }

    /// Notes what is expected of a request that is about to be sent.
    pub(crate) fn sent(&mut self, facts: &RequestFacts, estimate: Estimate) {
        if facts.prompt_bytes > 0 {
            self.prompt.see(estimate.prompt_tokens as f32);
            self.uncached.see(estimate.uncached_tokens as f32);
        }
    }

    /// Learns from an answer of the endpoint in `slot`, `None` when that has left.
    pub(crate) fn completed(&mut self, completion: &Completion, slot: Option<u32>) {
        if let Some(tokens) = completion.prompt_tokens
            && tokens >= LEAST_TELLING_TOKENS
            && completion.prompt_bytes > 0
        {
            let ratio = completion.prompt_bytes as f32 / tokens as f32;
            self.bytes_per_token.see(ratio);
        }
        if let Some(slot) = slot {
            let at = slot as usize;
            if self.speeds.len() <= at {
                self.speeds.resize(at + 1, Speed::default());
            }
            if let Some(speed) = self.speeds.get_mut(at) {
                speed.see(completion, self.output.get());
            }
        }
        if let Some(tokens) = completion.output_tokens {
            self.output.see(tokens as f32);
        }
    }

    /// Forgets the endpoint in `slot`: the slot gets another one.
    pub(crate) fn forget(&mut self, slot: u32) {
        if let Some(speed) = self.speeds.get_mut(slot as usize) {
            *speed = Speed::default();
        }
    }
}

/// What the answer to one request showed. Times are wall time at the gateway.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Completion {
    /// Who answered.
    pub endpoint: EndpointId,
    /// What was expected when it was sent; nothing is learned of times when it went elsewhere than
    /// to the first choice.
    pub estimate: Estimate,
    /// Bytes of the prompt, as in [`crate::RequestFacts::prompt_bytes`].
    pub prompt_bytes: u64,
    /// Tokens of the prompt by the engine's own count (`usage.prompt_tokens`).
    pub prompt_tokens: Option<u32>,
    /// Those of them that were cached (`usage.prompt_tokens_details.cached_tokens`).
    pub cached_tokens: Option<u32>,
    /// Tokens generated (`usage.completion_tokens`, or the events of a streamed answer).
    pub output_tokens: Option<u32>,
    /// Milliseconds to the first token; `None` when the answer was not streamed.
    pub first_token_ms: Option<f32>,
    /// Milliseconds to the end of the answer.
    pub total_ms: f32,
}
