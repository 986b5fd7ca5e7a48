//! What Envoy is told of every pool: made from publications, anew only when members, health or
//! weights differ.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use picker::{Endpoint, Health};
use prost::Message as _;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use xxhash_rust::xxh64::Xxh64;

use super::{
    TYPE_URL,
    proto::{
        Address, Any, ClusterLoadAssignment, Endpoint as EnvoyEndpoint, HealthStatus, LbEndpoint,
        LocalityLbEndpoints, SocketAddress, UInt32Value, address::Address as Kind,
        lb_endpoint::HostIdentifier, socket_address::PortSpecifier,
    },
};
use crate::{
    hub::{Hub, Published},
    index::Publication,
};

/// The least time between two changes, so that a flapping pod costs every Envoy a few messages a
/// second and a scaled-up one waits for nothing that is felt.
const PACE: Duration = Duration::from_millis(50);
/// After its start the agent waits this long for the first resolution of every name of a pool. What
/// it said before would take endpoints away from Envoys that learned of them from an agent before.
const FIRST_RESOLUTION: Duration = Duration::from_secs(30);
/// How often a pool that waits for a resolution is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Envoy's weights are whole numbers from 1 on, ours begin at 0.01.
const WEIGHT_UNIT: f32 = 100.0;

/// One pool as Envoy knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    /// A hash of the content, equal among agents that say the same.
    pub version: u64,
    /// The encoded `ClusterLoadAssignment`.
    pub resource: Any,
}

/// Every pool that can be served, by name.
pub type Assignments = BTreeMap<Arc<str>, Arc<Assignment>>;

/// Keeps `assignments` in step with what the hub publishes, for ever.
pub async fn follow(hub: Arc<Hub>, assignments: watch::Sender<Arc<Assignments>>) {
    let started = Instant::now();
    let mut published = hub.subscribe();
    loop {
        let latest = Arc::clone(&published.borrow_and_update());
        let patient = started.elapsed() < FIRST_RESOLUTION;
        let before = Arc::clone(&assignments.borrow());
        if let Some(next) = next(&before, &latest, patient) {
            assignments.send_replace(Arc::new(next));
        }
        sleep(PACE).await;
        let waits = patient && latest.len() > assignments.borrow().len();
        let changed = published.changed();
        let ended = if waits {
            timeout(LOOK_AGAIN, changed)
                .await
                .is_ok_and(|changed| changed.is_err())
        } else {
            changed.await.is_err()
        };
        if ended {
            return;
        }
    }
}

/// The assignments after `published`; `None` when they are as before. While it is `patient`, a pool
/// that was never assigned waits until all its names were resolved.
pub(super) fn next(
    before: &Assignments,
    published: &Published,
    patient: bool,
) -> Option<Assignments> {
    let mut next = Assignments::new();
    for (pool, publication) in published {
        let old = before.get(pool);
        let assigned = match publication {
            Some(publication) if old.is_some() || publication.unresolved == 0 || !patient => {
                Some(renewed(pool, publication, old))
            }
            _ => old.cloned(),
        };
        if let Some(assigned) = assigned {
            next.insert(Arc::clone(pool), assigned);
        }
    }
    let same = next.len() == before.len()
        && next
            .iter()
            .zip(before)
            .all(|((name, new), (old_name, old))| name == old_name && Arc::ptr_eq(new, old));
    (!same).then_some(next)
}

fn renewed(
    pool: &str,
    publication: &Publication,
    old: Option<&Arc<Assignment>>,
) -> Arc<Assignment> {
    let endpoints = &publication.snapshot.endpoints;
    let version = version(endpoints);
    match old {
        Some(old) if old.version == version => Arc::clone(old),
        _ => Arc::new(Assignment {
            version,
            resource: Any {
                type_url: TYPE_URL.to_owned(),
                value: assignment(pool, endpoints).encode_to_vec(),
            },
        }),
    }
}

/// A hash of what Envoy is told of these endpoints; their order is the publication's, by address.
fn version(endpoints: &[Endpoint]) -> u64 {
    let mut hash = Xxh64::new(0);
    for endpoint in endpoints {
        match endpoint.id.address.ip() {
            IpAddr::V4(ip) => hash.update(&ip.octets()),
            IpAddr::V6(ip) => hash.update(&ip.octets()),
        }
        hash.update(&endpoint.id.address.port().to_le_bytes());
        hash.update(&(health(endpoint.health) as i32).to_le_bytes());
        hash.update(&weight(endpoint.weight).to_le_bytes());
    }
    hash.digest()
}

pub(super) fn assignment(pool: &str, endpoints: &[Endpoint]) -> ClusterLoadAssignment {
    ClusterLoadAssignment {
        cluster_name: pool.to_owned(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: endpoints.iter().map(lb_endpoint).collect(),
        }],
    }
}

fn lb_endpoint(endpoint: &Endpoint) -> LbEndpoint {
    let address = SocketAddress {
        address: endpoint.id.address.ip().to_string(),
        port_specifier: Some(PortSpecifier::PortValue(endpoint.id.address.port().into())),
    };
    LbEndpoint {
        health_status: health(endpoint.health).into(),
        load_balancing_weight: Some(UInt32Value {
            value: weight(endpoint.weight),
        }),
        host_identifier: Some(HostIdentifier::Endpoint(EnvoyEndpoint {
            address: Some(Address {
                address: Some(Kind::SocketAddress(address)),
            }),
        })),
    }
}

/// Only Envoy's fallback policy looks at it; `override_host` takes a member whatever its health. A
/// suspect is degraded, which is used when too few are healthy: unlike an unhealthy one it is still
/// there when the agent suspects all of them.
const fn health(health: Health) -> HealthStatus {
    match health {
        Health::Ready => HealthStatus::Healthy,
        Health::Draining => HealthStatus::Draining,
        Health::Suspect => HealthStatus::Degraded,
    }
}

fn weight(weight: f32) -> u32 {
    // Within 1 to 10,000, as configured weights are within 0.01 to 100.
    (weight * WEIGHT_UNIT).round().clamp(1.0, 10_000.0) as u32
}
