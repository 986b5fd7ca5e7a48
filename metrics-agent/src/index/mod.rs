//! What the agent knows, and what it says: events in, publications out.
//!
//! ```text
//!   Membership (discovery) ---+
//!   Observation (scheduler) --+--> Index --publish(now)--> Publication --> one Cursor a gateway
//!   Report, Sheds (gateways) -+      |
//!                                    +--> views for /debug/pools and the metrics
//! ```
//!
//! Pure: no clock, no I/O, no tasks. Every method takes the time it needs, so that tests replay any
//! interleaving of events.
//!
//! Three rules:
//!
//! * An endpoint is published after its first scrape attempt, whatever came of it; a pool after the
//!   first attempts of all its endpoints (or a grace period), so that the first endpoint to answer
//!   is not flooded.
//! * Equal measurements refresh ages at a bounded rate ([`REFRESH_MS`]); changed ones at once.
//! * A generation is a hash of the configured name (or the address) and the engine's present life
//!   (its process's start time): equal among agents, another one after a restart.

mod endpoint;
mod loads;
mod membership;
mod pool;
mod publication;
mod sheds;
mod views;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use picker::Millis;

use endpoint::EndpointState;
use pool::PoolState;

pub use endpoint::{Attempt, Observation, REFRESH_MS, Tallies, generation};
pub use loads::{GatewayLoad, Loads};
pub use membership::{Member, Membership, PoolMembers, TargetId};
pub use publication::Publication;
pub use sheds::ShedsView;
pub use views::{EndpointView, GatewayView, Pod, PoolView, STALE_MS};

/// The publications of one round, by pool.
pub type Publications = BTreeMap<Arc<str>, Arc<Publication>>;

/// Everything the agent knows.
#[derive(Debug)]
pub struct Index {
    agent_id: u64,
    epoch: u64,
    /// A pool whose endpoints were not all attempted is withheld at most for so long.
    grace_ms: u64,
    pools: BTreeMap<Arc<str>, PoolState>,
    endpoints: HashMap<TargetId, EndpointState>,
    /// The last sequence of every pool that was ever published, so that a pool which comes back
    /// goes on counting.
    sequences: BTreeMap<Arc<str>, u64>,
    /// Pools whose new endpoints wait until they are released.
    holding: HashSet<String>,
}

impl Index {
    /// An index without pools. `agent_id` is the hash of the agent's stable identity, `epoch` the
    /// start of this process in milliseconds since 1970.
    #[must_use]
    pub fn new(agent_id: u64, epoch: u64, grace_ms: u64) -> Self {
        Self {
            agent_id,
            epoch,
            grace_ms,
            pools: BTreeMap::new(),
            endpoints: HashMap::new(),
            sequences: BTreeMap::new(),
            holding: HashSet::new(),
        }
    }

    /// Replaces the whole membership. What is known of endpoints that stay is kept; gateways' loads
    /// stay with the pools of the same name.
    pub fn set_membership(&mut self, membership: &Membership, now: Millis) {
        let mut old = std::mem::take(&mut self.pools);
        for members in &membership.pools {
            let mut pool = match old.remove(&members.name) {
                Some(pool) => pool.with_members(members, now),
                None => PoolState::new(members, now),
            };
            pool.set_holding(self.holding.contains(&*members.name));
            self.pools.insert(Arc::clone(&members.name), pool);
        }
        let targets: HashSet<TargetId> = membership.targets().collect();
        self.endpoints.retain(|target, _| targets.contains(target));
        for target in targets {
            self.endpoints.entry(target).or_default();
        }
    }

