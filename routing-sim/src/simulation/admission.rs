//! Admission in the simulated worker: the crate that the filter runs, over the simulator's memory.
//!
//! ```text
//!   arrival --> Admission.arrive --Go--> dispatch
//!                   | Held                  ^
//!   first token, end --> freed --wake--> Woken, after the delay of a shared queue
//!   20 ms ----------------------------> Tick
//! ```

use std::{collections::HashMap, time::Duration};

use admission::{
    Admission, Arrival, Arrived, Dispatch, Effect, Guard, Shared, Site,
    saturation::{self, Missing},
};
use model_sim::engine::SimTime;
use picker::{Decision, EndpointId, Estimate, Millis, PoolView};

use super::{Simulation, clock::millis, queue::Event, request::Requests, worker::Worker};
use crate::{outcome::Status, scenario::AdmissionUnderTest};

/// From a wake-up to the callback that it causes, as measured between two workers of an Envoy.
const WAKE_DELAY: Duration = Duration::from_micros(55);
/// The tick while something waits.
const TICK: Duration = Duration::from_millis(20);
/// Metrics that are older count as missing, in milliseconds: the reference's default.
const REFERENCE_STALE_MS: u64 = 200;

/// The values that the workers of a gateway share.
pub(super) type Commons = HashMap<Shared, (Vec<u8>, u32)>;

/// One worker among the others of its gateway.
struct Seat<'a> {
    now: SimTime,
    own: &'a mut Worker,
    index: u32,
    others: Vec<&'a mut Worker>,
    slot: &'a [u8],
    version: u64,
    commons: &'a mut Commons,
    requests: &'a Requests,
    wakes: &'a mut Vec<u32>,
}

impl Site<u32> for Seat<'_> {
    fn read(&mut self, value: Shared) -> (Vec<u8>, Guard) {
        match self.commons.get(&value) {
            Some((bytes, guard)) => (bytes.clone(), Some(*guard)),
            None => (Vec::new(), None),
        }
    }

    fn replace(&mut self, value: Shared, bytes: &[u8], guard: Guard) -> bool {
        let now = self.commons.get(&value).map(|(_, guard)| *guard);
        if now != guard {
            return false;
        }
        let next = now.unwrap_or(0).wrapping_add(1);
        self.commons.insert(value, (bytes.to_vec(), next));
        true
    }

    fn wake(&mut self, queue: u32) {
        self.wakes.push(queue);
    }

    fn queue(&self) -> Option<u32> {
        Some(self.index)
    }

    fn look_around(&mut self) {
        let now = millis(self.now);
        self.own.reload(self.version, self.slot);
        self.own.begin_reading(now);
        for other in &mut self.others {
            self.own.read(other.show(now));
        }
        self.own.recount(now);
    }

    fn consider(&mut self, place: &u32) -> Decision {
        match self.requests.get(*place) {
            Some(request) => self.own.consider(&request.arrival.facts, self.now),
            None => Decision::none(picker::Reason::NoneEligible),
        }
    }

    fn view(&self) -> PoolView<'_> {
        self.own.view(millis(self.now))
    }

    fn begin(&mut self, endpoint: EndpointId, estimate: Estimate) {
        let (tokens, uncached) = (estimate.prompt_tokens, estimate.uncached_tokens);
        self.own.ledger.begin(endpoint, tokens, uncached);
        self.own.recount_at(endpoint);
    }

    fn undo(&mut self, endpoint: EndpointId, estimate: Estimate) {
        let (tokens, uncached) = (estimate.prompt_tokens, estimate.uncached_tokens);
        self.own.ledger.end(endpoint, tokens, Some(uncached));
        self.own.recount_at(endpoint);
    }

    fn publish(&mut self) {
        self.own.touched();
    }
}

