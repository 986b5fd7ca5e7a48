//! What a request says about where it should go: subsets of a trusted sender or of a filter before ours
//! are obeyed to the letter, sessions softly, and no header goes further than it should.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::{collections::BTreeSet, net::SocketAddr};

use e2e::rig::{
    Client, EnvoyConfig, Pod, Protocol, RequestSpec, Response, Rig, RigError, RigOptions,
    config::at,
};
use serde_json::{Value, json};

const SUBSET: &str = "x-gateway-destination-endpoint-subset";
/// Where the operator of these tests says which pods a tenant has.
const TENANT: &str = "x-tenant-pods";
const METADATA: &str = "envoy.lb.subset_hint";
const PODS: usize = 4;

/// Nobody tells the filter more than its members: hints need no signals.
async fn rig(change: fn(&mut EnvoyConfig) -> Result<(), RigError>) -> Rig {
    Rig::start(RigOptions {
        pods: PODS,
        agent: false,
        change,
        ..RigOptions::default()
    })
    .await
    .unwrap()
}

fn trusting(config: &mut EnvoyConfig) -> Result<(), RigError> {
    config.change_plugin(|plugin| plugin["trust_subset_header"] = json!(true))
}

fn with_sessions(config: &mut EnvoyConfig) -> Result<(), RigError> {
    config.change_plugin(|plugin| {
        plugin["session"] = json!({"header": "x-session-id", "cookie": "sid", "body_user": true});
    })
}

/// A filter of the operator before ours.
fn after(filter: Value, config: &mut EnvoyConfig) -> Result<(), RigError> {
    let ours = config.get(at::HTTP_FILTERS)?.clone();
    let mut filters = vec![filter];
    filters.extend(ours.as_array().cloned().unwrap_or_default());
    config.set(at::HTTP_FILTERS, Value::Array(filters))
}

/// The operator allows every request the first two pods.
fn allowing_two(config: &mut EnvoyConfig) -> Result<(), RigError> {
    let members = config.plugin()?["pools"][0]["members"].clone();
    let hint = json!({SUBSET: [members[0], members[1]]});
    let filter = json!({"name": "operator", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config",
        "metadata": [{"metadata_namespace": METADATA, "value": hint}]}});
    after(filter, config)
}

/// The operator allows what a header of its own says.
fn allowing_by_header(config: &mut EnvoyConfig) -> Result<(), RigError> {
    let rule = json!({"header": TENANT, "remove": true,
        "on_header_present": {"metadata_namespace": METADATA, "key": SUBSET}});
    let filter = json!({"name": "operator", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config",
        "request_rules": [rule]}});
    after(filter, config)
}

/// Sends on a fresh connection, so that any worker may take it.
async fn send(rig: &Rig, spec: RequestSpec) -> Response {
    let client = Client::new(rig.envoy.address(), Protocol::Http1);
    client.send(spec).await.unwrap()
}

/// A request with a body that is read and one that is routed at its headers.
fn both(number: usize) -> [RequestSpec; 2] {
    let text = format!("request {number} asks something");
    [
        RequestSpec::completion("tiny", &text),
        RequestSpec::get("/v1/models"),
    ]
}

