//! What is scraped, and the numbers that name it.

use std::{
    collections::{HashMap, HashSet},
    hash::{Hash, Hasher},
    net::SocketAddr,
    sync::Arc,
};

use crate::{
    config::{Endpoint, Engine},
    index::TargetId,
};

/// One metrics page of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where requests go.
    pub address: SocketAddr,
    /// Where the metrics are.
    pub metrics: SocketAddr,
    /// Their path; `None` takes the engine's.
    pub path: Option<Arc<str>>,
    /// Whose names they have.
    pub engine: Engine,
}

impl Target {
    /// The page of `endpoint` at one of its addresses.
    #[must_use]
    pub fn new(endpoint: &Endpoint, address: SocketAddr) -> Self {
        let port = endpoint.metrics.port.or(endpoint.engine.metrics_port());
        Self {
            address,
            metrics: SocketAddr::new(address.ip(), port.unwrap_or(address.port())),
            path: endpoint.metrics.path.clone(),
            engine: endpoint.engine.clone(),
        }
    }
}

impl Hash for Target {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Enough to tell targets apart; equality looks at the rest.
        self.address.hash(state);
        self.metrics.hash(state);
        self.engine.name.hash(state);
    }
}

/// The targets in use. A target keeps its number as long as it stays in use, so that what is known
/// of it survives changes elsewhere.
#[derive(Debug, Default)]
pub struct Targets {
    ids: HashMap<Arc<Target>, TargetId>,
    used: HashSet<TargetId>,
    next: u64,
}

impl Targets {
    pub(super) fn begin(&mut self) {
        self.used.clear();
    }

    pub(super) fn id(&mut self, target: Target) -> TargetId {
        let id = match self.ids.get(&target) {
            Some(id) => *id,
            None => {
                let id = TargetId(self.next);
                self.next = self.next.saturating_add(1);
                self.ids.insert(Arc::new(target), id);
                id
            }
        };
        self.used.insert(id);
        id
    }

    pub(super) fn end(&mut self) {
        let used = &self.used;
        self.ids.retain(|_, id| used.contains(id));
    }

    /// All targets in use.
    pub fn iter(&self) -> impl Iterator<Item = (TargetId, &Arc<Target>)> {
        self.ids.iter().map(|(target, id)| (*id, target))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}
