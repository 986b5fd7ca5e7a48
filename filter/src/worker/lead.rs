//! What the worker that leads does for all: it shares the pools' states and tells what is in flight.

use ::admission::SequenceLimits;
use picker::{EndpointId, Millis, PoolSnapshot};
use pool_state::slot::{pool, sequences};

use super::{Pool, Worker};
use crate::{host::Host, metrics::PoolGauges, slots};

/// One endpoint's load.
pub type Load = (EndpointId, picker::InFlight);

impl Pool {
    /// Learns how many requests the engines run at once, and tells the other workers.
    fn learn_limits(&mut self, host: &dyn Host, snapshot: &PoolSnapshot) {
        let key = &self.keys.sequences;
        if self.sequence_limits.is_empty() {
            let before = sequences::decode(&host.shared(key).value);
            self.sequence_limits = SequenceLimits::resume(&before.unwrap_or_default());
        }
        let before = self.sequence_limits.known();
        let prefill_tokens = |id| self.view.prefill_tokens(id);
        self.sequence_limits
            .observe(&snapshot.endpoints, prefill_tokens);
        let known = self.sequence_limits.known();
        if known != before {
            // What cannot be shared is learned again by the next leader.
            host.set_shared(key, &sequences::encode(&known)).ok();
        }
    }
}

impl Worker {
    /// As leader: publishes a pool's state to all workers.
    pub fn publish(&mut self, host: &dyn Host, index: usize, snapshot: &PoolSnapshot) {
        let Some(pool) = self.pools.get_mut(index) else {
            return;
        };
        if self.admission.is_some() {
            pool.learn_limits(host, snapshot);
        }
        match host.set_shared(&pool.keys.snapshot, &pool::encode(snapshot)) {
            Ok(()) => slots::bump(host, &pool.keys.version),
            Err(error) => log::error!("state of pool {} not shared: {error}", pool.config.name),
        }
    }

    /// What the slot of a pool holds, if it can be used.
    #[must_use]
    pub fn published(&self, host: &dyn Host, index: usize) -> Option<PoolSnapshot> {
        let pool = self.pools.get(index)?;
        let snapshot = pool::decode(&host.shared(&pool.keys.snapshot).value).ok()?;
        (snapshot.pool == pool.config.name).then_some(snapshot)
    }

    /// As leader: what this Envoy had in flight per endpoint of a pool when its gauges were shown, sorted by
    /// endpoint.
    #[must_use]
    pub fn loads(&self, index: usize) -> Vec<Load> {
        let pool = self.pools.get(index);
        pool.map_or(Vec::new(), |pool| pool.view.loads().collect())
    }

    /// Shows the gauges of the pools that are `ours` to show: of those that we lead, or of all where there is
    /// no agent and so no leader. An agent that is gone must not freeze them.
    pub fn show_pools(&mut self, host: &dyn Host, now: Millis, ours: impl Fn(usize) -> bool) {
        for index in 0..self.pools.len() {
            let pool = self.pools.get_mut(index);
            let age_ms = pool.and_then(|pool| pool.view.age_ms(host, now));
            if ours(index) {
                self.show_pool(host, index, age_ms, now);
            }
        }
    }

    fn show_pool(&mut self, host: &dyn Host, index: usize, age_ms: Option<u64>, now: Millis) {
        self.look_around(host, index, now);
        let Some(pool) = self.pools.get(index) else {
            return;
        };
        let requests = pool.view.loads().map(|(_, load)| u64::from(load.requests));
        let gauges = PoolGauges {
            in_flight: requests.sum(),
            endpoints: pool.view.endpoints().len() as u64,
            prefix_size: pool.picker.prefix_size() as u64,
            snapshot_age_ms: age_ms,
        };
        self.metrics.pool(host, index, gauges);
    }
}
