//! One pool: its members, its gateways' loads and its last publication.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use picker::{Endpoint, EndpointId, InFlight, Millis, PoolSnapshot, SnapshotVersion};

use super::{
    GatewayLoad, Loads, Member, PoolMembers, Publication, TargetId,
    endpoint::{EndpointState, generation},
    sheds::Sheds,
};

#[derive(Debug)]
pub(super) struct PoolState {
    pub(super) members: Vec<Member>,
    targets: HashSet<TargetId>,
    unresolved: usize,
    since: Millis,
    loads: Arc<Loads>,
    pub(super) sheds: Sheds,
    last: Option<Arc<PoolSnapshot>>,
    dirty: bool,
    /// Whether endpoints that join wait until they are released.
    holding: bool,
    /// Those that wait.
    held: HashSet<TargetId>,
}

impl PoolState {
    pub(super) fn new(members: &PoolMembers, now: Millis) -> Self {
        Self {
            members: members.members.clone(),
            targets: members.members.iter().map(|member| member.target).collect(),
            unresolved: members.unresolved,
            since: now,
            loads: Arc::default(),
            sheds: Sheds::default(),
            last: None,
            dirty: true,
            holding: false,
            held: HashSet::new(),
        }
    }

    pub(super) fn with_members(self, members: &PoolMembers, now: Millis) -> Self {
        let dirty =
            self.dirty || self.members != members.members || self.unresolved != members.unresolved;
        let mut next = Self {
            loads: self.loads,
            sheds: self.sheds,
            last: self.last,
            since: self.since,
            dirty,
            holding: self.holding,
            held: self.held,
            ..Self::new(members, now)
        };
        next.held.retain(|target| next.targets.contains(target));
        // Only who joins a pool that is at work waits: before, somebody has to serve.
        if next.holding && next.last.is_some() {
            next.held.extend(next.targets.difference(&self.targets));
        }
        next
    }

    pub(super) fn set_holding(&mut self, holding: bool) -> bool {
        self.holding = holding;
        let released = !holding && !self.held.is_empty();
        if released {
            self.held.clear();
            self.dirty = true;
        }
        released
    }

    /// An endpoint's engine was started anew: it joins again.
    pub(super) fn restarted(&mut self, target: TargetId) {
        if self.holding && self.last.is_some() {
            self.held.insert(target);
        }
    }

    pub(super) fn release(&mut self, target: TargetId) -> bool {
        let released = self.held.remove(&target);
        self.dirty |= released;
        released
    }

    pub(super) fn holds(&self, target: TargetId) -> bool {
        self.held.contains(&target)
    }

    pub(super) fn has(&self, target: TargetId) -> bool {
        self.targets.contains(&target)
    }

    pub(super) const fn touch(&mut self) {
        self.dirty = true;
    }

    pub(super) fn report(
        &mut self,
        gateway: &Arc<str>,
        stream: u64,
        loads: Vec<(EndpointId, InFlight)>,
        now: Millis,
    ) -> bool {
        let changed = Arc::make_mut(&mut self.loads).report(gateway, stream, loads, now);
        self.dirty |= changed;
        changed
    }

    pub(super) fn heard(&mut self, gateway: &str, stream: u64, now: Millis) {
        Arc::make_mut(&mut self.loads).heard(gateway, stream, now);
    }

    pub(super) fn gateway_gone(&mut self, gateway: &str, stream: u64) -> bool {
        self.sheds.forget(stream);
        let changed = Arc::make_mut(&mut self.loads).forget(gateway, stream);
        self.dirty |= changed;
        changed
    }

    pub(super) fn gateways(&self) -> impl Iterator<Item = (&Arc<str>, &GatewayLoad)> {
        self.loads.gateways()
    }

    /// What the gateways together have in flight on an endpoint.
    pub(super) fn in_flight(&self, id: EndpointId) -> InFlight {
        self.loads.total(id)
    }

    pub(super) fn version(&self) -> Option<SnapshotVersion> {
        self.last.as_ref().map(|last| last.version)
    }

    pub(super) fn all_attempted(&self, endpoints: &HashMap<TargetId, EndpointState>) -> bool {
        self.unresolved == 0
            && self.members.iter().all(|member| {
                endpoints
                    .get(&member.target)
                    .is_some_and(|endpoint| endpoint.shown.is_some())
            })
    }

    /// The end of the grace period of a pool that was never published.
    pub(super) fn withheld_until(&self, grace_ms: u64) -> Option<Millis> {
        (self.last.is_none() && self.dirty).then(|| self.since.plus(grace_ms))
    }

    pub(super) fn is_due(
        &self,
        endpoints: &HashMap<TargetId, EndpointState>,
        now: Millis,
        grace_ms: u64,
    ) -> bool {
        self.dirty
            && (self.last.is_some()
                || now.since(self.since) >= grace_ms
                || self.all_attempted(endpoints))
    }

    pub(super) fn publish(
        &mut self,
        name: &str,
        version: SnapshotVersion,
        endpoints: &HashMap<TargetId, EndpointState>,
        now: Millis,
    ) -> Arc<Publication> {
        let all = self.members.iter().filter_map(|member| {
            let endpoint = endpoint(member, endpoints.get(&member.target)?)?;
            Some((member.target, endpoint))
        });
        let (waiting, joined): (Vec<_>, Vec<_>) = all.partition(|(target, _)| self.holds(*target));
        // When all wait, all serve.
        let serving = if joined.is_empty() { waiting } else { joined };
        let mut published: Vec<Endpoint> =
            serving.into_iter().map(|(_, endpoint)| endpoint).collect();
        published.sort_unstable_by_key(|endpoint| endpoint.id);
        let snapshot = Arc::new(PoolSnapshot {
            pool: name.to_owned(),
            version,
            endpoints: published,
        });
        let base = self.last.replace(Arc::clone(&snapshot));
        self.dirty = false;
        Arc::new(Publication::new(
            snapshot,
            base,
            Arc::clone(&self.loads),
            now,
            self.unresolved,
        ))
    }
}

/// The member as published; `None` before its first scrape attempt.
fn endpoint(member: &Member, state: &EndpointState) -> Option<Endpoint> {
    let shown = state.shown.as_ref()?;
    Some(Endpoint {
        id: EndpointId {
            address: member.address,
            generation: generation(member.address, member.name.as_deref(), shown.life),
        },
        health: shown.health,
        weight: member.weight,
        price: member.price,
        signals: shown.signals.clone(),
    })
}