    /// Takes the outcome of one scrape attempt; says whether there is something to publish.
    /// Outcomes of targets that are no longer members are ignored.
    pub fn observe(&mut self, target: TargetId, observation: Observation) -> bool {
        let Some(endpoint) = self.endpoints.get_mut(&target) else {
            return false;
        };
        let before = endpoint.life();
        if !endpoint.observe(observation) {
            return false;
        }
        if before.is_some_and(|before| endpoint.life() != Some(before)) {
            for pool in self.pools.values_mut().filter(|pool| pool.has(target)) {
                pool.restarted(target);
            }
        }
        let mut dirty = false;
        for pool in self.pools.values_mut() {
            if pool.has(target) {
                pool.touch();
                dirty = true;
            }
        }
        dirty
    }

    /// From now on endpoints that join one of these pools, or whose engine was started anew, are not
    /// published until they are released; says whether that released some of other pools.
    pub fn set_holding(&mut self, pools: HashSet<String>) -> bool {
        self.holding = pools;
        let mut dirty = false;
        for (name, pool) in &mut self.pools {
            dirty |= pool.set_holding(self.holding.contains(&**name));
        }
        dirty
    }

    /// Lets an endpoint that waits join; says whether there was one.
    pub fn release(&mut self, pool: &str, target: TargetId) -> bool {
        let pool = self.pools.get_mut(pool);
        pool.is_some_and(|pool| pool.release(target))
    }

    /// Takes a gateway's load on one pool; says whether other gateways should hear of it. Reports on
    /// unknown pools are ignored.
    pub fn report(
        &mut self,
        gateway: &Arc<str>,
        stream: u64,
        report: pool_state::convert::Report,
        now: Millis,
    ) -> bool {
        match self.pools.get_mut(report.pool.as_str()) {
            Some(pool) => pool.report(gateway, stream, report.loads, now),
            None => false,
        }
    }

    /// Takes what a gateway refused of one pool's requests since its Envoy started. Reports on unknown
    /// pools are ignored.
    pub fn sheds(&mut self, stream: u64, report: &pool_state::convert::Sheds) {
        if let Some(pool) = self.pools.get_mut(report.pool.as_str()) {
            pool.sheds.report(stream, report.total);
        }
    }

    /// Notes that a gateway which said something lives, and so still has what it reported last.
    pub fn heard(&mut self, gateway: &str, stream: u64, now: Millis) {
        for pool in self.pools.values_mut() {
            pool.heard(gateway, stream, now);
        }
    }

    /// Forgets the loads and base lines that came over a stream which ended; says whether other
    /// gateways should hear of it. Loads that the gateway reported over a later stream stay.
    pub fn gateway_gone(&mut self, gateway: &str, stream: u64) -> bool {
        let mut dirty = false;
        for pool in self.pools.values_mut() {
            dirty |= pool.gateway_gone(gateway, stream);
        }
        dirty
    }

    /// When to call [`Index::publish`] although nothing happens: the end of a grace period.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        self.pools
            .values()
            .filter_map(|pool| pool.withheld_until(self.grace_ms))
            .min()
    }

    /// The pools that changed since the last call, as publications. Between two calls any number of
    /// events become one publication for each pool.
    pub fn publish(&mut self, now: Millis, unix_ms: u64) -> Publications {
        let mut publications = Publications::new();
        for (name, pool) in &mut self.pools {
            if !pool.is_due(&self.endpoints, now, self.grace_ms) {
                continue;
            }
            let sequence = self.sequences.entry(Arc::clone(name)).or_insert(0);
            *sequence = sequence.saturating_add(1);
            let version = picker::SnapshotVersion {
                agent_id: self.agent_id,
                epoch: self.epoch,
                sequence: *sequence,
                taken_at_unix_ms: unix_ms,
            };
            let publication = pool.publish(name, version, &self.endpoints, now);
            publications.insert(Arc::clone(name), publication);
        }
        publications
    }

    /// The names of the pools there are.
    pub fn pool_names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.pools.keys()
    }

    /// Whether every endpoint had its first scrape attempt and every name its first resolution.
    #[must_use]
    pub fn all_attempted(&self) -> bool {
        self.pools
            .values()
            .all(|pool| pool.all_attempted(&self.endpoints))
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
