//! What Envoy is told, and what it may say.

use std::{net::SocketAddr, sync::Arc};

// What is told is read by the whole of Envoy's API.
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, lb_endpoint::HostIdentifier,
};
use picker::{Endpoint, EndpointId, Health, Millis, PoolSnapshot, Signals, SnapshotVersion};
use prost::Message as _;

use super::{
    Assignments, Heard, Subscription,
    assignments::{assignment, next},
    proto::{DiscoveryRequest, DiscoveryResponse, Status},
};
use crate::{
    hub::Published,
    index::{Loads, Publication},
};

fn endpoint(address: &str, health: Health, weight: f32) -> Endpoint {
    Endpoint {
        id: EndpointId {
            address: address.parse::<SocketAddr>().unwrap(),
            generation: 1,
        },
        health,
        weight,
        price: 1.0,
        signals: Signals::default(),
    }
}

fn ready(address: &str) -> Endpoint {
    endpoint(address, Health::Ready, 1.0)
}

fn publication(pool: &str, endpoints: &[Endpoint], unresolved: usize) -> Option<Arc<Publication>> {
    let snapshot = PoolSnapshot {
        pool: pool.to_owned(),
        version: SnapshotVersion {
            agent_id: 1,
            epoch: 1,
            sequence: 1,
            taken_at_unix_ms: 1,
        },
        endpoints: endpoints.to_vec(),
    };
    Some(Arc::new(Publication::new(
        Arc::new(snapshot),
        None,
        Arc::new(Loads::default()),
        Millis(1),
        unresolved,
    )))
}

fn published(pools: &[(&str, &[Endpoint])]) -> Published {
    let pools = pools.iter();
    pools
        .map(|(name, endpoints)| (Arc::from(*name), publication(name, endpoints, 0)))
        .collect()
}

fn assignments(pools: &[(&str, &[Endpoint])]) -> Assignments {
    next(&Assignments::new(), &published(pools), true).unwrap()
}

fn ask(names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..DiscoveryRequest::default()
    }
}

fn about(response: &DiscoveryResponse, names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        version_info: response.version_info.clone(),
        response_nonce: response.nonce.clone(),
        ..ask(names)
    }
}

fn refusal(response: &DiscoveryResponse, names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        version_info: String::new(),
        error_detail: Some(Status {
            message: "no".to_owned(),
            ..Status::default()
        }),
        ..about(response, names)
    }
}

fn clusters(response: &DiscoveryResponse) -> Vec<ClusterLoadAssignment> {
    let resources = response.resources.iter();
    resources
        .map(|any| ClusterLoadAssignment::decode(any.value.as_slice()).unwrap())
        .collect()
}

fn names(response: &DiscoveryResponse) -> Vec<String> {
    let clusters = clusters(response).into_iter();
    clusters.map(|cluster| cluster.cluster_name).collect()
}

#[test]
fn each_pod_and_port_is_an_endpoint_with_health_and_weight() {
    let assignment = assignment(
        "team/pool",
        &[
            endpoint("10.0.0.1:8000", Health::Ready, 2.0),
            endpoint("10.0.0.1:8001", Health::Suspect, 0.01),
            endpoint("[fd00::1]:8000", Health::Draining, 100.0),
        ],
    );
    let assignment = ClusterLoadAssignment::decode(assignment.encode_to_vec().as_slice()).unwrap();
    assert_eq!(assignment.cluster_name, "team/pool");
    assert_eq!(assignment.endpoints.len(), 1);
    let told: Vec<String> = assignment.endpoints[0]
        .lb_endpoints
        .iter()
        .map(|endpoint| {
            let Some(HostIdentifier::Endpoint(host)) = &endpoint.host_identifier else {
                panic!("{endpoint:?}");
            };
            let weight = endpoint.load_balancing_weight.as_ref().unwrap().value;
            let health = endpoint.health_status().as_str_name();
            format!("{:?} {health} {weight}", host.address.as_ref().unwrap())
        })
        .collect();
    for (told, parts) in told.iter().zip([
        ["10.0.0.1", "8000", "HEALTHY 200"],
        ["10.0.0.1", "8001", "DEGRADED 1"],
        ["fd00::1", "8000", "DRAINING 10000"],
    ]) {
        for part in parts {
            assert!(told.contains(part), "{part} is not in {told}");
        }
    }
}

#[test]
fn new_signals_make_no_new_assignment_but_members_health_and_weight_do() {
    let base = ready("10.0.0.1:80");
    let before = assignments(&[("a", std::slice::from_ref(&base)), ("b", &[])]);
    let mut busy = base.clone();
    busy.signals.waiting = Some(picker::Signal::new(9.0, Millis(2)));
    let same = [("a", &[busy][..]), ("b", &[])];
    assert_eq!(next(&before, &published(&same), true), None);
    for changed in [
        vec![],
        vec![base.clone(), ready("10.0.0.2:80")],
        vec![ready("10.0.0.1:81")],
        vec![endpoint("10.0.0.1:80", Health::Suspect, 1.0)],
        vec![endpoint("10.0.0.1:80", Health::Ready, 2.0)],
    ] {
        let after = next(&before, &published(&[("a", &changed), ("b", &[])]), true).unwrap();
        assert_ne!(after["a"].version, before["a"].version, "{changed:?}");
        assert!(Arc::ptr_eq(&after["b"], &before["b"]));
    }
}

