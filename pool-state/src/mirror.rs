//! The gateway's copy of one pool, kept by the VM that holds the stream.
//!
//! ```text
//!   Snapshot --+                                   +-- taken: the copy is replaced
//!              +--> Gate: newer? whose? --> checks -+
//!   Delta -----+     |          |            |     +-- taken: the copy is patched
//!                   old        held        refused (the copy stays as it was)
//! ```

use std::{cmp::Ordering, collections::BTreeSet, iter::Peekable};

use picker::{Endpoint, EndpointId, Millis, PoolSnapshot, SnapshotVersion};

use crate::{
    convert::{Intake, id_from_proto, version_from_proto},
    error::{ContractError, Excerpt, Problem},
    gate::{Gate, Verdict},
    limits, proto,
};

/// What became of a message that keeps the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The copy now says what the message says.
    Taken,
    /// Another agent's message: it may take over only when the present one is stale.
    Held,
    /// Not newer than what was taken already.
    Old,
}

/// One pool as its agent published it last, sorted by endpoint id.
#[derive(Debug, Clone)]
pub struct PoolMirror {
    pool: String,
    gate: Gate,
    held: Option<PoolSnapshot>,
    refused_signals: u64,
}

impl PoolMirror {
    /// An empty copy of the pool of this name.
    #[must_use]
    pub fn new(pool: &str) -> Self {
        Self {
            pool: pool.to_owned(),
            gate: Gate::new(),
            held: None,
            refused_signals: 0,
        }
    }

    /// A copy that starts with what another VM of this process published (a reloaded VM, a new
    /// leader), as if it had been taken at `now`. A snapshot of another pool is ignored.
    #[must_use]
    pub fn resume(pool: &str, snapshot: PoolSnapshot, now: Millis) -> Self {
        let mut mirror = Self::new(pool);
        if snapshot.pool == pool {
            mirror.gate.take(snapshot.version, now);
            mirror.held = Some(snapshot);
        }
        mirror
    }

    /// The copy; `None` until a snapshot was taken.
    #[must_use]
    pub const fn snapshot(&self) -> Option<&PoolSnapshot> {
        self.held.as_ref()
    }

    /// How many signals of taken messages were outside their range and so became unknown.
    #[must_use]
    pub const fn refused_signals(&self) -> u64 {
        self.refused_signals
    }

    /// Replaces the copy by the snapshot that arrived at `now`, if it may be taken.
    ///
    /// # Errors
    /// When the snapshot does not keep the contract; the copy stays as it was.
    pub fn apply_snapshot(
        &mut self,
        raw: proto::Snapshot,
        now: Millis,
    ) -> Result<Applied, ContractError> {
        self.snapshot_in(raw, now)
            .map_err(|error| error.within("snapshot"))
    }

    /// Patches the copy with the delta that arrived at `now`, if it may be taken.
    ///
    /// # Errors
    /// [`ContractError::Gap`] when it does not follow exactly what is held; any other error when it
    /// does not keep the contract. The copy stays as it was.
    pub fn apply_delta(
        &mut self,
        raw: proto::Delta,
        now: Millis,
    ) -> Result<Applied, ContractError> {
        self.delta_in(raw, now)
            .map_err(|error| error.within("delta"))
    }

    fn snapshot_in(&mut self, raw: proto::Snapshot, now: Millis) -> Result<Applied, ContractError> {
        self.check_pool(&raw.pool)?;
        let version = version_from_proto(raw.version)?;
        match self.gate.judge(version, now) {
            Verdict::Old => return Ok(Applied::Old),
            Verdict::Held => return Ok(Applied::Held),
            Verdict::Next | Verdict::Switch => {}
        }
        let mut intake = Intake::new(now);
        let endpoints = take_in("endpoints", raw.endpoints, &mut intake)?;
        self.store(version, endpoints, &intake, now);
        Ok(Applied::Taken)
    }

    fn delta_in(&mut self, raw: proto::Delta, now: Millis) -> Result<Applied, ContractError> {
        self.check_pool(&raw.pool)?;
        let version = version_from_proto(raw.version)?;
        let verdict = self.gate.judge(version, now);
        let follows = match verdict {
            Verdict::Old => return Ok(Applied::Old),
            Verdict::Held => return Ok(Applied::Held),
            Verdict::Switch => None,
            Verdict::Next => self.held.as_ref(),
        };
        let Some(held) = follows.filter(|held| held.version.sequence == raw.base_sequence) else {
            return Err(ContractError::Gap {
                pool: self.pool.clone(),
                base: raw.base_sequence,
                held: follows.map(|held| held.version.sequence),
            });
        };
        let mut intake = Intake::new(now);
        let upserts = take_in("upserts", raw.upserts, &mut intake)?;
        let removals = removals(&raw.removals, &upserts)?;
        let count = resulting_count(&held.endpoints, &upserts, &removals);
        check_count("upserts", count)?;
        let before = self.held.take().map(|held| held.endpoints);
        let endpoints = patched(before.unwrap_or_default(), upserts, &removals, count);
        self.store(version, endpoints, &intake, now);
        Ok(Applied::Taken)
    }

