//! Read-only views for `/debug/pools` and the agent's own metrics.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use picker::{EndpointId, Health, InFlight, Millis, Signals, SnapshotVersion};

use super::{Index, Observation, ShedsView, TargetId, generation, pool::PoolState};

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
    /// What gateways refused.
    pub sheds: ShedsView,
}

/// An endpoint as people see it.
#[derive(Debug, Clone)]
pub struct EndpointView {
    /// Whose scrapes tell of it.
    pub target: TargetId,
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
    /// What the gateways together have in flight there.
    pub in_flight: InFlight,
    /// Whether it waits to be released before gateways hear of it.
    pub held: bool,
}

/// A name without the UID that tells one life of a pod from the next: 36 characters of hex and hyphens.
fn without_uid(name: &str) -> &str {
    let is_uid = |text: &str| {
        let of_uid = |byte: u8| byte == b'-' || byte.is_ascii_hexdigit();
        text.len() == 36 && text.bytes().all(of_uid)
    };
    match name.rsplit_once('/') {
        Some((pod, uid)) if is_uid(uid) && !pod.is_empty() => pod,
        _ => name,
    }
}

/// Signals older than this say nothing about now: the reference's threshold for a pool's series.
pub const STALE_MS: u64 = 2_000;

/// Waiting requests and KV-cache utilization at which the reference calls an endpoint saturated.
const SATURATED: (f32, f32) = (5.0, 0.8);

impl EndpointView {
    /// The endpoint's signals unless they are stale, or the endpoint was never scraped.
    #[must_use]
    pub fn fresh(&self, now: Millis) -> Option<&Signals> {
        let signals = &self.latest.as_ref()?.signals;
        (self.age_ms(now)? <= STALE_MS).then_some(signals)
    }

    /// The age of the oldest of the known load signals in milliseconds; `None` when none is known.
    #[must_use]
    pub fn age_ms(&self, now: Millis) -> Option<u64> {
        let signals = &self.latest.as_ref()?.signals;
        let gauges = [&signals.waiting, &signals.running, &signals.kv_usage];
        gauges
            .into_iter()
            .flatten()
            .map(|gauge| gauge.age_ms(now))
            .max()
    }

    /// How full the endpoint is by the reference's measure, the greater of waiting requests over 5
    /// and KV-cache utilization over 0.8, so that 1 is saturated; `None` when that is not known now.
    #[must_use]
    pub fn saturation(&self, now: Millis) -> Option<f32> {
        let signals = self.fresh(now)?;
        let (waiting, kv_usage) = (signals.waiting?.value, signals.kv_usage?.value);
        Some((waiting / SATURATED.0).max(kv_usage / SATURATED.1))
    }

    /// Its state as a word: `ready`, `draining`, `suspect`, or `pending` before the first scrape.
    #[must_use]
    pub fn health(&self) -> &'static str {
        match self.latest.as_ref().map(|latest| latest.health) {
            Some(Health::Ready) => "ready",
            Some(Health::Draining) => "draining",
            Some(Health::Suspect) => "suspect",
            None => "pending",
        }
    }

    /// Whether requests may be sent there.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.has(Health::Ready)
    }

    /// Whether it finishes what it has and takes nothing more.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.has(Health::Draining)
    }

    fn has(&self, health: Health) -> bool {
        let latest = self.latest.as_ref();
        latest.is_some_and(|latest| latest.health == health)
    }

    /// What people call it: the name of its pod without the pod's UID, else the address.
    #[must_use]
    pub fn shown_name(&self) -> String {
        match self.name.as_deref() {
            Some(name) => without_uid(name).to_owned(),
            None => self.address.to_string(),
        }
    }
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

impl PoolView {
    /// The reference's saturation of the pool: the mean over its endpoints, of which one that cannot
    /// be told counts as saturated, as does an empty pool. Draining endpoints are no longer of it.
    #[must_use]
    pub fn saturation(&self, now: Millis) -> f32 {
        let endpoints = self.endpoints.iter().filter(|each| !each.is_draining());
        let (sum, count) = endpoints.fold((0.0, 0_u32), |(sum, count), endpoint| {
            (sum + endpoint.saturation(now).unwrap_or(1.0), count + 1)
        });
        match count {
            0 => 1.0,
            count => sum / count as f32,
        }
    }
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
                sheds: pool.sheds.view(),
                endpoints: pool
                    .members
                    .iter()
                    .map(|member| self.endpoint_view(pool, member))
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

    fn endpoint_view(&self, pool: &PoolState, member: &super::Member) -> EndpointView {
        let state = self.endpoints.get(&member.target);
        let latest = state.and_then(|state| state.latest.clone());
        let life = latest.as_ref().map_or(0, |latest| latest.life);
        let generation = generation(member.address, member.name.as_deref(), life);
        let id = EndpointId {
            address: member.address,
            generation,
        };
        EndpointView {
            target: member.target,
            address: member.address,
            name: member.name.clone(),
            labels: Arc::clone(&member.labels),
            weight: member.weight,
            price: member.price,
            generation,
            latest,
            attempts: state.map_or(0, |state| state.attempts),
            failures: state.map_or(0, |state| state.failures),
            in_flight: pool.in_flight(id),
            held: pool.holds(member.target),
        }
    }
}