#[test]
fn a_pool_that_is_withheld_keeps_its_assignment_and_one_that_went_loses_it() {
    let before = assignments(&[("a", &[ready("10.0.0.1:80")])]);
    let mut withheld = Published::new();
    withheld.insert(Arc::from("a"), None);
    assert_eq!(next(&before, &withheld, true), None);
    assert_eq!(
        next(&before, &Published::new(), true),
        Some(Assignments::new())
    );
}

#[test]
fn a_first_assignment_waits_for_the_names_that_were_not_resolved_yet() {
    let half: Published = [(Arc::from("a"), publication("a", &[ready("10.0.0.1:80")], 1))].into();
    let none = Assignments::new();
    assert_eq!(next(&none, &half, true), None);
    assert!(next(&none, &half, false).unwrap().contains_key("a"));
    // What was assigned once follows at once: a new name must not hold back the other changes.
    let before = assignments(&[("a", &[])]);
    assert_ne!(next(&before, &half, true), None);
}

#[test]
fn a_stream_gets_what_it_asks_for_once() {
    let known = assignments(&[("a", &[ready("10.0.0.1:80")]), ("b", &[]), ("c", &[])]);
    let mut stream = Subscription::default();
    assert_eq!(stream.next(&known), None);
    assert_eq!(stream.hear(ask(&["a", "b", "zz"])), Ok(Heard::Asked));
    let first = stream.next(&known).unwrap();
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(
        (first.nonce.as_str(), first.type_url.as_str()),
        ("1", super::TYPE_URL)
    );
    assert_eq!(stream.unknown(&known).collect::<Vec<_>>(), ["zz"]);
    assert_eq!(stream.next(&known), None);
    let wanted = ["a", "b", "zz"];
    assert_eq!(stream.hear(about(&first, &wanted)), Ok(Heard::Taken));
    assert_eq!(stream.next(&known), None);

    // Only what changed, and what appeared.
    let more = assignments(&[("a", &[]), ("b", &[]), ("zz", &[])]);
    let second = stream.next(&more).unwrap();
    assert_eq!(names(&second), ["a", "zz"]);
    assert_eq!(second.nonce, "2");
    assert_ne!(second.version_info, first.version_info);

    // Another agent says the same with the same version, and so does a later stream.
    let mut other = Subscription::default();
    other.hear(ask(&["zz", "b", "a"])).unwrap();
    assert_eq!(other.next(&more).unwrap().version_info, second.version_info);
}

#[test]
fn more_and_fewer_pools_can_be_asked_for() {
    let known = assignments(&[("a", &[]), ("b", &[])]);
    let mut stream = Subscription::default();
    stream.hear(ask(&["a"])).unwrap();
    let first = stream.next(&known).unwrap();
    stream.hear(about(&first, &["a", "b"])).unwrap();
    let second = stream.next(&known).unwrap();
    assert_eq!(names(&second), ["b"]);
    // About the first response, which is no longer the last: its names are old ones.
    assert_eq!(stream.hear(about(&first, &["a"])), Ok(Heard::Asked));
    assert_eq!(stream.next(&known), None);
    stream.hear(about(&second, &["b"])).unwrap();
    stream.hear(about(&second, &["a", "b"])).unwrap();
    assert_eq!(
        names(&stream.next(&known).unwrap()),
        ["a"],
        "asked for anew"
    );
}

#[test]
fn what_was_refused_is_sent_again_only_when_it_changes() {
    let known = assignments(&[("a", &[ready("10.0.0.1:80")])]);
    let mut stream = Subscription::default();
    stream.hear(ask(&["a"])).unwrap();
    let first = stream.next(&known).unwrap();
    for _ in 0..3 {
        let heard = stream.hear(refusal(&first, &["a"]));
        assert_eq!(heard, Ok(Heard::Refused("no".to_owned())));
        assert_eq!(stream.next(&known), None);
    }
    let changed = assignments(&[("a", &[])]);
    assert_eq!(names(&stream.next(&changed).unwrap()), ["a"]);
}

#[test]
fn other_types_and_too_many_names_end_the_stream() {
    let mut other = ask(&["a"]);
    other.type_url = "type.googleapis.com/envoy.config.cluster.v3.Cluster".to_owned();
    let breach = Subscription::default().hear(other).unwrap_err().to_string();
    assert!(breach.contains("cluster.v3.Cluster"), "{breach}");
    let many = DiscoveryRequest {
        resource_names: (0..1_025).map(|number| number.to_string()).collect(),
        ..DiscoveryRequest::default()
    };
    let breach = Subscription::default().hear(many).unwrap_err().to_string();
    assert!(breach.contains("1025"), "{breach}");
}
