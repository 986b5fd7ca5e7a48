//! Whether an endpoint has room for another request.
//!
//! ```text
//!   waiting         = max(sent without a first token, scraped waiting as it ages)
//!   prefill tokens  = sent and not computed yet
//!   KV cache        = scraped as it ages + what is not computed yet; at least what was sent
//!   sequences       = sent, of as many as the endpoint was seen to run at once; for the sheddable alone
//! ```
//!
//! The ledger is never doubted, signals only add to it; what is unknown is no reason to wait.

use picker::{Endpoint, EndpointId, LocalState, Millis, PoolView, freshness::Ladder};

/// What an endpoint may have before it counts as full. All three were found in the scheduling study;
/// what waits at the engine beyond them cannot be bound to a better endpoint any more, and less lets the
/// engine run dry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Requests without a first token yet, `1.0..=100000.0`; full from here on.
    pub waiting: f32,
    /// Prompt tokens still to be computed, `1.0..=1e7`; full from here on.
    pub prefill_tokens: f32,
    /// KV-cache utilization, `0.1..=1.0`; full from here on.
    pub kv_usage: f32,
    /// The share of the requests that an endpoint runs at once, `0.0..=0.9`, that must stay free for
    /// others, and one at least; looked at where it is known how many that are
    /// ([`crate::SequenceLimits`]). `None` for those who may take the last.
    pub spare: Option<f32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            waiting: 8.0,
            prefill_tokens: 4_096.0,
            kv_usage: 0.97,
            spare: None,
        }
    }
}

impl Limits {
    /// The first three as a share of what they are, for those who must leave the rest to others.
    #[must_use]
    pub fn times(self, share: f32) -> Self {
        Self {
            waiting: self.waiting * share,
            prefill_tokens: self.prefill_tokens * share,
            kv_usage: self.kv_usage * share,
            ..self
        }
    }
}

/// How full one endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Room {
    /// Requests without a first token yet.
    pub waiting: f32,
    /// Prompt tokens still to be computed.
    pub prefill_tokens: f32,
    /// KV-cache utilization with these.
    pub kv_usage: f32,
    /// Requests there.
    pub requests: f32,
    /// How many run at once, where that was learned.
    pub sequence_limit: Option<u32>,
}

impl Room {
    /// How full the endpoint at `position` of the view is; `None` when there is none.
    #[must_use]
    pub fn at(view: &PoolView<'_>, position: usize, ladder: &Ladder) -> Option<Self> {
        let endpoint = view.endpoints.get(position)?;
        let local = view.local.get(position).copied().unwrap_or_default();
        Some(Self::of(endpoint, local, view.now, ladder))
    }

    fn of(endpoint: &Endpoint, local: LocalState, now: Millis, ladder: &Ladder) -> Self {
        let signals = &endpoint.signals;
        let others = signals.others_in_flight.as_ref();
        let known = match others {
            Some(others) if ladder.trust(Some(others), now) > 0.0 => {
                local.in_flight.plus(others.value)
            }
            _ => local.in_flight,
        };
        let faded = |signal: &Option<picker::Signal<f32>>| {
            let value = signal.map_or(0.0, |signal| signal.value);
            finite(value) * ladder.trust(signal.as_ref(), now)
        };
        let prefill_tokens = known.prefill_tokens as f32;
        let mut kv_usage = faded(&signals.kv_usage);
        if let (Some(blocks), Some(size)) = (signals.kv_blocks, signals.kv_block_size) {
            let capacity = (blocks as f32 * size as f32).max(1.0);
            kv_usage += prefill_tokens / capacity;
        }
        Self {
            waiting: (known.prefilling as f32).max(faded(&signals.waiting)),
            prefill_tokens,
            kv_usage,
            requests: known.requests as f32,
            sequence_limit: local.sequence_limit,
        }
    }

    /// Whether another request may go there.
    #[must_use]
    pub fn is_within(&self, limits: &Limits) -> bool {
        self.waiting < limits.waiting
            && self.prefill_tokens < limits.prefill_tokens
            && self.kv_usage < limits.kv_usage
            && self.leaves(limits.spare)
    }

    /// Whether another request would leave so much of the sequences free.
    fn leaves(&self, spare: Option<f32>) -> bool {
        let (Some(limit), Some(share)) = (self.sequence_limit, spare) else {
            return true;
        };
        let limit = limit as f32;
        let spare = (limit * share).max(1.0);
        self.requests < (limit - spare).max(1.0)
    }
}

/// A number that makes sense, or nothing.
fn finite(value: f32) -> f32 {
    if value.is_finite() && value > 0.0 {
        value
    } else {
        0.0
    }
}

/// Whether any endpoint has room.
pub(crate) fn any(view: &PoolView<'_>, ladder: &Ladder, limits: &Limits) -> bool {
    let mut positions = 0..view.endpoints.len();
    positions
        .any(|position| Room::at(view, position, ladder).is_some_and(|room| room.is_within(limits)))
}

/// The position of an endpoint in the view.
pub(crate) fn id_at(view: &PoolView<'_>, position: usize) -> Option<EndpointId> {
    view.endpoints.get(position).map(|endpoint| endpoint.id)
}

#[cfg(test)]
mod tests;
