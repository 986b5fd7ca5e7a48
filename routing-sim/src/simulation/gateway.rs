//! A gateway: workers that share memory.

use admission::SequenceLimits;
use hashbrown::HashMap;
use model_sim::engine::SimTime;
use picker::{Decision, EndpointId, InFlight, RequestFacts};
use pool_state::slot::pool;

use super::{admission::Commons, clock::millis, worker::Worker};

/// One gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) workers: Vec<Worker>,
    /// The pool's slot and the version key beside it.
    slot: Vec<u8>,
    version: u64,
    /// What admission shares between the workers.
    commons: Commons,
    sequence_limits: SequenceLimits,
}

impl Gateway {
    pub(super) fn new(workers: Vec<Worker>) -> Self {
        Self {
            workers,
            slot: Vec::new(),
            version: 0,
            commons: Commons::default(),
            sequence_limits: SequenceLimits::default(),
        }
    }

    /// Writes the pool's slot.
    pub(super) fn receive(&mut self, slot: Vec<u8>) {
        if self.workers.iter().any(|worker| worker.admission.is_some()) {
            self.learn_limits(&slot);
        }
        self.slot = slot;
        self.version += 1;
    }

    /// As the worker that leads does for all.
    fn learn_limits(&mut self, slot: &[u8]) {
        let Ok(snapshot) = pool::decode(slot) else {
            return;
        };
        let loads = self.loads();
        let prefill_tokens = |id| loads.get(&id).map_or(0, |load| load.prefill_tokens);
        self.sequence_limits
            .observe(&snapshot.endpoints, prefill_tokens);
        let known = self.sequence_limits.known();
        for worker in &mut self.workers {
            worker.sequence_limits = known.iter().copied().collect();
        }
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
        // First, so that the members are known of which the others tell.
        own.reload(self.version, &self.slot);
        if own.wants_others(now) {
            own.begin_reading(now);
            for other in before.iter_mut().chain(after) {
                own.read(other.show(now));
            }
        }
        Some(own.pick(facts, at))
    }

    /// Its workers, the pool's slot with its version, and what admission shares.
    pub(super) fn parts(&mut self) -> (&mut [Worker], &[u8], u64, &mut Commons) {
        (
            &mut self.workers,
            &self.slot,
            self.version,
            &mut self.commons,
        )
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

#[cfg(test)]
mod tests {
    use model_sim::engine::EngineConfig;
    use picker::{Endpoint, Picker, PickerConfig, policy::PolicyName};

    use super::*;
    use crate::simulation::{agent::Agent, members, pod::Pod};

    fn gateway(policy: PolicyName, workers: u64) -> Gateway {
        let config = PickerConfig {
            policy,
            ..PickerConfig::default()
        };
        let worker = |owner| Worker::new(owner, Picker::new(config), members(4), owner);
        Gateway::new((1..=workers).map(worker).collect())
    }

    fn first(gateway: &mut Gateway, worker: usize, facts: &RequestFacts, at: f64) -> EndpointId {
        let at = SimTime::from_seconds(at);
        let decision = gateway.pick(worker, facts, at).expect("a worker");
        let endpoints: &[Endpoint] = gateway.workers[worker].endpoints();
        endpoints[decision.first().expect("a choice")].id
    }

    #[test]
    fn workers_see_each_others_load_within_a_millisecond() {
        let mut gateway = gateway(PolicyName::LeastInFlight, 3);
        let facts = RequestFacts::default();
        let mut used = Vec::new();
        for turn in 0..4 {
            let id = first(&mut gateway, turn % 3, &facts, turn as f64 * 0.002);
            let worker = &mut gateway.workers[turn % 3];
            worker.ledger.begin(id, 10, 10);
            worker.touched();
            used.push(id);
        }
        used.sort_unstable();
        used.dedup();
        assert_eq!(used.len(), 4, "each went where nothing was in flight");
        assert_eq!(gateway.loads().len(), 4);
    }

    #[test]
    fn workers_learn_where_the_others_sent_a_prompt() {
        let mut gateway = gateway(PolicyName::Scored, 2);
        let pods: Vec<_> = (0..4).map(|_| Pod::new(EngineConfig::default())).collect();
        let mut agent = Agent::new(&pods, 1, 0, false);
        for (index, pod) in pods.iter().enumerate() {
            agent.scrape(index, pod, SimTime::ZERO);
        }
        gateway.receive(agent.publish().remove(0));
        let facts = RequestFacts {
            prefix: (1..40).collect(),
            prompt_bytes: 10_000,
            ..RequestFacts::default()
        };
        let holder = first(&mut gateway, 0, &facts, 0.0);
        gateway.workers[0].dispatched(&facts, holder);
        for turn in 1..20 {
            let picked = first(&mut gateway, 1, &facts, f64::from(turn) * 0.002);
            assert_eq!(picked, holder);
        }
    }
}
