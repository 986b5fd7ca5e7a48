//! Endpoints that refuse: a 429, a 503, or an error as the first event of a stream costs them credit
//! for a while.
//!
//! ```text
//!   phantom load
//!      |  refused          refused
//!      |  |\               |\
//!      |  | `.             | `.     each refusal adds 4 waiting requests of 1,024 tokens,
//!      |  |   `--.         |   `--  which fade within 2 s
//!      +--+-------'--------+------'--> time
//! ```
//!
//! An endpoint that fails fast has few requests in flight, and would attract ever more of them. The
//! phantom load is added to what the gateway itself has in flight there ([`picker::LocalState`]), so that both
//! the picker's cost and the room that admission sees take it into account.

use hashbrown::HashMap;
use picker::{EndpointId, InFlight, Millis};

/// Waiting requests that one refusal counts as.
const REQUESTS: f32 = 4.0;
/// The most that refusals add up to.
const MOST_REQUESTS: f32 = 16.0;
/// Prompt tokens of each.
const TOKENS: f32 = 1_024.0;
/// How long one refusal counts, in milliseconds; from its full weight down to nothing.
const DECAY_MS: f32 = 2_000.0;

/// What refusals cost, by endpoint.
#[derive(Debug, Clone, Default)]
pub struct Backpressure {
    /// Phantom requests at a moment.
    phantoms: HashMap<EndpointId, (f32, Millis)>,
}

impl Backpressure {
    /// The endpoint refused a request, or answered it with an error.
    pub fn refused(&mut self, endpoint: EndpointId, now: Millis) {
        let requests = self.requests(endpoint, now) + REQUESTS;
        let requests = requests.min(MOST_REQUESTS);
        self.phantoms.insert(endpoint, (requests, now));
    }

    /// The load to add to what is in flight at the endpoint.
    #[must_use]
    pub fn load(&self, endpoint: EndpointId, now: Millis) -> InFlight {
        if self.phantoms.is_empty() {
            return InFlight::default();
        }
        let requests = self.requests(endpoint, now);
        let tokens = (requests * TOKENS) as u64;
        let requests = requests.ceil() as u32;
        InFlight {
            requests,
            tokens,
            prefilling: requests,
            prefill_tokens: tokens,
        }
    }

    /// Whether any endpoint has phantom load; cheap.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.phantoms.is_empty()
    }

    /// Forgets what has faded. Call it now and then.
    pub fn sweep(&mut self, now: Millis) {
        self.phantoms
            .retain(|_, (requests, at)| faded(*requests, now.since(*at)) > 0.0);
    }

    fn requests(&self, endpoint: EndpointId, now: Millis) -> f32 {
        let phantom = self.phantoms.get(&endpoint);
        phantom.map_or(0.0, |(requests, at)| faded(*requests, now.since(*at)))
    }
}

/// What is left of so many phantom requests: each refusal's worth fades within [`DECAY_MS`].
fn faded(requests: f32, age_ms: u64) -> f32 {
    (requests - REQUESTS * age_ms as f32 / DECAY_MS).max(0.0)
}
