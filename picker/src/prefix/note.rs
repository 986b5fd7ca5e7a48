//! What one worker tells the others of this Envoy about the prompts it sent.

use crate::{endpoint::EndpointId, request::RequestFacts};

/// One prompt and what is now believed about it at one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixNote {
    /// Where the prompt is.
    pub endpoint: EndpointId,
    /// Chained hashes of its leading blocks, as in [`RequestFacts::prefix`].
    pub prefix: Vec<u64>,
    /// The hash of its last turn, if it is a chat: the answer to it will be cached there too.
    pub turn: Option<u64>,
    /// How many of the blocks are cached: all of them after a dispatch, fewer when the engine said
    /// so; the rest is forgotten.
    pub cached_blocks: u32,
}

impl PrefixNote {
    /// The note of a request that was sent to `endpoint`.
    #[must_use]
    pub fn dispatched(facts: &RequestFacts, endpoint: EndpointId) -> Self {
        Self {
            endpoint,
            prefix: facts.prefix.clone(),
            turn: facts.turns.last().map(|turn| turn.hash),
            cached_blocks: u32::try_from(facts.prefix.len()).unwrap_or(u32::MAX),
        }
    }
}
