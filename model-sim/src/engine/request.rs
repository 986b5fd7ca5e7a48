//! What goes into an engine and what comes out.

use std::sync::Arc;

use super::time::SimTime;

/// A request's name inside one engine; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

impl RequestId {
    pub(crate) fn new(slot: u32, generation: u32) -> Self {
        RequestId(u64::from(generation) << 32 | u64::from(slot))
    }

    pub(crate) fn slot(self) -> u32 {
        (self.0 & u64::from(u32::MAX)) as u32
    }

    pub(crate) fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The name as a number.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

/// A LoRA adapter's number; the caller keeps the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoraId(pub u32);

/// One sequence to generate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// Tokens of the prompt; 0 counts as 1.
    pub prompt_tokens: u32,
    /// Tokens that will be generated; 0 counts as 1. The engine knows the true length only to end
    /// the request there.
    pub output_tokens: u32,
    /// Chained hashes of the full KV blocks of the prompt followed by the output, one a block; may
    /// end early, then later blocks are not findable.
    pub block_hashes: Arc<[u64]>,
    /// The adapter, if any.
    pub lora: Option<LoraId>,
    /// Whether an event is wanted for every token, not only for the first.
    pub token_events: bool,
}

/// Why a request was refused at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// Prompt and output exceed `max_model_len` or the whole KV cache.
    TooLong,
    /// It names an adapter and the engine has no adapter slots.
    NoLoraSlots,
}

/// The story of a finished request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// When it was submitted.
    pub submitted_at: SimTime,
    /// When the step began that computed its first tokens.
    pub scheduled_at: SimTime,
    /// When its first token was there.
    pub first_token_at: SimTime,
    /// When its last token was there.
    pub finished_at: SimTime,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the prompt found in the prefix cache when it was first scheduled.
    pub cached_tokens: u32,
    /// Tokens generated.
    pub output_tokens: u32,
    /// How often it was preempted.
    pub preemptions: u32,
}

/// Something that happened to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// The request.
    pub id: RequestId,
    /// When.
    pub at: SimTime,
    /// What.
    pub kind: EventKind,
}

/// What happened to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EventKind {
    /// The first token is there.
    FirstToken {
        /// Tokens of the prompt that came from the prefix cache.
        cached_tokens: u32,
    },
    /// A further token is there; only with [`Request::token_events`].
    Token,
    /// The last token is there. The only end besides `Rejected` and an abort.
    Finished(Summary),
    /// It lost its KV blocks and waits to be computed again.
    Preempted,
    /// It was refused and never waited.
    Rejected(Rejection),
}
