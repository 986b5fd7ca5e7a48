//! The agent: looks at the pods, hears the gateways, tells each gateway.
//!
//! ```text
//!   pods --scrape--> endpoints (signals) --.
//!                                           +--> snapshot for gateway g: others = all but g's own
//!   gateways --report--> loads ------------'
//! ```

use std::sync::Arc;

use hashbrown::HashMap;
use model_sim::engine::SimTime;
use picker::{
    Endpoint, EndpointId, Health, InFlight, LoraState, PoolSnapshot, Signal, Signals,
    SnapshotVersion,
};
use pool_state::slot::pool;

use super::{
    clock::millis,
    learner::Learner,
    pod::{Pod, endpoint_id},
};
use crate::workload::adapter_name;

/// The pool's name.
pub(super) const POOL: &str = "pool";

/// What one gateway said last.
#[derive(Debug, Clone, Default)]
struct Report {
    at: SimTime,
    loads: HashMap<EndpointId, InFlight>,
}

/// The agent.
#[derive(Debug)]
pub(super) struct Agent {
    endpoints: Vec<Endpoint>,
    learners: Vec<Learner>,
    reports: Vec<Option<Report>>,
    adapters: Vec<Arc<str>>,
    share: bool,
    sequence: u64,
}

impl Agent {
    /// An agent that knows the members, and nothing of them.
    pub(super) fn new(pods: &[Pod], gateways: usize, adapters: u32, share: bool) -> Self {
        let endpoint =
            |(index, pod): (usize, &Pod)| Endpoint::new(endpoint_id(index, pod.generation));
        let adapter = |number| Arc::from(adapter_name(model_sim::engine::LoraId(number)));
        Self {
            endpoints: pods.iter().enumerate().map(endpoint).collect(),
            learners: pods.iter().map(|_| Learner::default()).collect(),
            reports: vec![None; gateways],
            adapters: (0..adapters).map(adapter).collect(),
            share,
            sequence: 0,
        }
    }

    /// Reads a pod's metrics page.
    pub(super) fn scrape(&mut self, index: usize, pod: &Pod, at: SimTime) {
        let (Some(endpoint), Some(learner)) =
            (self.endpoints.get_mut(index), self.learners.get_mut(index))
        else {
            return;
        };
        if !pod.alive {
            endpoint.health = Health::Suspect;
            return;
        }
        let id = endpoint_id(index, pod.generation);
        if endpoint.id != id {
            *endpoint = Endpoint::new(id);
            *learner = Learner::default();
        }
        endpoint.health = Health::Ready;
        learner.scrape(&pod.engine, at);
        let now = millis(at);
        let gauges = pod.engine.gauges();
        let config = pod.engine.config();
        let lora = (!self.adapters.is_empty()).then(|| {
            let active: Vec<_> = pod
                .engine
                .running_loras()
                .filter_map(|adapter| self.adapters.get(adapter.0 as usize).cloned())
                .collect();
            let state = LoraState {
                waiting: active.clone(),
                active,
                registered: self.adapters.clone(),
                max: config.max_loras,
            };
            Signal::new(state, now)
        });
        endpoint.signals = Signals {
            waiting: Some(Signal::new(gauges.waiting as f32, now)),
            running: Some(Signal::new(gauges.running as f32, now)),
            kv_usage: Some(Signal::new(gauges.kv_usage() as f32, now)),
            lora,
            step_model: learner.step_model().map(|model| Signal::new(model, now)),
            mean_output_tokens: learner
                .mean_output_tokens()
                .map(|tokens| Signal::new(tokens, now)),
            kv_block_size: Some(config.block_tokens),
            kv_blocks: Some(config.kv_blocks),
            max_model_len: Some(config.max_model_len),
            ..Signals::default()
        };
    }

    /// Hears what a gateway has in flight.
    pub(super) fn hear(
        &mut self,
        gateway: usize,
        at: SimTime,
        loads: HashMap<EndpointId, InFlight>,
    ) {
        if let Some(report) = self.reports.get_mut(gateway) {
            *report = Some(Report { at, loads });
        }
    }

    /// The slot's bytes for every gateway, in order.
    pub(super) fn publish(&mut self) -> Vec<Vec<u8>> {
        self.sequence += 1;
        let mut snapshot = PoolSnapshot {
            pool: POOL.to_owned(),
            version: SnapshotVersion {
                agent_id: 1,
                epoch: 1,
                sequence: self.sequence,
                taken_at_unix_ms: 0,
            },
            endpoints: std::mem::take(&mut self.endpoints),
        };
        let slots = if self.share && self.reports.len() > 1 {
            (0..self.reports.len())
                .map(|gateway| {
                    self.tell_others(gateway, &mut snapshot.endpoints);
                    pool::encode(&snapshot)
                })
                .collect()
        } else {
            vec![pool::encode(&snapshot); self.reports.len()]
        };
        self.endpoints = snapshot.endpoints;
        slots
    }

    /// Writes what all gateways but this one have in flight. As in the agent, the sums are as old as
    /// the oldest report.
    fn tell_others(&self, gateway: usize, endpoints: &mut [Endpoint]) {
        let others = || {
            let reports = self.reports.iter().enumerate();
            reports.filter_map(|(from, report)| report.as_ref().filter(|_| from != gateway))
        };
        let Some(oldest) = others().map(|report| report.at).min() else {
            return;
        };
        for endpoint in endpoints {
            let sum = others()
                .filter_map(|report| report.loads.get(&endpoint.id))
                .fold(InFlight::default(), |sum, load| sum.plus(*load));
            endpoint.signals.others_in_flight = Some(Signal::new(sum, millis(oldest)));
        }
    }
}
