//! Plan and hold: which of the first held requests go now.
//!
//! ```text
//!   in order:     a    b    c    d    e ...  32, or until no endpoint has room
//!   best endpoint 1    2    2    1    3      each costed with those before it counted
//!   room there    yes  no   no   yes  yes
//!                 go   wait wait go   go     unless a more important one waits: then none less so
//! ```

use picker::{Decision, EndpointId, Millis, Priority};

use super::{Admission, Dispatch, Effect, claim::Claim};
use crate::{queue::Ticket, refusal::Reason, room, site::Site};

/// What one look at the pool led to.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Those that go, counted in the ledger.
    pub(super) go: Vec<Go>,
    /// Those that are refused because they would be slow.
    shed: Vec<Ticket>,
    /// Those that no endpoint may serve.
    unroutable: Vec<Ticket>,
}

/// One request that goes.
#[derive(Debug)]
pub(super) struct Go {
    ticket: Ticket,
    decision: Decision,
    endpoint: EndpointId,
}

impl Plan {
    /// Claims the room of those that go; takes it back when another worker was faster. Returns whether
    /// the plan holds.
    pub(super) fn holds<T>(&self, site: &mut impl Site<T>, claim: &Claim) -> bool {
        if self.go.is_empty() || claim.replace(site) {
            return true;
        }
        for go in &self.go {
            site.undo(go.endpoint, go.decision.estimate());
        }
        site.publish();
        false
    }
}

impl<T> Admission<T> {
    /// Walks the first `most` requests. Those that go are counted in the ledger.
    pub(super) fn draw_up(&mut self, site: &mut impl Site<T>, most: usize) -> Plan {
        let mut plan = Plan::default();
        let mut ahead: Vec<(EndpointId, picker::Estimate)> = Vec::new();
        let mut waits: Option<Priority> = self.board.highest_elsewhere();
        let mut saturation = None;
        for (ticket, waiting, held) in self.queue.order().take(most) {
            let limits = self.limits(waiting.priority);
            if self.is_full(site)
                || waits.is_some_and(|waits| waits > waiting.priority)
                || !room::any(&site.view(), &self.ladder, &limits)
            {
                break;
            }
            let decision = site.consider(held);
            let Some(first) = decision.first() else {
                if decision.reason() != picker::Reason::NoEndpoints {
                    plan.unroutable.push(ticket);
                }
                continue;
            };
            saturation.get_or_insert_with(|| self.saturation_of(site, &decision));
            if self.is_too_slow(waiting.priority, &decision) {
                plan.shed.push(ticket);
                continue;
            }
            let Some(best) = room::id_at(&site.view(), first) else {
                continue;
            };
            let goes = self.has_room(site, &decision, &limits).is_some();
            site.begin(best, decision.estimate());
            if goes {
                plan.go.push(Go {
                    ticket,
                    decision,
                    endpoint: best,
                });
            } else {
                ahead.push((best, decision.estimate()));
                waits = waits.max(Some(waiting.priority));
            }
        }
        for (endpoint, estimate) in ahead {
            site.undo(endpoint, estimate);
        }
        if let Some(saturation) = saturation {
            self.saturation = saturation;
        }
        plan
    }

    /// Takes those that a plan decided about out of the queue.
    pub(super) fn carry_out(&mut self, plan: Plan, now: Millis) {
        for go in plan.go {
            let Some((waiting, held)) = self.queue.serve(go.ticket) else {
                continue;
            };
            self.drain.dispatched(waiting.tokens, now);
            self.effects.push(Effect::Dispatch(Dispatch {
                held,
                decision: go.decision,
                endpoint: go.endpoint,
                waited_ms: now.since(waiting.arrived),
            }));
        }
        let shed = plan.shed.into_iter().map(|ticket| (ticket, Reason::Shed));
        let unroutable = plan.unroutable.into_iter();
        let unroutable = unroutable.map(|ticket| (ticket, Reason::NoEndpoints));
        for (ticket, reason) in shed.chain(unroutable) {
            let Some((waiting, held)) = self.queue.remove(ticket) else {
                continue;
            };
            let refusal = self.refusal(reason, waiting.priority, waiting.flow, now);
            self.effects.push(Effect::Refuse {
                held,
                refusal,
                waited_ms: now.since(waiting.arrived),
            });
        }
    }
}
