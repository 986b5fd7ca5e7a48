//! A worker's decoded copy of one pool, index by index what the picker looks at.
//!
//! ```text
//!   version key moved? --> snapshot slot --> checks --> endpoints   (seed members until the first)
//!   own ledger  --------------------------------------> own     \
//!   others' tables -----------------------------------> others   +--> local
//!   breaker ------------------------------------------> suspect /
//! ```

use std::net::SocketAddr;

use admission::Backpressure;
use picker::{
    Endpoint, EndpointId, InFlight, LocalState, Millis, PoolSnapshot, PoolView, SnapshotVersion,
    breaker::Breaker, ledger::Ledger,
};
use pool_state::slot::{SlotError, pool, sequences};

use crate::{
    config::AllowedAddresses,
    host::Host,
    in_flight::Others,
    slots::{self, PoolKeys},
};

/// The generation of members that only the configuration names.
pub const SEED_GENERATION: u64 = 0;
/// How long an endpoint that served is taken to be one that Envoy's cluster has, in milliseconds; a new
/// state of the pool ends it too.
const CONFIRMED_MS: u64 = 1_000;

/// The copy.
#[derive(Debug)]
pub struct View {
    pool: String,
    keys: PoolKeys,
    allowed: AllowedAddresses,
    seen: Option<u64>,
    /// The slot's version, and when it was first noticed.
    moved: Option<(u64, Millis)>,
    held: Option<SnapshotVersion>,
    endpoints: Vec<Endpoint>,
    own: Vec<InFlight>,
    others: Vec<InFlight>,
    local: Vec<LocalState>,
    /// When the endpoint was last seen to serve what was sent to it first.
    confirmed: Vec<Option<Millis>>,
}

/// What a look at the slot brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reload {
    /// The version key has not moved.
    Unchanged,
    /// The copy was replaced; so many endpoints were left out because they are outside
    /// `allowed_cidrs`.
    Replaced {
        /// Endpoints left out.
        refused: usize,
    },
    /// The slot holds nothing usable; the copy stays as it was.
    Rejected(SlotReject),
}

/// Why a slot's content was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlotReject {
    /// It is not a pool of our layout.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// It is another pool's.
    #[error("the slot holds another pool's state")]
    OtherPool,
    /// It is older than what is held of the same agent.
    #[error("the slot holds sequence {got}, {held} was seen already")]
    Older {
        /// What the slot says.
        got: u64,
        /// What is held.
        held: u64,
    },
}

impl View {
    /// A copy that knows the seed members alone.
    #[must_use]
    pub fn new(pool: &str, members: &[SocketAddr], allowed: AllowedAddresses) -> Self {
        let seed = |address: &SocketAddr| {
            Endpoint::new(EndpointId {
                address: *address,
                generation: SEED_GENERATION,
            })
        };
        let mut view = Self {
            pool: pool.to_owned(),
            keys: PoolKeys::new(pool),
            allowed,
            seen: None,
            moved: None,
            held: None,
            endpoints: Vec::new(),
            own: Vec::new(),
            others: Vec::new(),
            local: Vec::new(),
            confirmed: Vec::new(),
        };
        view.replace_endpoints(members.iter().map(seed).collect());
        view
    }

    /// The members, sorted by id.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The member with this address.
    #[must_use]
    pub fn by_address(&self, address: SocketAddr) -> Option<EndpointId> {
        let index = self.index(address)?;
        self.endpoints.get(index).map(|endpoint| endpoint.id)
    }

    /// How long ago the slot's version moved, in milliseconds, as far as this was called since; `None`
    /// before it ever did. Whoever comes to lead must know it, so that all ask at every tick.
    pub fn age_ms(&mut self, host: &dyn Host, now: Millis) -> Option<u64> {
        let version = slots::version_of(host, &self.keys.version)?;
        let moved = self.moved.filter(|(seen, _)| *seen == version);
        let (_, since) = *self.moved.insert(moved.unwrap_or((version, now)));
        Some(now.since(since))
    }

    /// Reads the slot again if its version moved. A changed copy needs [`View::recount`].
    pub fn reload(&mut self, host: &dyn Host) -> Reload {
        let Some(version) = slots::version_of(host, &self.keys.version) else {
            return Reload::Unchanged;
        };
        if self.seen == Some(version) {
            return Reload::Unchanged;
        }
        // Also after a failure: rubbish is looked at once, not with every request.
        self.seen = Some(version);
        match self.read(host) {
            Err(error) => Reload::Rejected(error),
            Ok(snapshot) => {
                let before = snapshot.endpoints.len();
                let mut endpoints = snapshot.endpoints;
                endpoints.retain(|endpoint| self.allowed.contains(endpoint.id.address.ip()));
                let refused = before.saturating_sub(endpoints.len());
                self.held = Some(snapshot.version);
                self.replace_endpoints(endpoints);
                Reload::Replaced { refused }
            }
        }
    }

    fn read(&self, host: &dyn Host) -> Result<PoolSnapshot, SlotReject> {
        let snapshot = pool::decode(&host.shared(&self.keys.snapshot).value)?;
        if snapshot.pool != self.pool {
            return Err(SlotReject::OtherPool);
        }
        if let Some(held) = self.held
            && is_older(snapshot.version, held)
        {
            return Err(SlotReject::Older {
                got: snapshot.version.sequence,
                held: held.sequence,
            });
        }
        Ok(snapshot)
    }

    fn replace_endpoints(&mut self, endpoints: Vec<Endpoint>) {
        let count = endpoints.len();
        self.endpoints = endpoints;
        self.own = vec![InFlight::default(); count];
        self.others = vec![InFlight::default(); count];
        self.local = vec![LocalState::default(); count];
        self.confirmed = vec![None; count];
    }

