//! Context length: an engine refuses a request whose prompt and answer do not fit.
//!
//! ```text
//!   tokens, by what a token of text has    at most 6 bytes      at least 3 bytes
//!                                               |                     |
//!   ---------------------------------------- least ---------------- most --------> tokens
//!      cannot hold it: no candidate while        |    may hold it      | surely holds it:
//!      any other may                             |                     | preferred
//! ```
//!
//! The tokens of a prompt are estimated from its bytes: English has 4 to 5 bytes a token, code and
//! most other scripts 3 to 4. So two estimates: an endpoint that fails even the low one is left out
//! for certain, one that fits the high one is preferred. Both count the whole answer that the request
//! allows, since engines refuse prompt and `max_tokens` together; for several answers that is too
//! much, as is a picture that stands in the body as text. Both errors only move requests to endpoints
//! with more room. When nobody can hold it, all stay: the engine's own refusal tells the client best.
//!
//! An endpoint that does not say its length is never left out.

use super::keep_if_any;
use crate::{endpoint::Endpoint, request::RequestFacts, view::PoolView};

/// More bytes of text than a token has on average in any usual prompt.
const MOST_BYTES_PER_TOKEN: u64 = 6;
/// Fewer bytes of text than a token has on average in nearly any prompt.
const LEAST_BYTES_PER_TOKEN: u64 = 3;

/// The tokens that a request may need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    least: u64,
    most: u64,
}

impl Need {
    pub(super) fn of(facts: &RequestFacts) -> Self {
        let answer = facts.max_tokens.unwrap_or(0);
        let with = |bytes: u64| (facts.prompt_bytes / bytes).saturating_add(answer);
        Self {
            least: with(MOST_BYTES_PER_TOKEN),
            most: with(LEAST_BYTES_PER_TOKEN),
        }
    }

    /// Whether the endpoint can hold the request even by the high estimate, or does not say.
    pub(super) fn surely_fits(self, endpoint: &Endpoint) -> bool {
        limit(endpoint).is_none_or(|limit| limit >= self.most)
    }
}

/// The most tokens that one request can have there, if it says so.
fn limit(endpoint: &Endpoint) -> Option<u64> {
    let signals = &endpoint.signals;
    let length = signals.max_model_len.map_or(u64::MAX, u64::from);
    let cache = match (signals.kv_blocks, signals.kv_block_size) {
        (Some(blocks), Some(size)) => u64::from(blocks) * u64::from(size),
        _ => u64::MAX,
    };
    // Neither can be as much: a cache is less than 2^64 tokens, a length less than 2^32.
    Some(length.min(cache)).filter(|limit| *limit < u64::MAX)
}

/// Leaves out who is too short.
pub(super) fn narrow(view: &PoolView<'_>, need: Need, candidates: &mut Vec<u32>) {
    let limit = |position: u32| view.endpoints.get(position as usize).and_then(limit);
    let told = candidates.iter().filter_map(|position| limit(*position));
    let longest = told.max().unwrap_or(0);
    let tokens = if longest >= need.most {
        need.most
    } else {
        need.least
    };
    keep_if_any(candidates, |position| {
        limit(position).is_none_or(|limit| limit >= tokens)
    });
}
