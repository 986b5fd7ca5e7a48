//! What a gateway learns from the answers it sees, besides what the agent tells it.

mod mean;
mod speed;
mod step_model;

pub(crate) use mean::Mean;
pub(crate) use speed::SpeedFactor;
pub use step_model::{StepModelLearner, Window};

use crate::{decision::Estimate, endpoint::EndpointId};

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
