//! Own requests in flight, per endpoint: counted at the pick, released at the end.
//!
//! Keyed by [`EndpointId`], address and generation, so that a reused `ip:port` starts at zero and a
//! late completion of the pod that had it before changes nothing.

use hashbrown::HashMap;

use crate::{endpoint::EndpointId, view::InFlight};

/// The in-flight counts of one worker.
///
/// The counts never underflow: an end that has no beginning is refused. An entry vanishes with its
/// last request, so that a ledger at rest is empty, whatever the churn of the pool was.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    loads: HashMap<EndpointId, InFlight>,
}

impl Ledger {
    /// A ledger with nothing in flight.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a request that is about to go to `endpoint`: about `tokens` prompt tokens, of which
    /// `prefill_tokens` are probably not cached there.
    pub fn begin(&mut self, endpoint: EndpointId, tokens: u32, prefill_tokens: u32) {
        let load = self.loads.entry(endpoint).or_default();
        load.requests = load.requests.saturating_add(1);
        load.tokens = load.tokens.saturating_add(u64::from(tokens));
        load.prefilling = load.prefilling.saturating_add(1);
        load.prefill_tokens = load
            .prefill_tokens
            .saturating_add(u64::from(prefill_tokens));
    }

    /// Notes the first token of a request that [`Ledger::begin`] counted with these
    /// `prefill_tokens`: its prefill is done. At most once a request.
    ///
    /// Returns whether one was waiting for its first token there; `false` means that nothing
    /// changed.
    pub fn first_token(&mut self, endpoint: EndpointId, prefill_tokens: u32) -> bool {
        match self.loads.get_mut(&endpoint) {
            Some(load) if load.prefilling > 0 => {
                load.prefilling -= 1;
                load.prefill_tokens = match load.prefilling {
                    0 => 0,
                    _ => load
                        .prefill_tokens
                        .saturating_sub(u64::from(prefill_tokens)),
                };
                true
            }
            _ => false,
        }
    }

    /// Releases a request that [`Ledger::begin`] counted, with the same `tokens`. `prefilling` are
    /// its prefill tokens when [`Ledger::first_token`] was not called for it, else `None`.
    ///
    /// Returns whether there was a request to release; `false` means that the caller ended one
    /// twice or that the endpoint was never counted, and nothing changed.
    pub fn end(&mut self, endpoint: EndpointId, tokens: u32, prefilling: Option<u32>) -> bool {
        if let Some(prefill_tokens) = prefilling {
            self.first_token(endpoint, prefill_tokens);
        }
        let Some(load) = self.loads.get_mut(&endpoint) else {
            return false;
        };
        load.requests = load.requests.saturating_sub(1);
        load.tokens = load.tokens.saturating_sub(u64::from(tokens));
        // No more can wait than are there, even if a caller forgot to say that one did.
        if load.prefilling > load.requests {
            load.prefilling = load.requests;
        }
        if load.prefilling == 0 {
            load.prefill_tokens = 0;
        }
        if load.requests == 0 {
            self.loads.remove(&endpoint);
        }
        true
    }

    /// What is in flight at `endpoint`; zero when nothing is.
    #[must_use]
    pub fn get(&self, endpoint: EndpointId) -> InFlight {
        self.loads.get(&endpoint).copied().unwrap_or_default()
    }

    /// Every endpoint with at least one request in flight, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (EndpointId, InFlight)> + '_ {
        self.loads.iter().map(|(id, load)| (*id, *load))
    }

    /// Whether nothing is in flight anywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.loads.is_empty()
    }

    /// How many endpoints have requests in flight.
    #[must_use]
    pub fn len(&self) -> usize {
        self.loads.len()
    }
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn id(port: u16, generation: u64) -> EndpointId {
        EndpointId {
            address: ([10, 0, 0, 1], port).into(),
            generation,
        }
    }

    #[test]
    fn counts_return_to_nothing() {
        let mut ledger = Ledger::new();
        ledger.begin(id(1, 0), 10, 10);
        ledger.begin(id(1, 0), 5, 5);
        let two = InFlight {
            requests: 2,
            tokens: 15,
            prefilling: 2,
            prefill_tokens: 15,
        };
        assert_eq!(ledger.get(id(1, 0)), two);
        assert!(ledger.end(id(1, 0), 10, Some(10)));
        assert!(ledger.end(id(1, 0), 5, Some(5)));
        assert!(ledger.is_empty(), "an entry vanishes with its last request");
    }

    #[test]
    fn an_end_without_a_beginning_changes_nothing() {
        let mut ledger = Ledger::new();
        ledger.begin(id(1, 0), 1, 1);
        assert!(!ledger.end(id(2, 0), 1, Some(1)));
        assert!(
            ledger.end(id(1, 0), u32::MAX, Some(u32::MAX)),
            "tokens stop at zero"
        );
        assert!(!ledger.end(id(1, 0), 1, Some(1)));
        assert_eq!(ledger.get(id(1, 0)), InFlight::default());
        assert_eq!(ledger.len(), 0);
    }

    #[test]
    fn a_reused_address_is_another_endpoint() {
        let mut ledger = Ledger::new();
        ledger.begin(id(1, 1), 7, 7);
        assert_eq!(ledger.get(id(1, 2)), InFlight::default());
        assert!(!ledger.end(id(1, 2), 7, Some(7)));
        assert_eq!(ledger.get(id(1, 1)).requests, 1);
    }
}
