//! Admission in one worker: what the pure crate asks for, given by Envoy, and what it decides, done.
//!
//! ```text
//!   a request's callback        arrive, grow, left, freed  \
//!                                                           +--> Admission --> Site (here): shared
//!   root context, woken/ticking woken, tick --> effects    /                   data, ledger, picker
//!                                    '--> sent or answered, in the name of the held request
//! ```

mod site;

use ::admission::{Admission, Arrival, Arrived, Dispatch, Effect, Ticket};
use picker::{Millis, Reason};
use pool_state::slot::board;

use self::site::Surroundings;
use super::{Choice, Routing, Worker, chosen::log_reason, listed};
use crate::{
    config::AdmissionConfig,
    host::Host,
    lease::TICK_MS,
    metrics::{QueueGauges, Waited},
    queueing::{Demand, Held, held::Fate},
};

/// How often a root context ticks while it holds requests, in milliseconds: deadlines are kept to within
/// that, and a wake-up that was lost costs no more. Envoy makes about 22 of it.
const HELD_TICK_MS: u32 = 20;

/// How long a row of the board is shown whose worker has fallen silent, in milliseconds.
const EXPIRY_MS: u64 = 250;

/// What a request asks for.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// What it says of its waiting.
    pub demand: Demand,
    /// The bytes that would be held of it; `u64::MAX` when it must not be held.
    pub bytes: u64,
}

impl Worker {
    /// The configuration of admission; `None` lets everybody through.
    #[must_use]
    pub const fn admission(&self) -> Option<&AdmissionConfig> {
        self.admission.as_ref()
    }

    /// Decides where a request goes, whether it waits, or whether it is refused. Only with
    /// [`Worker::admission`].
    pub fn arrive(&mut self, host: &dyn Host, index: usize, held: Held, asked: Asked) -> Routing {
        let started = host.monotonic_nanos();
        let now = Millis(started / 1_000_000);
        self.look_around(host, index, now);
        self.suppose_first_tokens(now);
        // A pool of which nothing was ever heard is the cluster's fallback policy's, as it is without
        // admission; one that was scaled to nothing is worth waiting for.
        let is_known = self
            .pools
            .get(index)
            .is_some_and(|pool| pool.view.is_informed() || !pool.view.endpoints().is_empty());
        if !is_known {
            return self.route(host, index, held.facts());
        }
        let arrival = self.arrival(index, &held, asked, now);
        let arrived = self.with_admission(host, index, now, |admission, site| {
            admission.arrive(site, now, &arrival, held)
        });
        let routing = match arrived {
            None => Routing::Fallback,
            Some(Arrived::Go(dispatch)) => {
                self.metrics.waited(host, index, Waited::Passed);
                log_reason(host, dispatch.decision.reason());
                let (choice, destination) = self.sent(host, index, &dispatch, started);
                self.log_decision(host, &choice);
                self.chosen(host, &choice, dispatch.held.facts().stream, now);
                Routing::To {
                    choice: Box::new(choice),
                    destination,
                }
            }
            Some(Arrived::Held(ticket)) => {
                self.hold_tick(host);
                Routing::Held(ticket)
            }
            Some(Arrived::Refused(_, refusal)) => {
                self.metrics
                    .waited(host, index, Waited::Refused(refusal.reason));
                Routing::Refused(refusal)
            }
            Some(Arrived::Unroutable(held, decision)) => {
                self.routing(host, index, held.facts(), &decision, started)
            }
        };
        let took = host.monotonic_nanos().saturating_sub(started);
        self.metrics.pick_took(host, took);
        if !matches!(routing, Routing::Held(_)) {
            self.requests
                .decided(took, matches!(routing, Routing::To { .. }));
        }
        routing
    }

    fn arrival(&self, index: usize, held: &Held, asked: Asked, now: Millis) -> Arrival {
        let pool = self.pools.get(index);
        let after = |millis: u64| now.plus(millis);
        Arrival {
            priority: held.facts().priority,
            flow: asked.demand.flow,
            tokens: pool.map_or(0, |pool| pool.picker.predicted_tokens(held.facts())),
            bytes: asked.bytes,
            deadline: asked.demand.patience_ms.map(after),
            due: asked.demand.ttft_ms.map(after),
        }
    }

    /// What a dispatch means: the choice, counted already, and the destination header's value.
    fn sent(
        &mut self,
        host: &dyn Host,
        index: usize,
        dispatch: &Dispatch<Held>,
        started: u64,
    ) -> (Choice, String) {
        let (decision, endpoint) = (&dispatch.decision, dispatch.endpoint);
        self.metrics.picked(host, index, decision.reason());
        let pool = self.pools.get(index);
        let listed = pool.and_then(|pool| listed(pool.view.endpoints(), decision));
        let destination = listed.map(|(_, destination)| destination);
        let facts = dispatch.held.facts();
        let now = Millis(started / 1_000_000);
        if let Some(pool) = self.pools.get_mut(index) {
            pool.picker
                .settled(facts, &pool.view.as_it_was(now), decision);
        }
        let mut choice = self.choose(index, facts, decision, endpoint, started);
        choice.count_at(Some(endpoint));
        choice.prefill().set(Some(endpoint));
        (choice, destination.unwrap_or_default())
    }

    /// A held request's body grew to so many bytes. Returns whether it still fits.
    pub fn grow(&mut self, index: usize, ticket: Ticket, bytes: u64) -> bool {
        let pool = self.pools.get_mut(index);
        let admission = pool.and_then(|pool| pool.admission.as_mut());
        admission.is_none_or(|admission| admission.grow(ticket, bytes).is_ok())
    }

