//! From a hub's dump to an explanation.

use std::sync::Arc;

use picker::{Health, InFlight, Reason, Signal, Signals};
use pool_state::{
    convert::Report,
    policy::{ModelRule, Policy, PolicyParts, Target},
};

use super::*;
use crate::{
    clock::Clock,
    hub::Hub,
    index::{Attempt, Index, Member, Membership, Observation, PoolMembers, TargetId, generation},
    telemetry::Telemetry,
};

fn address(pod: u8) -> std::net::SocketAddr {
    ([10, 0, 0, pod], 8000).into()
}

/// Three pods with 20, 0 and 40 running requests; two gateways, of which one has sent 5 to the idle one.
async fn stage() -> Dump {
    let hub = Hub::new(
        Clock::start(),
        Index::new(1, 2, 0),
        Arc::new(Telemetry::new()),
    );
    let member = |pod: u8| Member {
        target: TargetId(pod.into()),
        address: address(pod),
        name: Some(Arc::from(format!("pod-{pod}"))),
        weight: 1.0,
        price: 1.0,
        labels: Arc::default(),
    };
    hub.set_membership(&Membership {
        pools: vec![PoolMembers {
            name: Arc::from("chat"),
            members: (1..=3).map(member).collect(),
            unresolved: 0,
        }],
    });
    let now = hub.clock.now();
    for (pod, running) in [(1, 20.0), (2, 0.0), (3, 40.0)] {
        let signals = Signals {
            waiting: Some(Signal::new(0.0, now)),
            running: Some(Signal::new(running, now)),
            kv_usage: Some(Signal::new(running / 100.0, now)),
            ..Signals::default()
        };
        let observation = Observation {
            at: now,
            attempt: Attempt::Scraped,
            signals,
            health: Health::Ready,
            reason: "scraped".into(),
            life: 1,
            tallies: Default::default(),
        };
        hub.observe(TargetId(pod), observation);
    }
    let load = |requests| InFlight {
        requests,
        tokens: 100 * u64::from(requests),
        prefilling: 0,
        prefill_tokens: 0,
    };
    for (gateway, stream, pod, requests) in [("one", 1, 2_u8, 5), ("two", 2, 1, 2)] {
        let id = picker::EndpointId {
            address: address(pod),
            generation: generation(address(pod), Some(&format!("pod-{pod}")), 1),
        };
        let report = Report {
            pool: "chat".to_owned(),
            loads: vec![(id, load(requests))],
        };
        hub.report(&Arc::from(gateway), stream, report);
    }
    let policy = Policy::new(PolicyParts {
        pool: "chat".to_owned(),
        rules: vec![ModelRule {
            model: Some("public".to_owned()),
            source: "test".to_owned(),
            priority: None,
            targets: vec![Target::new("old", Some(1)), Target::new("new", Some(3))],
        }],
        ..PolicyParts::default()
    });
    hub.set_policies([policy.unwrap()].iter());
    let publishing =
        tokio::time::timeout(std::time::Duration::from_millis(50), hub.publish_changes());
    drop(publishing.await);
    let bytes = dump(&hub).encode_to_vec();
    Dump::decode(bytes.as_slice()).unwrap()
}

#[tokio::test]
async fn the_idle_endpoint_is_picked_and_every_term_is_told() {
    let dump = stage().await;
    let perspective = Perspective::of(&dump, None, None).unwrap();
    assert_eq!(
        perspective.gateway.as_deref(),
        Some("one"),
        "it has the most in flight"
    );
    assert_eq!((perspective.own(), perspective.others()), (5, 2));
    let body =
        br#"{"model":"public","messages":[{"role":"user","content":"hello"}],"max_tokens":64}"#;
    let request = Request::read(body, perspective.policy.as_ref(), 256);
    assert_eq!(request.asked.as_deref(), Some("public"));
    assert_eq!(request.target, Some(("new".to_owned(), 0.75)));
    assert_eq!(request.facts.model.as_deref(), Some("new"));
    let mut picker = Picker::new(PickerConfig::default());
    let explained = picker.explain(&request.facts, &perspective.view(), &mut SplitMix64::new(1));
    assert_eq!(explained.decision.reason(), Reason::LeastCost);
    let first = explained.decision.first().unwrap();
    assert_eq!(perspective.name(first), "pod-2");
    let text = table::text(&perspective, &request, &explained, picker.config(), 2);
    for part in [
        "model public -> new (75 % of the draw)",
        "as gateway one of 2 has it: 5 requests in flight of its own, 2 of others",
        "decision  pod-2, then pod-1, then pod-3: least_cost",
        "and 1 more",
        "Not known here",
    ] {
        assert!(text.contains(part), "`{part}` is missing in\n{text}");
    }
}

#[tokio::test]
async fn another_gateway_sees_the_same_load_from_its_side() {
    let dump = stage().await;
    let perspective = Perspective::of(&dump, Some("chat"), Some("two")).unwrap();
    assert_eq!((perspective.own(), perspective.others()), (2, 5));
    let nobody = Perspective::of(&dump, Some("chat"), Some("three")).unwrap_err();
    assert_eq!(
        nobody.to_string(),
        "no gateway `three` reported load, these did: one, two"
    );
    let nothing = Perspective::of(&dump, Some("code"), None).unwrap_err();
    assert_eq!(
        nothing.to_string(),
        "there is no pool `code`, there are: chat"
    );
}

#[tokio::test]
async fn a_broken_dump_is_refused_as_a_gateway_would_refuse_it() {
    let mut dump = stage().await;
    let snapshot = dump.pools[0].snapshot.as_mut().unwrap();
    snapshot.endpoints[0].id = None;
    let refused = Perspective::of(&dump, None, None).unwrap_err().to_string();
    assert!(
        refused.starts_with("a gateway would refuse this state: snapshot.endpoints[0]"),
        "{refused}"
    );
    assert!(Dump::decode(&b"\xff\xff garbage"[..]).is_err());
}

#[test]
fn a_body_that_is_no_json_is_routed_by_load() {
    let request = Request::read(b"{not json", None, 256);
    assert_eq!(
        (request.asked, request.outcome.as_str()),
        (None, "not_json")
    );
}
