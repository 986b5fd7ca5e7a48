//! The keys in Envoy's shared data. All are created when the plugin is configured, their number is
//! fixed by the configuration, and every one begins with [`PREFIX`], because with an empty `vm_id`
//! (always so in Istio) all plugins of the proxy share one key space.
//!
//! ```text
//!   zerohop/v1/process                    random id of this Envoy process
//!   zerohop/v1/in-flight/claims           moves whenever a worker claims a slot
//!   zerohop/v1/in-flight/00 .. 63         one worker's in-flight table each, for all pools
//!   zerohop/v1/prefix/00 .. 63            the last prompts of the worker with that in-flight slot
//!   zerohop/v1/prefix/version             moves whenever one of those was written
//!   zerohop/v1/pool/<name>/snapshot       the pool's state, written by the holder of its lease
//!   zerohop/v1/pool/<name>/version        moves whenever the snapshot was written
//!   zerohop/v1/pool/<name>/policy         the pool's policy, as the agent sent it last
//!   zerohop/v1/pool/<name>/policy-version  moves whenever the policy was written
//!   zerohop/v1/pool/<name>/lease          who holds the stream for this pool
//!   zerohop/v1/pool/<name>/agent          which agent's cluster the latest configuration names
//!   zerohop/v1/pool/<name>/board          which workers hold requests back for want of room
//!   zerohop/v1/pool/<name>/sequences      how many requests its engines run at once
//!   zerohop/v1/pool/<name>/claim          moves whenever a worker took room for what it had held
//! ```

use pool_state::slot::version;
use xxhash_rust::xxh64::xxh64;

use crate::host::{Host, Shared, WriteError};

/// What every key begins with. The number is the version of this layout of keys.
pub const PREFIX: &str = "zerohop/v1";
/// How many workers can publish their in-flight table at the same time.
pub const IN_FLIGHT_SLOTS: usize = 64;
/// How often a lost race is tried again before the next tick has to do it.
const MAX_ATTEMPTS: usize = 8;

/// The keys of one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolKeys {
    /// The pool's state.
    pub snapshot: String,
    /// Moves with the state.
    pub version: String,
    /// The pool's policy.
    pub policy: String,
    /// Moves with the policy.
    pub policy_version: String,
    /// Who feeds the state.
    pub lease: String,
    /// From which agent.
    pub agent: String,
    /// Who holds requests back.
    pub board: String,
    /// How many requests its engines run at once, by the holder of its lease.
    pub sequences: String,
    /// Moves with the room that is taken.
    pub claim: String,
}

impl PoolKeys {
    /// The keys of the pool of this name.
    #[must_use]
    pub fn new(pool: &str) -> Self {
        let key = |leaf| format!("{PREFIX}/pool/{pool}/{leaf}");
        Self {
            snapshot: key("snapshot"),
            version: key("version"),
            policy: key("policy"),
            policy_version: key("policy-version"),
            lease: key("lease"),
            agent: key("agent"),
            board: key("board"),
            sequences: key("sequences"),
            claim: key("claim"),
        }
    }

    /// Creates those that do not exist yet.
    pub fn create(&self, host: &dyn Host) {
        let state = [&self.snapshot, &self.version, &self.lease, &self.agent];
        for key in state
            .into_iter()
            .chain([&self.policy, &self.policy_version])
            .chain([&self.board, &self.sequences, &self.claim])
        {
            create(host, key);
        }
    }
}

/// The key of the claims counter.
#[must_use]
pub fn claims_key() -> String {
    format!("{PREFIX}/in-flight/claims")
}

/// The keys of the in-flight tables.
#[must_use]
pub fn in_flight_keys() -> Vec<String> {
    (0..IN_FLIGHT_SLOTS)
        .map(|slot| format!("{PREFIX}/in-flight/{slot:02}"))
        .collect()
}

/// The keys of the workers' logs of prompts, numbered like the in-flight tables.
#[must_use]
pub fn prefix_keys() -> Vec<String> {
    (0..IN_FLIGHT_SLOTS)
        .map(|slot| format!("{PREFIX}/prefix/{slot:02}"))
        .collect()
}

/// The key that moves with the logs of prompts.
#[must_use]
pub fn prefix_version_key() -> String {
    format!("{PREFIX}/prefix/version")
}

/// The name of the queue that wakes the worker with this in-flight slot.
#[must_use]
pub fn queue_name(slot: &str) -> String {
    format!("{slot}/wake")
}

/// Creates the keys that do not belong to a pool.
pub fn create_common(host: &dyn Host) {
    for key in [claims_key(), prefix_version_key()] {
        create(host, &key);
    }
    for key in in_flight_keys().iter().chain(&prefix_keys()) {
        create(host, key);
    }
}

/// The random id of this Envoy process, drawn by whoever asks first (Envoy configures a canary VM
/// alone before all others).
#[must_use]
pub fn process_id(host: &dyn Host) -> u64 {
    let key = format!("{PREFIX}/process");
    let found = host.shared(&key);
    if let Ok(id) = version::decode(&found.value) {
        return id;
    }
    let id = host.random();
    match host.replace_shared(&key, &version::encode(id), &found) {
        Ok(()) => id,
        Err(_) => version::decode(&host.shared(&key).value).unwrap_or(id),
    }
}

/// Creating over an existing value would wipe it, so only a missing key is created.
fn create(host: &dyn Host, key: &str) {
    if host.shared(key).guard.is_none()
        && let Err(error) = host.set_shared(key, &[])
    {
        log::error!("shared data key {key} was not created: {error}");
    }
}

/// Moves a version key on. Readers only look whether it moved.
pub fn bump(host: &dyn Host, key: &str) {
    for _ in 0..MAX_ATTEMPTS {
        let seen = host.shared(key);
        let next = version::decode(&seen.value).unwrap_or(0).wrapping_add(1);
        match host.replace_shared(key, &version::encode(next), &seen) {
            Err(WriteError::Conflict) => {}
            Ok(()) => return,
            Err(WriteError::Refused(error)) => {
                log::error!("shared data key {key} was not written: {error}");
                return;
            }
        }
    }
}

/// What a version key says; `None` when nothing was written or somebody wrote rubbish.
#[must_use]
pub fn version_of(host: &dyn Host, key: &str) -> Option<u64> {
    version::decode(&host.shared(key).value).ok()
}

/// Remembers which agent the latest configuration of a pool names.
pub fn set_agent(host: &dyn Host, keys: &PoolKeys, cluster: &str) {
    if let Err(error) = host.set_shared(&keys.agent, &version::encode(agent_mark(cluster))) {
        log::error!("shared data key {} was not written: {error}", keys.agent);
    }
}

/// Whether the latest configuration of a pool names this agent, or none that can be read.
#[must_use]
pub fn is_agent(host: &dyn Host, keys: &PoolKeys, cluster: &str) -> bool {
    let Shared { value, .. } = host.shared(&keys.agent);
    version::decode(&value).map_or(true, |mark| mark == agent_mark(cluster))
}

fn agent_mark(cluster: &str) -> u64 {
    xxh64(cluster.as_bytes(), 0)
}
