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
    /// so; the rest is forgotten, and so is the turn.
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

    /// The same note after the engine told that only `cached_bytes` of the prompt were cached when the
    /// request came, with blocks of `block_bytes`.
    ///
    /// For an answer that tells clearly less than was believed at the dispatch
    /// ([`crate::Estimate`]), not for every answer: a prompt that was cold then is cached now. A
    /// prompt that had been lost is cached again now, too, but what did not last from one turn to
    /// the next is not likely to last until the one after that, and an engine that caches nothing
    /// should attract nothing.
    #[must_use]
    pub fn corrected(mut self, cached_bytes: u64, block_bytes: u32) -> Self {
        let blocks = cached_bytes.div_ceil(u64::from(block_bytes.max(1)));
        self.cached_blocks = u32::try_from(blocks)
            .map_or(self.cached_blocks, |blocks| blocks.min(self.cached_blocks));
        self
    }
}