    /// A held request needs its place no longer: its client left, or it was answered by itself. Returns
    /// whether it still had one.
    pub fn left(&mut self, host: &dyn Host, index: usize, ticket: Ticket) -> bool {
        let now = host.now();
        let left = self.with_admission(host, index, now, |admission, site| {
            admission.left(site, now, ticket).is_some()
        });
        left == Some(true)
    }

    /// Something was finished in the pool at `index`: whoever waits for the room is woken.
    pub(super) fn freed(&mut self, host: &dyn Host, index: usize, now: Millis) {
        self.with_admission(host, index, now, |admission, site| {
            admission.freed(site, now)
        });
    }

    /// The root context `own` was woken: sends what has room now.
    pub(super) fn admit_woken(&mut self, host: &dyn Host, own: u32) {
        let now = host.now();
        self.suppose_first_tokens(now);
        for index in 0..self.pools.len() {
            let effects = self.with_admission(host, index, now, |admission, site| {
                (!admission.is_empty()).then(|| admission.woken(site, now))
            });
            self.settle(host, own, index, effects.flatten().unwrap_or_default());
        }
    }

    /// The root context `own` ticks: answers those whose time is over, sends what has room.
    pub fn admit_by_tick(&mut self, host: &dyn Host, own: u32, now: Millis) {
        self.suppose_first_tokens(now);
        let mut any = false;
        for index in 0..self.pools.len() {
            let effects = self.with_admission(host, index, now, |admission, site| {
                (!admission.is_empty()).then(|| admission.tick(site, now))
            });
            self.settle(host, own, index, effects.flatten().unwrap_or_default());
            any |= self.holds(index);
        }
        if !any && std::mem::take(&mut self.ticks_fast) {
            host.tick_every(TICK_MS);
        }
    }

    /// Something is held: asks for the ticks that its deadline needs.
    fn hold_tick(&mut self, host: &dyn Host) {
        if !std::mem::replace(&mut self.ticks_fast, true) {
            host.tick_every(HELD_TICK_MS);
        }
    }

    /// Whether the root context ticks as fast as held requests need it.
    #[must_use]
    pub const fn ticks_fast(&self) -> bool {
        self.ticks_fast
    }

    fn holds(&self, index: usize) -> bool {
        let pool = self.pools.get(index);
        let admission = pool.and_then(|pool| pool.admission.as_ref());
        admission.is_some_and(|admission| !admission.is_empty())
    }

    /// Shows how much waits, in all workers, and how full the pools are. Every worker shows the same, so
    /// that it does not matter whose word is the last.
    pub(super) fn show_queues(&self, host: &dyn Host, now: Millis) {
        for (index, pool) in self.pools.iter().enumerate() {
            let Some(admission) = &pool.admission else {
                continue;
            };
            let rows = board::decode(&host.shared(&pool.keys.board).value).unwrap_or_default();
            let others = rows
                .iter()
                .filter(|row| row.owner != self.table.owner() && now.since(row.beat) < EXPIRY_MS);
            let (requests, bytes) = others.fold((0, 0), |(requests, bytes), row| {
                (requests + u64::from(row.waiting), bytes + row.bytes)
            });
            let queue = admission.queue();
            let gauges = QueueGauges {
                requests: requests + queue.len() as u64,
                bytes: bytes + queue.bytes(),
                saturation: admission.saturation(),
            };
            self.metrics.queue(host, index, gauges);
        }
    }

    /// Does what was decided about held requests.
    fn settle(&mut self, host: &dyn Host, own: u32, index: usize, effects: Vec<Effect<Held>>) {
        for effect in effects {
            match effect {
                Effect::Dispatch(dispatch) => self.send(host, own, index, &dispatch),
                Effect::Refuse {
                    held,
                    refusal,
                    waited_ms,
                } => {
                    self.metrics
                        .waited(host, index, Waited::Refused(refusal.reason));
                    self.metrics.wait_took(host, index, waited_ms);
                    if held.refuse(host, own, refusal) {
                        self.metrics.refused(host, index);
                    } else {
                        log::debug!("a held request was gone before it was refused");
                    }
                }
            }
        }
    }

    fn send(&mut self, host: &dyn Host, own: u32, index: usize, dispatch: &Dispatch<Held>) {
        let started = host.monotonic_nanos();
        let now = Millis(started / 1_000_000);
        self.metrics.waited(host, index, Waited::Dispatched);
        self.metrics.wait_took(host, index, dispatch.waited_ms);
        let (choice, destination) = self.sent(host, index, dispatch, started);
        let held = &dispatch.held;
        let reason: Reason = dispatch.decision.reason();
        let list = Some(destination.as_str());
        let log = |host: &dyn Host| {
            log_reason(host, reason);
            self.log_decision(host, &choice);
        };
        if held.send(host, own, list, log) {
            self.chosen(host, &choice, held.facts().stream, now);
            held.decide(Fate::Sent(Some(Box::new(choice))));
        } else {
            held.decide(Fate::Sent(None));
            self.release(host, Box::new(choice), None);
        }
    }

    /// Calls the admission of the pool at `index`, if there is one, with this worker around it.
    fn with_admission<R>(
        &mut self,
        host: &dyn Host,
        index: usize,
        now: Millis,
        act: impl FnOnce(&mut Admission<Held>, &mut Surroundings<'_>) -> R,
    ) -> Option<R> {
        let mut admission = self.pools.get_mut(index)?.admission.take()?;
        let queue = self.wake.queue(host, self.table.key());
        let mut site = Surroundings::new(host, self, index, queue, now);
        let result = act(&mut admission, &mut site);
        if let Some(pool) = self.pools.get_mut(index) {
            pool.admission = Some(admission);
        }
        Some(result)
    }
}
