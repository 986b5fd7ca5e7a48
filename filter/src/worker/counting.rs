//! Counting in one worker: what is in flight where, shown to the other workers and to the pools' views.

use std::net::SocketAddr;

use picker::{EndpointId, Millis};

use super::{Choice, Worker};
use crate::{host::Host, in_flight::Change};

impl Worker {
    /// Counts a request at `endpoint`, with its prefill to be done or done already.
    pub(super) fn begin(
        &mut self,
        host: &dyn Host,
        choice: &mut Choice,
        endpoint: EndpointId,
        prefilling: bool,
        now: Millis,
    ) {
        let estimate = choice.estimate();
        let (tokens, uncached) = (estimate.prompt_tokens, estimate.uncached_tokens);
        self.ledger.begin(endpoint, tokens, uncached);
        if !prefilling {
            self.ledger.first_token(endpoint, uncached);
        }
        choice.count_at(Some(endpoint));
        choice.prefill().set(prefilling.then_some(endpoint));
        self.ledger_changed(host, endpoint.address, Change::Sent, now);
    }

    /// Takes the count of a request back, wherever it is. Returns whether it was still prefilling.
    pub(super) fn end(&mut self, host: &dyn Host, choice: &mut Choice, now: Millis) -> bool {
        let estimate = choice.estimate();
        let prefilling = choice.prefill().get().is_some();
        choice.prefill().set(None);
        let Some(counted) = choice.counted() else {
            return prefilling;
        };
        choice.count_at(None);
        let prefill_tokens = prefilling.then_some(estimate.uncached_tokens);
        if !self
            .ledger
            .end(counted, estimate.prompt_tokens, prefill_tokens)
        {
            log::error!("a request ended that was not counted");
        }
        self.ledger_changed(host, counted.address, Change::Freed, now);
        prefilling
    }

    /// A routed request's first token came, or all of them; at the first sign of it.
    pub fn first_token(&mut self, host: &dyn Host, choice: &Choice) {
        let Some(endpoint) = choice.prefill().get() else {
            return;
        };
        choice.prefill().set(None);
        self.ledger
            .first_token(endpoint, choice.estimate().uncached_tokens);
        let now = host.now();
        self.ledger_changed(host, endpoint.address, Change::Freed, now);
        self.freed(host, choice.pool(), now);
    }

    /// Takes the prefills for done that should be by now, of requests that do not show it.
    pub(super) fn suppose_first_tokens(&mut self, now: Millis) {
        while let Some((tokens, prefill)) = self.predictions.pop(now) {
            if let Some(endpoint) = prefill.get() {
                prefill.set(None);
                self.ledger.first_token(endpoint, tokens);
                self.recount(endpoint.address);
            }
        }
    }

    pub(super) fn recount(&mut self, address: SocketAddr) {
        for pool in &mut self.pools {
            pool.view.recount_own(address, &self.ledger);
        }
    }

    pub(super) fn ledger_changed(
        &mut self,
        host: &dyn Host,
        address: SocketAddr,
        change: Change,
        now: Millis,
    ) {
        self.recount(address);
        let alone = self.others.live().is_empty();
        self.table.changed(host, &self.ledger, now, change, alone);
    }
}
