//! What arrives at the gateways: the trait of all workloads and what one request is.
//!
//! ```text
//!   next_arrival()   open loop: in order of time, whatever the pool does
//!   on_ended(...)    closed loop: the next turn of a conversation, after its answer ended
//! ```

mod adapters;
mod chat;
mod classes;
mod conversations;
mod named;
mod pace;
mod prompt_bytes;
mod rag;
mod trace;
mod transcript;
mod zipf;

#[cfg(test)]
mod tests;

pub use adapters::{ADAPTERS, Adapters};
pub use chat::Chat;
pub use classes::Classes;
pub use conversations::{ConversationShape, Conversations, W2, W2S};
pub use named::WorkloadName;
pub use pace::{Pace, exponential};
pub use prompt_bytes::prompt_bytes;
pub use rag::Rag;
pub use trace::{Replay, Trace, TraceError, TraceLine};
pub use transcript::{BYTES_PER_TOKEN, PrefixBlocks, Transcript};
pub use zipf::Zipf;

use std::sync::Arc;

use model_sim::engine::{LoraId, SimTime};
use picker::RequestFacts;

/// Names the requests of one chat; a request of its own is a conversation of one turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationId(pub u64);

/// One request on its way to the gateways.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// When it arrives.
    pub at: SimTime,
    /// The conversation it belongs to.
    pub conversation: ConversationId,
    /// Tokens of the prompt, at least 1.
    pub prompt_tokens: u32,
    /// Tokens that will be generated, at least 1. No policy but the oracle sees them.
    pub output_tokens: u32,
    /// Chained hashes of the engine's KV blocks over the prompt and then the output (see
    /// [`Transcript::kv_blocks`]).
    pub block_hashes: Arc<[u64]>,
    /// What the body scan would have learned of it.
    pub facts: RequestFacts,
    /// The adapter, if any; [`RequestFacts::model`] must then be its [`adapter_name`].
    pub lora: Option<LoraId>,
    /// How much it matters: the greater the more. Only reports look at it; policies see
    /// [`RequestFacts::criticality`].
    pub priority: i32,
}

/// A source of requests.
///
/// Two policies are compared on the same workload made twice from the same seed. Follow-ups come in
/// another order with another policy, so whatever they draw must come from a source of their
/// conversation (seeded with its id), never from one that conversations share.
pub trait Workload {
    /// The next request that arrives whatever the pool does, no earlier than the one before; `None`
    /// when there are no more.
    fn next_arrival(&mut self) -> Option<Arrival>;

    /// The last token of the conversation's latest request was there at `at`, or the request failed
    /// or was refused then (`answered` is false). Gives the next turn, not earlier than `at`.
    fn on_ended(
        &mut self,
        conversation: ConversationId,
        answered: bool,
        at: SimTime,
    ) -> Option<Arrival>;
}

/// The name under which requests ask for an adapter and engines report it.
#[must_use]
pub fn adapter_name(adapter: LoraId) -> String {
    format!("adapter-{}", adapter.0)
}