    /// Takes all counts over anew.
    pub fn recount(&mut self, ledger: &Ledger, others: &Others) {
        for (own, endpoint) in self.own.iter_mut().zip(&self.endpoints) {
            *own = load_of(endpoint.id, |id| ledger.get(id));
        }
        self.recount_others(others);
    }

    /// Takes the others' counts over anew.
    pub fn recount_others(&mut self, others: &Others) {
        self.others.fill(InFlight::default());
        for (id, load) in others.iter() {
            let Some(index) = self.index(id.address) else {
                continue;
            };
            let counts = self
                .endpoints
                .get(index)
                .is_some_and(|endpoint| endpoint.id == id || id.generation == SEED_GENERATION);
            if let (true, Some(sum)) = (counts, self.others.get_mut(index)) {
                *sum = sum.plus(load);
            }
        }
    }

    /// Takes the own count of one address over after the ledger changed there.
    pub fn recount_own(&mut self, address: SocketAddr, ledger: &Ledger) {
        let Some(index) = self.index(address) else {
            return;
        };
        if let (Some(own), Some(endpoint)) = (self.own.get_mut(index), self.endpoints.get(index)) {
            *own = load_of(endpoint.id, |id| ledger.get(id));
        }
    }

    /// Takes over how many requests the engines run at once; after the copy was replaced.
    pub fn read_limits(&mut self, host: &dyn Host) {
        let limits = sequences::decode(&host.shared(&self.keys.sequences).value);
        for (id, limit) in limits.unwrap_or_default() {
            let index = self.index(id.address);
            let index = index.filter(|index| {
                let endpoint = self.endpoints.get(*index);
                endpoint.is_some_and(|endpoint| endpoint.id == id)
            });
            if let Some(local) = index.and_then(|index| self.local.get_mut(index)) {
                local.sequence_limit = Some(limit);
            }
        }
    }

    /// What this Envoy has sent to an endpoint and is not computed yet, in prompt tokens.
    #[must_use]
    pub fn prefill_tokens(&self, id: EndpointId) -> u64 {
        let index = self.index(id.address);
        let load =
            index.and_then(|index| Some(self.own.get(index)?.plus(*self.others.get(index)?)));
        load.unwrap_or_default().prefill_tokens
    }

    /// What the picker looks at.
    pub fn at(
        &mut self,
        now: Millis,
        breaker: &Breaker,
        backpressure: &Backpressure,
    ) -> PoolView<'_> {
        let counts = self.own.iter().zip(&self.others);
        for ((local, endpoint), (own, others)) in
            self.local.iter_mut().zip(&self.endpoints).zip(counts)
        {
            local.in_flight = own.plus(*others);
            local.suspect = breaker.is_suspect(endpoint.id, now);
            if !backpressure.is_idle() {
                let phantoms = backpressure.load(endpoint.id, now);
                local.in_flight = local.in_flight.plus(phantoms);
            }
        }
        self.as_it_was(now)
    }

    /// What [`View::at`] showed last.
    #[must_use]
    pub fn as_it_was(&self, now: Millis) -> PoolView<'_> {
        PoolView {
            endpoints: &self.endpoints,
            local: &self.local,
            now,
        }
    }

    /// Whether a state of the pool was ever taken.
    #[must_use]
    pub const fn is_informed(&self) -> bool {
        self.held.is_some()
    }

    /// What this Envoy has in flight at each member that has any.
    pub fn loads(&self) -> impl Iterator<Item = (EndpointId, InFlight)> + '_ {
        let counts = self.own.iter().zip(&self.others);
        self.endpoints
            .iter()
            .zip(counts)
            .map(|(endpoint, (own, others))| (endpoint.id, own.plus(*others)))
            .filter(|(_, load)| load.requests > 0)
    }

    /// Whether the endpoint served of late what was sent to it. That of every second or so is looked
    /// up, because Envoy sends a request elsewhere when its cluster does not have the endpoint.
    #[must_use]
    pub fn is_confirmed(&self, endpoint: EndpointId, now: Millis) -> bool {
        let confirmed = self
            .index(endpoint.address)
            .and_then(|index| *self.confirmed.get(index)?);
        confirmed.is_some_and(|confirmed| now.since(confirmed) < CONFIRMED_MS)
    }

    /// Notes that the endpoint served what was sent to it.
    pub fn confirm(&mut self, endpoint: EndpointId, now: Millis) {
        let index = self.index(endpoint.address);
        if let Some(confirmed) = index.and_then(|index| self.confirmed.get_mut(index)) {
            *confirmed = Some(now);
        }
    }

    fn index(&self, address: SocketAddr) -> Option<usize> {
        self.endpoints
            .binary_search_by_key(&address, |endpoint| endpoint.id.address)
            .ok()
    }
}

/// The load at an endpoint. Requests that were sent while only the configuration named the member
/// count for whichever life of the address the agent then reported.
fn load_of(id: EndpointId, get: impl Fn(EndpointId) -> InFlight) -> InFlight {
    let load = get(id);
    if id.generation == SEED_GENERATION {
        return load;
    }
    let seed = EndpointId {
        generation: SEED_GENERATION,
        ..id
    };
    load.plus(get(seed))
}

/// Whether `version` lies before `held` in the history of the same agent. Views of different agents
/// have no order; which of them counts was decided before the slot was written.
fn is_older(version: SnapshotVersion, held: SnapshotVersion) -> bool {
    version.agent_id == held.agent_id
        && (version.epoch, version.sequence) < (held.epoch, held.sequence)
}

#[cfg(test)]
mod tests;
