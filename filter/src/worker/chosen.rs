//! What is remembered and shown of a decision once it names an endpoint.
//!
//! ```text
//!   Decision --> choose --> prefix index, notes for the other workers, Choice
//!                   '-----> explanation --> access log
//! ```

use picker::{Decision, EndpointId, Millis, PrefixNote, Reason, RequestFacts};

use super::{Choice, REASON, Worker, requests};
use crate::{
    explain::{self, Explanation},
    host::Host,
};

impl Worker {
    /// Remembers where a request goes; it is not counted yet. In shadow mode it goes elsewhere, and what is
    /// remembered is only what was decided.
    pub(super) fn choose(
        &mut self,
        index: usize,
        facts: &RequestFacts,
        decision: &Decision,
        first: EndpointId,
        started: u64,
    ) -> Choice {
        let now = Millis(started / 1_000_000);
        let endpoints = self.pools.get(index).map(|pool| pool.view.endpoints());
        let endpoints = endpoints.unwrap_or_default();
        let mut listed = decision.choices().map(|position| endpoints.get(position));
        let chosen = listed.next().flatten();
        let explanation = Explanation {
            chosen: first.address,
            runner_up: listed.next().flatten().map(|next| next.id.address),
            reason: decision.reason(),
            estimate: decision.estimate(),
            signal_age_ms: chosen.and_then(|endpoint| requests::signal_age(endpoint, now)),
        };
        let (age, estimate) = (explanation.signal_age_ms, &explanation.estimate);
        self.requests
            .chosen(index, age, facts.prompt_bytes, estimate);
        let note = PrefixNote::dispatched(facts, first);
        if !self.shadow {
            if let Some(pool) = self.pools.get_mut(index) {
                pool.picker.dispatched(facts, first);
            }
            if !self.others.live().is_empty() {
                self.prefix_share.note(&note);
            }
        }
        Choice::new(index, explanation, facts, note, started)
    }

    /// Shows a decision to the access log of the effective context's request, if that is configured.
    pub(super) fn log_decision(&self, host: &dyn Host, choice: &Choice) {
        if self.explain_log {
            let text = choice.explanation().text();
            if let Err(error) = host.set_property(&explain::STATE, text.as_bytes()) {
                log::debug!("the decision is not in the access log: {error}");
            }
        }
    }
}

/// Shows the reason of a decision to the access log of the effective context's request.
pub(super) fn log_reason(host: &dyn Host, reason: Reason) {
    if let Err(error) = host.set_property(&REASON, reason.as_str().as_bytes()) {
        log::debug!("the reason is not in the access log: {error}");
    }
}
