//! Read-only views for `/debug/pools` and the agent's own metrics.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use picker::{Health, InFlight, Millis, Signals, SnapshotVersion};

use super::{Index, Observation, TargetId, generation};

/// A pool as people see it.
#[derive(Debug, Clone)]
pub struct PoolView {
    /// Its name.
    pub name: Arc<str>,
    /// Its last publication; `None` while it is withheld.
    pub version: Option<SnapshotVersion>,
    /// All configured endpoints, those not yet attempted too.
    pub endpoints: Vec<EndpointView>,
    /// The gateways that reported load.
    pub gateways: Vec<GatewayView>,
}

/// An endpoint as people see it.
#[derive(Debug, Clone)]
pub struct EndpointView {
    /// Where requests go.
    pub address: SocketAddr,
    /// The configured name.
    pub name: Option<Arc<str>>,
    /// The configured labels.
    pub labels: Arc<BTreeMap<String, String>>,
    /// The configured weight.
    pub weight: f32,
    /// The configured price.
    pub price: f32,
    /// Its present generation.
    pub generation: u64,
    /// The newest outcome of a scrape; `None` before the first.
    pub latest: Option<Observation>,
    /// Scrape attempts since it became a member.
    pub attempts: u64,
    /// Of those, the failed ones.
    pub failures: u64,
}

/// An endpoint as the roll-out of adapters sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Whose scrapes tell of it.
    pub target: TargetId,
    /// Where requests go.
    pub address: SocketAddr,
    /// Whether its engine is well.
    pub ready: bool,
    /// Whether it waits to be released before it is published.
    pub held: bool,
    /// What tells the engine's process from the next; 0 before the first page.
    pub life: u64,
}

/// A gateway's load on a pool.
#[derive(Debug, Clone)]
pub struct GatewayView {
    /// The gateway's id.
    pub id: Arc<str>,
    /// Milliseconds since it was last heard.
    pub age_ms: u64,
    /// What it has in flight on all endpoints together.
    pub in_flight: InFlight,
}

/// How many endpoints of a pool are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HealthCounts {
    /// May be picked.
    pub ready: usize,
    /// Going away.
    pub draining: usize,
    /// Failing or hung.
    pub suspect: usize,
    /// Not yet scraped.
    pub pending: usize,
}

impl Index {
    /// Everything that is known, for people.
    #[must_use]
    pub fn view(&self, now: Millis) -> Vec<PoolView> {
        let pools = self.pools.iter();
        pools
            .map(|(name, pool)| PoolView {
                name: Arc::clone(name),
                version: pool.version(),
                endpoints: pool
                    .members
                    .iter()
                    .map(|member| self.endpoint_view(member))
                    .collect(),
                gateways: pool
                    .gateways()
                    .map(|(id, load)| GatewayView {
                        id: Arc::clone(id),
                        age_ms: now.since(load.heard),
                        in_flight: load
                            .loads
                            .values()
                            .fold(InFlight::default(), |sum, load| sum.plus(*load)),
                    })
                    .collect(),
            })
            .collect()
    }

    /// The endpoints of a pool for the roll-out of adapters; none when there is no such pool.
    #[must_use]
    pub fn pods(&self, pool: &str) -> Vec<Pod> {
        let Some(pool) = self.pools.get(pool) else {
            return Vec::new();
        };
        let members = pool.members.iter();
        members
            .map(|member| {
                let state = self.endpoints.get(&member.target);
                let latest = state.and_then(|state| state.latest.as_ref());
                Pod {
                    target: member.target,
                    address: member.address,
                    ready: latest.is_some_and(|latest| latest.health == Health::Ready),
                    held: pool.holds(member.target),
                    life: latest.map_or(0, |latest| latest.life),
                }
            })
            .collect()
    }

    /// How many endpoints are in which state, by pool.
    pub fn health_counts(&self) -> impl Iterator<Item = (&Arc<str>, HealthCounts)> {
        self.pools.iter().map(|(name, pool)| {
            let mut counts = HealthCounts::default();
            for member in &pool.members {
                let state = self.endpoints.get(&member.target);
                let latest = state.and_then(|state| state.latest.as_ref());
                match latest.map(|latest| latest.health) {
                    Some(Health::Ready) => counts.ready += 1,
                    Some(Health::Draining) => counts.draining += 1,
                    Some(Health::Suspect) => counts.suspect += 1,
                    None => counts.pending += 1,
                }
            }
            (name, counts)
        })
    }

    /// The signals of every endpoint that was scraped, by address; one in several pools occurs
    /// several times.
    pub fn signals(&self) -> impl Iterator<Item = (SocketAddr, &Signals)> {
        let members = self.pools.values().flat_map(|pool| &pool.members);
        members.filter_map(|member| {
            let latest = self.endpoints.get(&member.target)?.latest.as_ref()?;
            Some((member.address, &latest.signals))
        })
    }

    fn endpoint_view(&self, member: &super::Member) -> EndpointView {
        let state = self.endpoints.get(&member.target);
        let latest = state.and_then(|state| state.latest.clone());
        let life = latest.as_ref().map_or(0, |latest| latest.life);
        EndpointView {
            address: member.address,
            name: member.name.clone(),
            labels: Arc::clone(&member.labels),
            weight: member.weight,
            price: member.price,
            generation: generation(member.address, member.name.as_deref(), life),
            latest,
            attempts: state.map_or(0, |state| state.attempts),
            failures: state.map_or(0, |state| state.failures),
        }
    }
}
