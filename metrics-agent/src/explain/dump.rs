//! What `/debug/snapshot` gives: everything that a gateway would be told, and what gateways reported.

use picker::EndpointId;
use pool_state::{
    convert::{policy_to_proto, report_to_proto, snapshot_to_proto},
    proto,
};

use crate::hub::Hub;

/// The state of all pools at one moment, as protobuf. Its form may change with any release.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Dump {
    /// The agent's identity.
    #[prost(string, tag = "1")]
    pub agent: String,
    /// The pools.
    #[prost(message, repeated, tag = "2")]
    pub pools: Vec<PoolDump>,
    /// The moment, in milliseconds since 1970.
    #[prost(uint64, tag = "3")]
    pub unix_ms: u64,
}

/// One pool.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PoolDump {
    /// What was published last, with ages as of the dump and without others' load.
    #[prost(message, optional, tag = "1")]
    pub snapshot: Option<proto::Snapshot>,
    /// The policy in force.
    #[prost(message, optional, tag = "2")]
    pub policy: Option<proto::Policy>,
    /// What each gateway has in flight.
    #[prost(message, repeated, tag = "3")]
    pub gateways: Vec<GatewayDump>,
    /// What people call each endpoint of the snapshot, in its order.
    #[prost(string, repeated, tag = "4")]
    pub names: Vec<String>,
}

/// What one gateway has in flight.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GatewayDump {
    /// What it calls itself.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Milliseconds since anything came from it.
    #[prost(uint64, tag = "2")]
    pub age_ms: u64,
    /// Its load.
    #[prost(message, optional, tag = "3")]
    pub report: Option<proto::InFlightReport>,
}

/// The state of a hub now. Pools that are withheld are not in it, as gateways do not have them either.
#[must_use]
pub fn dump(hub: &Hub) -> Dump {
    let now = hub.clock.now();
    let views = hub.index().view(now);
    let policies = hub.policies();
    let published = hub.subscribe();
    let published = published.borrow().clone();
    let pools = published.iter().filter_map(|(name, publication)| {
        let publication = publication.as_ref()?;
        let gateways = publication.loads.gateways().map(|(id, load)| GatewayDump {
            id: id.to_string(),
            age_ms: now.since(load.heard),
            report: Some(report_to_proto(
                name,
                load.loads.iter().map(|(id, load)| (*id, *load)),
            )),
        });
        let view = views.iter().find(|view| view.name == *name);
        let shown = |id: EndpointId| {
            let endpoints = view.into_iter().flat_map(|view| &view.endpoints);
            let mut same = endpoints.filter(|endpoint| endpoint.address == id.address);
            let shown = same.next().map(crate::index::EndpointView::shown_name);
            shown.unwrap_or_else(|| id.address.to_string())
        };
        let endpoints = &publication.snapshot.endpoints;
        Some(PoolDump {
            snapshot: Some(snapshot_to_proto(&publication.snapshot, now)),
            policy: policies
                .get(name)
                .map(|message| policy_to_proto(&message.policy)),
            gateways: gateways.collect(),
            names: endpoints
                .iter()
                .map(|endpoint| shown(endpoint.id))
                .collect(),
        })
    });
    Dump {
        agent: hub.agent_id().to_owned(),
        pools: pools.collect(),
        unix_ms: hub.clock.unix_ms(),
    }
}
