//! A pod: an engine behind an address, and its lives.

use model_sim::engine::{Engine, EngineConfig, RequestId, SimTime};
use picker::EndpointId;

use crate::outcome::PodRecord;

/// The port of every pod.
const PORT: u16 = 8_000;

/// One pod.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) engine: Engine,
    pub(crate) alive: bool,
    /// Counts its lives from 1.
    pub(super) generation: u64,
    /// The sum of [`super::request::Request::to_compute`] of the requests inside.
    pub(crate) to_compute: u64,
    /// When the engine is planned to wake.
    pub(super) wake_at: Option<SimTime>,
    /// The places of the requests inside, by the engine's slot number.
    inside: Vec<Option<u32>>,
    /// What former lives did.
    record: PodRecord,
}

impl Pod {
    pub(super) fn new(config: EngineConfig) -> Self {
        Self {
            engine: Engine::new(config),
            alive: true,
            generation: 1,
            to_compute: 0,
            wake_at: None,
            inside: Vec::new(),
            record: PodRecord::default(),
        }
    }

    /// Notes which request the engine knows by `id`.
    pub(super) fn took(&mut self, id: RequestId, place: u32) {
        let slot = slot_of(id);
        if slot >= self.inside.len() {
            self.inside.resize(slot + 1, None);
        }
        if let Some(entry) = self.inside.get_mut(slot) {
            *entry = Some(place);
        }
    }

    /// The request that the engine knows by `id`.
    pub(super) fn place(&self, id: RequestId) -> Option<u32> {
        self.inside.get(slot_of(id)).copied().flatten()
    }

    /// Forgets a request that ended.
    pub(super) fn let_go(&mut self, id: RequestId) {
        if let Some(entry) = self.inside.get_mut(slot_of(id)) {
            *entry = None;
        }
    }

    /// Ends this life; gives the places of the requests that were inside.
    pub(super) fn fail(&mut self) -> Vec<u32> {
        self.record = self.record();
        self.engine = Engine::new(self.engine.config().clone());
        self.alive = false;
        self.to_compute = 0;
        self.wake_at = None;
        let lost = self.inside.iter().filter_map(|place| *place).collect();
        self.inside.clear();
        lost
    }

    /// Begins another life.
    pub(super) fn come_back(&mut self) {
        if !self.alive {
            self.alive = true;
            self.generation += 1;
        }
    }

    /// What all of its lives did.
    pub(super) fn record(&self) -> PodRecord {
        let counters = self.engine.counters();
        let before = &self.record;
        PodRecord {
            finished: before.finished + counters.finished,
            generated_tokens: before.generated_tokens + counters.generation_tokens,
            busy_seconds: before.busy_seconds + counters.busy_seconds,
            preemptions: before.preemptions + counters.preemptions,
            lora_loads: before.lora_loads + counters.lora_loads,
        }
    }
}

/// The engine's slot number, which it uses again for later requests.
fn slot_of(id: RequestId) -> usize {
    (id.as_u64() & u64::from(u32::MAX)) as usize
}

/// The endpoint of the pod at `index` in the life `generation`.
pub(super) fn endpoint_id(index: usize, generation: u64) -> EndpointId {
    let [_, a, b, c] = (index as u32 + 1).to_be_bytes();
    EndpointId {
        address: ([10, a, b, c], PORT).into(),
        generation,
    }
}

/// The index of an endpoint's pod.
pub(super) fn pod_index(id: EndpointId) -> Option<usize> {
    match id.address.ip() {
        std::net::IpAddr::V4(ip) => {
            let [_, a, b, c] = ip.octets();
            (u32::from_be_bytes([0, a, b, c]) as usize).checked_sub(1)
        }
        std::net::IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_name_their_pods_and_sort_like_them() {
        let ids: Vec<_> = (0..70_000).map(|index| endpoint_id(index, 3)).collect();
        assert!(ids.is_sorted());
        for (index, id) in ids.into_iter().enumerate() {
            assert_eq!(pod_index(id), Some(index));
        }
    }
}
