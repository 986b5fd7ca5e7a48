//! A gateway: workers that share memory.

use hashbrown::HashMap;
use model_sim::engine::SimTime;
use picker::{Decision, EndpointId, InFlight, RequestFacts};

use super::{clock::millis, worker::Worker};

/// One gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) workers: Vec<Worker>,
    /// The pool's slot and the version key beside it.
    slot: Vec<u8>,
    version: u64,
}

impl Gateway {
    pub(super) fn new(workers: Vec<Worker>) -> Self {
        Self {
            workers,
            slot: Vec::new(),
            version: 0,
        }
    }

    /// Writes the pool's slot.
    pub(super) fn receive(&mut self, slot: Vec<u8>) {
        self.slot = slot;
        self.version += 1;
    }

    /// Has a worker look around and decide.
    pub(super) fn pick(
        &mut self,
        worker: usize,
        facts: &RequestFacts,
        at: SimTime,
    ) -> Option<Decision> {
        let now = millis(at);
        let (before, from) = self.workers.split_at_mut_checked(worker)?;
        let (own, after) = from.split_first_mut()?;
        if own.wants_others(now) {
            own.begin_reading(now);
            for other in before.iter_mut().chain(after) {
                own.read(other.show(now));
            }
        }
        own.reload(self.version, &self.slot);
        Some(own.pick(facts, at))
    }

    /// What all workers together have in flight.
    pub(super) fn loads(&self) -> HashMap<EndpointId, InFlight> {
        let mut loads: HashMap<EndpointId, InFlight> = HashMap::new();
        for (id, load) in self.workers.iter().flat_map(|worker| worker.ledger.iter()) {
            let sum = loads.entry(id).or_default();
            *sum = sum.plus(load);
        }
        loads
    }
}
