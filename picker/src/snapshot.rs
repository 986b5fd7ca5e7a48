//! A pool's state as one agent saw it at one moment.

use crate::endpoint::Endpoint;

/// Where a snapshot stands in one agent's history.
///
/// Within one `(agent_id, epoch)` the sequence only grows. An epoch is one run of the agent's
/// process; a later run has a greater epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SnapshotVersion {
    /// A hash of the agent's stable identity.
    pub agent_id: u64,
    /// The agent's start in milliseconds since 1970, so that a restart is newer.
    pub epoch: u64,
    /// Counts the agent's publications of this pool from 1.
    pub sequence: u64,
    /// The agent's wall clock in milliseconds since 1970 when the state was taken; for people and
    /// logs only, never compared with another machine's clock.
    pub taken_at_unix_ms: u64,
}

/// The members of a pool and what is known of each.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PoolSnapshot {
    /// The pool's name.
    pub pool: String,
    /// Where it comes from.
    pub version: SnapshotVersion,
    /// The members, sorted by [`crate::EndpointId`] and without duplicates.
    pub endpoints: Vec<Endpoint>,
}
