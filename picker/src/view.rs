//! What the picker looks at: endpoints, what this gateway itself knows of them, and the time.

use crate::{endpoint::Endpoint, time::Millis};

/// What this gateway (all workers of this Envoy) has sent to one endpoint and not yet seen end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InFlight {
    /// Requests without an end yet.
    pub requests: u32,
    /// Their estimated prompt tokens, cached ones included.
    pub tokens: u64,
    /// Those of the requests that have no first token yet; at most `requests`.
    pub prefilling: u32,
    /// The prompt tokens of those that were probably not cached where they went: the prefill work
    /// still to be done.
    pub prefill_tokens: u64,
}

impl InFlight {
    /// Two loads together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            tokens: self.tokens.saturating_add(other.tokens),
            prefilling: self.prefilling.saturating_add(other.prefilling),
            prefill_tokens: self.prefill_tokens.saturating_add(other.prefill_tokens),
        }
    }
}

/// What this gateway itself knows of one endpoint, whatever the agent says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalState {
    /// Its own load there.
    pub in_flight: InFlight,
    /// Whether its own requests failed there of late (see [`crate::breaker`]); weighs like
    /// [`crate::Health::Suspect`].
    pub suspect: bool,
    /// How many requests it runs at once, at least 1, where that was learned (admission does, see
    /// `admission::SequenceLimits`); otherwise as configured.
    pub sequence_limit: Option<u32>,
}

/// The state of a pool at the moment of a decision.
#[derive(Debug, Clone, Copy)]
pub struct PoolView<'a> {
    /// The members, as in [`crate::PoolSnapshot::endpoints`].
    pub endpoints: &'a [Endpoint],
    /// This gateway's own view of `endpoints`, index by index; a missing tail counts as default.
    pub local: &'a [LocalState],
    /// The moment of the decision.
    pub now: Millis,
}