impl Simulation<'_> {
    /// Has the admission of a worker do something, and plans the wake-ups that this causes. `None` when
    /// the worker has no admission.
    fn admit<R>(
        &mut self,
        gateway_index: u32,
        worker: u32,
        act: impl FnOnce(&mut Admission<u32>, &mut Seat<'_>, Millis) -> R,
    ) -> Option<R> {
        let gateway = self.gateways.get_mut(gateway_index as usize)?;
        let (workers, slot, version, commons) = gateway.parts();
        let (before, from) = workers.split_at_mut_checked(worker as usize)?;
        let (own, after) = from.split_first_mut()?;
        let mut admission = own.admission.take()?;
        let mut wakes = Vec::new();
        let mut seat = Seat {
            now: self.now,
            index: worker,
            others: before.iter_mut().chain(after).collect(),
            slot,
            version,
            commons,
            requests: &self.requests,
            wakes: &mut wakes,
            own,
        };
        if seat.own.wants_others(millis(self.now)) {
            seat.look_around();
        } else {
            seat.own.reload(version, slot);
            seat.own.recount(millis(self.now));
        }
        let done = act(&mut admission, &mut seat, millis(self.now));
        let ticks = !admission.is_idle() && !seat.own.ticks;
        seat.own.ticks |= ticks;
        seat.own.admission = Some(admission);
        if ticks {
            let tick = Event::Tick(gateway_index, worker);
            self.queue.plan(self.now + TICK, tick);
        }
        for woken in wakes {
            let woken = Event::Woken(gateway_index, woken);
            self.queue.plan(self.now + WAKE_DELAY, woken);
        }
        Some(done)
    }

    /// A request asks to be admitted. Returns whether admission took care of it.
    pub(super) fn asks(&mut self, place: u32) -> bool {
        let Some(request) = self.requests.get_mut(place) else {
            return true;
        };
        let (gateway, worker) = (request.gateway, request.worker);
        let facts = request.arrival.facts.clone();
        if self.scenario.admission == AdmissionUnderTest::Reference
            && facts.priority.is_sheddable()
            && self.is_saturated(gateway, worker)
        {
            self.ends(place, Status::Refused, None);
            return true;
        }
        let arrived = self.admit(gateway, worker, |admission, seat, now| {
            let arrival = Arrival {
                priority: facts.priority,
                tokens: seat.own.picker.predicted_tokens(&facts),
                bytes: facts.prompt_bytes,
                ..Arrival::default()
            };
            admission.arrive(seat, now, &arrival, place)
        });
        match arrived {
            None => return false,
            Some(Arrived::Go(dispatch)) => self.goes(&dispatch),
            Some(Arrived::Held(_)) => {}
            Some(Arrived::Refused(..) | Arrived::Unroutable(..)) => {
                self.ends(place, Status::Refused, None);
            }
        }
        true
    }

    /// The reference's saturation rule.
    fn is_saturated(&mut self, gateway: u32, worker: u32) -> bool {
        let now = millis(self.now);
        let Some(gateway) = self.gateways.get_mut(gateway as usize) else {
            return false;
        };
        let (workers, slot, version, _) = gateway.parts();
        let Some(own) = workers.get_mut(worker as usize) else {
            return false;
        };
        own.reload(version, slot);
        let limits = (saturation::QUEUE_LIMIT, saturation::KV_LIMIT);
        let endpoints = own.endpoints();
        let stale = REFERENCE_STALE_MS;
        saturation::utilization(endpoints, now, limits, stale, Missing::Full) >= 1.0
    }

    pub(super) fn woken(&mut self, gateway: u32, worker: u32) {
        let effects = self.admit(gateway, worker, |admission, seat, now| {
            admission.woken(seat, now)
        });
        self.carry_out(effects.unwrap_or_default());
    }

    pub(super) fn tick(&mut self, gateway: u32, worker: u32) {
        let effects = self.admit(gateway, worker, |admission, seat, now| {
            seat.own.ticks = false;
            admission.tick(seat, now)
        });
        self.carry_out(effects.unwrap_or_default());
    }

    /// Room came free at a worker.
    pub(super) fn freed(&mut self, gateway: u32, worker: u32) {
        self.admit(gateway, worker, |admission, seat, now| {
            admission.freed(seat, now);
        });
    }

    fn carry_out(&mut self, effects: Vec<Effect<u32>>) {
        for effect in effects {
            match effect {
                Effect::Dispatch(dispatch) => self.goes(&dispatch),
                Effect::Refuse { held, .. } => self.ends(held, Status::Refused, None),
            }
        }
    }

    /// A request that admission counted already is sent.
    fn goes(&mut self, dispatch: &Dispatch<u32>) {
        let place = dispatch.held;
        let now = self.now;
        let Some(request) = self.requests.get_mut(place) else {
            return;
        };
        let gateway = self.gateways.get_mut(request.gateway as usize);
        let worker = gateway.and_then(|gateway| gateway.workers.get_mut(request.worker as usize));
        let Some(worker) = worker else {
            return;
        };
        for (choice, position) in request.choices.iter_mut().zip(dispatch.decision.choices()) {
            *choice = worker.endpoints().get(position).map(|endpoint| endpoint.id);
        }
        request.sent_at = now;
        request.estimate = dispatch.decision.estimate();
        request.counted = Some(dispatch.endpoint);
        let facts = &request.arrival.facts;
        worker.settled(facts, now, &dispatch.decision);
        worker.dispatched(facts, dispatch.endpoint);
        self.sent(place);
    }
}