    fn check_pool(&self, pool: &str) -> Result<(), ContractError> {
        if pool == self.pool {
            return Ok(());
        }
        let problem = Problem::OtherPool {
            expected: self.pool.clone(),
            got: Excerpt::new(pool),
        };
        Err(problem.at("pool"))
    }

    fn store(
        &mut self,
        version: SnapshotVersion,
        endpoints: Vec<Endpoint>,
        intake: &Intake,
        now: Millis,
    ) {
        self.gate.take(version, now);
        self.refused_signals = self
            .refused_signals
            .saturating_add(u64::from(intake.refused_signals()));
        self.held = Some(PoolSnapshot {
            pool: self.pool.clone(),
            version,
            endpoints,
        });
    }
}

/// The endpoints of a message, checked, sorted by id, each address once.
fn take_in(
    field: &str,
    raw: Vec<proto::Endpoint>,
    intake: &mut Intake,
) -> Result<Vec<Endpoint>, ContractError> {
    check_count(field, raw.len())?;
    let mut endpoints = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let endpoint = intake
            .endpoint(raw)
            .map_err(|error| error.within(&format!("{field}[{index}]")))?;
        endpoints.push(endpoint);
    }
    endpoints.sort_unstable_by_key(|endpoint| endpoint.id);
    for pair in endpoints.windows(2) {
        if let [a, b] = pair
            && a.id.address == b.id.address
        {
            return Err(Problem::Duplicate(a.id.address).at(field));
        }
    }
    Ok(endpoints)
}

fn check_count(field: &str, count: usize) -> Result<(), ContractError> {
    if count <= limits::MAX_ENDPOINTS {
        return Ok(());
    }
    let problem = Problem::TooMany {
        count,
        limit: limits::MAX_ENDPOINTS,
    };
    Err(problem.at(field))
}

fn removals(
    raw: &[proto::EndpointId],
    upserts: &[Endpoint],
) -> Result<BTreeSet<EndpointId>, ContractError> {
    check_count("removals", raw.len())?;
    let mut removals = BTreeSet::new();
    for (index, id) in raw.iter().enumerate() {
        let place = || format!("removals[{index}]");
        let id = id_from_proto(id).map_err(|error| error.within(&place()))?;
        let upserted = upserts.binary_search_by_key(&id, |endpoint| endpoint.id);
        if upserted.is_ok() || !removals.insert(id) {
            return Err(Problem::Duplicate(id.address).at(&place()));
        }
    }
    Ok(removals)
}

/// Whether an endpoint of the copy outlives the delta: it was not removed, and no other life of its
/// address took its place.
fn survives(before: &Endpoint, upserts: &[Endpoint], removals: &BTreeSet<EndpointId>) -> bool {
    !removals.contains(&before.id)
        && upserts
            .binary_search_by_key(&before.id.address, |upsert| upsert.id.address)
            .is_err()
}

fn resulting_count(
    before: &[Endpoint],
    upserts: &[Endpoint],
    removals: &BTreeSet<EndpointId>,
) -> usize {
    let kept = before
        .iter()
        .filter(|endpoint| survives(endpoint, upserts, removals))
        .count();
    kept.saturating_add(upserts.len())
}

/// Merges two sorted lists into one.
fn patched(
    before: Vec<Endpoint>,
    upserts: Vec<Endpoint>,
    removals: &BTreeSet<EndpointId>,
    count: usize,
) -> Vec<Endpoint> {
    let mut kept = before;
    kept.retain(|endpoint| survives(endpoint, &upserts, removals));
    let mut merged = Vec::with_capacity(count);
    let mut kept = kept.into_iter().peekable();
    let mut upserts = upserts.into_iter().peekable();
    while let Some(endpoint) = lesser(&mut kept, &mut upserts) {
        merged.push(endpoint);
    }
    merged
}

fn lesser<I: Iterator<Item = Endpoint>>(
    a: &mut Peekable<I>,
    b: &mut Peekable<I>,
) -> Option<Endpoint> {
    let order = match (a.peek(), b.peek()) {
        (Some(a), Some(b)) => a.id.cmp(&b.id),
        (Some(_), None) => Ordering::Less,
        (None, _) => Ordering::Greater,
    };
    if order.is_lt() { a.next() } else { b.next() }
}

#[cfg(test)]
mod tests;