fn nobody_saw_the_header(rig: &Rig) {
    for pod in &rig.pods {
        for request in pod.take_recorded() {
            assert!(request.header(SUBSET).is_empty(), "the hint went upstream");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_subset_is_the_only_place() {
    let rig = rig(trusting).await;
    let addresses: Vec<SocketAddr> = rig.pods.iter().map(Pod::address).collect();
    for round in 0..20 {
        let pair = [addresses[round % PODS], addresses[(round + 1) % PODS]];
        let subset = format!("{}, garbage,{}", pair[0], pair[1]);
        for spec in both(round) {
            let answer = send(&rig, spec.header(SUBSET, &subset)).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let upstream = answer.upstream().unwrap();
            assert!(pair.contains(&upstream), "{upstream} is not in {subset}");
        }
    }
    nobody_saw_the_header(&rig);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subset_of_which_nobody_is_there_goes_nowhere() {
    let rig = rig(trusting).await;
    let before: u64 = rig.pods.iter().map(Pod::requests).sum();
    for subset in ["10.9.9.9:8000", "10.9.9.9", "pod-1:8000", ","] {
        for spec in both(0) {
            let answer = send(&rig, spec.header(SUBSET, subset)).await;
            assert_eq!(answer.status, 503, "{subset}: {}", answer.text());
            assert_eq!(answer.header("content-type"), Some("application/json"));
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(body["error"]["code"], "no_endpoint_in_subset");
        }
    }
    let after: u64 = rig.pods.iter().map(Pod::requests).sum();
    assert_eq!(before, after, "somebody else was asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_untrusted_subset_is_ignored_and_removed() {
    let rig = rig(|_| Ok(())).await;
    let only = rig.pods[0].address().to_string();
    let mut upstreams = BTreeSet::new();
    for round in 0..40 {
        for spec in both(round) {
            let answer = send(&rig, spec.header(SUBSET, &only)).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            upstreams.extend(answer.upstream());
        }
    }
    assert!(upstreams.len() > 1, "a client's hint was obeyed");
    for spec in both(0) {
        let answer = send(&rig, spec.header(SUBSET, "10.9.9.9:8000")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    nobody_saw_the_header(&rig);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_in_the_metadata_is_the_only_place_whatever_a_client_says() {
    let rig = rig(allowing_two).await;
    let addresses: Vec<SocketAddr> = rig.pods.iter().map(Pod::address).collect();
    let elsewhere = addresses[3].to_string();
    let mut upstreams = BTreeSet::new();
    for round in 0..40 {
        for spec in both(round) {
            let answer = send(&rig, spec.header(SUBSET, &elsewhere)).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            upstreams.extend(answer.upstream());
        }
    }
    // Every pod has the same address here, so this is a test of the port as well.
    assert_eq!(upstreams, BTreeSet::from([addresses[0], addresses[1]]));
    nobody_saw_the_header(&rig);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_in_the_metadata_is_obeyed_and_nobody_of_it_is_503() {
    let rig = rig(allowing_by_header).await;
    for (number, pod) in rig.pods.iter().enumerate() {
        let subset = format!("10.9.9.9:8000, {}", pod.address());
        for spec in both(number) {
            let answer = send(&rig, spec.header(TENANT, &subset)).await;
            assert_eq!(answer.upstream(), Some(pod.address()), "{}", answer.text());
        }
    }
    let before: u64 = rig.pods.iter().map(Pod::requests).sum();
    for subset in ["10.9.9.9:8000", "127.0.0.1:1", "pod-1:8000", ","] {
        for spec in both(0) {
            let answer = send(&rig, spec.header(TENANT, subset)).await;
            assert_eq!(answer.status, 503, "{subset}: {}", answer.text());
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(body["error"]["code"], "no_endpoint_in_subset");
        }
    }
    let after: u64 = rig.pods.iter().map(Pod::requests).sum();
    assert_eq!(before, after, "somebody else was asked");
    let free = send(&rig, RequestSpec::get("/v1/models")).await;
    assert_eq!(free.status, 200, "without metadata the whole pool is there");
}

/// Where a session's requests go, each on a connection of its own, its prompts too short to tell.
async fn homes(rig: &Rig, named: impl Fn(RequestSpec) -> RequestSpec) -> BTreeSet<SocketAddr> {
    let mut upstreams = BTreeSet::new();
    for number in 0..6 {
        let spec = named(RequestSpec::completion("tiny", &format!("{number}?")));
        let answer = send(rig, spec).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        upstreams.extend(answer.upstream());
    }
    upstreams
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_stays_with_its_pod() {
    let rig = rig(with_sessions).await;
    let mut by_header = BTreeSet::new();
    for session in 0..12 {
        let id = format!("session-{session}");
        let header = homes(&rig, |spec| spec.header("x-session-id", &id)).await;
        assert_eq!(header.len(), 1, "{id} by header: {header:?}");
        let cookie = format!("theme=dark; sid={id}");
        let cookie = homes(&rig, |spec| spec.header("cookie", &cookie)).await;
        assert_eq!(cookie, header, "{id} by cookie");
        by_header.extend(header);
    }
    assert!(by_header.len() > 1, "sessions spread");
    let user = homes(&rig, |_| {
        RequestSpec::post(r#"{"model": "tiny", "user": "alice", "prompt": "?", "max_tokens": 8}"#)
    })
    .await;
    assert_eq!(user.len(), 1, "the body's user: {user:?}");
    let none = homes(&rig, |spec| spec).await;
    assert!(
        none.len() > 1,
        "without a session requests spread: {none:?}"
    );
}
