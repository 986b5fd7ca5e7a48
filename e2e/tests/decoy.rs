//! A server that is no member of the pool is never reached, whatever the client says and whatever
//! of ours is missing.
//!
//! The matrix is {filter, no filter, filter crashed, agent down, empty pool} times the ways to name
//! a destination: several headers, one or two of them, upper case, a list, IPv6, a host name, an
//! integer address, and Envoy's own admin port.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use e2e::rig::{
    Agent, AgentConfig, Client, Decoy, Envoy, EnvoyConfig, Pod, Protocol, RequestSpec, artifacts,
    base_config, chaos,
    config::{UPSTREAM_HEADER, at},
    eventually, informed, raw,
};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(5);

/// Headers by which some proxy somewhere lets a request name its destination.
const NAMES: [&str; 6] = [
    "x-gateway-destination-endpoint",
    "x-gateway-destination-endpoint-subset",
    "x-gateway-destination-endpoint-served",
    "x-envoy-original-dst-host",
    "x_gateway_destination_endpoint",
    "x-envoy-force-original-dst",
];

/// Header lines that name `target`, each a case of its own.
fn cases(target: SocketAddr) -> Vec<Vec<String>> {
    let port = target.port();
    let numeric = match target {
        SocketAddr::V4(v4) => u32::from(*v4.ip()),
        SocketAddr::V6(_) => 0x7f00_0001,
    };
    let values = [
        target.to_string(),
        format!("{target},127.0.0.1:1"),
        format!("127.0.0.1:1, {target}"),
        format!(" {target} "),
        format!("[::ffff:127.0.0.1]:{port}"),
        format!("localhost:{port}"),
        format!("http://{target}/"),
        format!("{numeric}:{port}"),
        format!("0.0.0.0:{port}"),
    ];
    let mut cases = Vec::new();
    for name in NAMES {
        for value in &values {
            cases.push(vec![format!("{name}: {value}")]);
        }
        let line = format!("{name}: {target}");
        cases.push(vec![line.clone(), line.clone()]);
        cases.push(vec![format!("{name}: 127.0.0.1:1"), line.clone()]);
        cases.push(vec![format!("{}: {target}", name.to_uppercase())]);
        cases.push(vec![
            line.clone(),
            format!("{}: {target}", name.to_uppercase()),
        ]);
    }
    let all = NAMES.iter().map(|name| format!("{name}: {target}"));
    cases.push(all.collect());
    cases
}

/// Sends every case at every target, with and without a body, and checks who answered.
async fn try_everything(envoy: &Envoy, members: &[SocketAddr], served: bool) {
    let v4 = Decoy::start(Ipv4Addr::LOCALHOST.into()).await.unwrap();
    let v6 = Decoy::start(Ipv6Addr::LOCALHOST.into()).await.ok();
    let admin = envoy.admin();
    let admin_before = admin.stat("http.admin.downstream_rq_total").await.unwrap();
    let mut targets = vec![v4.address(), admin.0];
    targets.extend(v6.iter().map(Decoy::address));
    let mut sent = 0;
    for target in targets {
        for case in cases(target) {
            for body in ["", r#"{"model":"tiny","prompt":"x"}"#] {
                let method = if body.is_empty() { "GET" } else { "POST" };
                let request = format!(
                    "{method} /stats HTTP/1.1\r\nhost: rig\r\n{}\r\ncontent-type: application/json\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n{body}",
                    case.join("\r\n"),
                    body.len()
                );
                let answer = raw::exchange(envoy.address(), request.as_bytes(), LIMIT)
                    .await
                    .unwrap();
                sent += 1;
                let upstream = answer
                    .header(UPSTREAM_HEADER)
                    .and_then(|text| text.parse().ok());
                if served {
                    assert_eq!(answer.status, 200, "{case:?}: {}", answer.head);
                    let upstream: SocketAddr = upstream.unwrap_or_else(|| panic!("{case:?}"));
                    assert!(members.contains(&upstream), "{case:?} went to {upstream}");
                } else {
                    assert!(answer.status >= 500, "{case:?}: {}", answer.head);
                    assert_eq!(upstream, None, "{case:?}");
                }
            }
        }
    }
    assert!(sent > 150, "only {sent} cases were tried");
    assert_eq!(v4.seen(), 0, "connections that the decoy saw");
    assert_eq!(
        v6.map_or(0, |decoy| decoy.seen()),
        0,
        "connections that the IPv6 decoy saw"
    );
    let admin_after = admin.stat("http.admin.downstream_rq_total").await.unwrap();
    assert_eq!(
        admin_after - admin_before,
        1,
        "requests that the admin interface saw"
    );
}

async fn pods(count: usize) -> (Vec<Pod>, Vec<SocketAddr>) {
    let mut pods = Vec::new();
    for _ in 0..count {
        pods.push(Pod::start().await.unwrap());
    }
    let members = pods.iter().map(Pod::address).collect();
    (pods, members)
}

async fn envoy_with_agent(members: &[SocketAddr], agent: Option<&Agent>) -> Envoy {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let grpc = agent.map_or(nobody, |agent| agent.config().grpc);
    Envoy::start(base_config(members, grpc).unwrap(), 2)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_filter_no_decoy_is_reached() {
    let (_pods, members) = pods(2).await;
    let agent = Agent::start(AgentConfig::new(members.clone()))
        .await
        .unwrap();
    let envoy = envoy_with_agent(&members, Some(&agent)).await;
    try_everything(&envoy, &members, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_filter_no_decoy_is_reached() {
    let (_pods, members) = pods(2).await;
    let mut config: EnvoyConfig =
        base_config(&members, SocketAddr::from((Ipv4Addr::LOCALHOST, 9))).unwrap();
    config.remove_filter().unwrap();
    let envoy = Envoy::start(config, 2).await.unwrap();
    try_everything(&envoy, &members, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_agent_down_no_decoy_is_reached() {
    let (_pods, members) = pods(2).await;
    let envoy = envoy_with_agent(&members, None).await;
    try_everything(&envoy, &members, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_an_empty_pool_no_decoy_is_reached() {
    // The agent knows no endpoint: the cluster's own fallback policy serves.
    let (_pods, members) = pods(2).await;
    let agent = Agent::start(AgentConfig::new(Vec::new())).await.unwrap();
    let envoy = envoy_with_agent(&members, Some(&agent)).await;
    try_everything(&envoy, &members, true).await;
    // Nor does the cluster: nobody serves.
    let envoy = envoy_with_agent(&[], Some(&agent)).await;
    try_everything(&envoy, &[], false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_filter_crashed_no_decoy_is_reached() {
    let (_pods, members) = pods(2).await;
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let mut config = base_config(&members, nobody).unwrap();
    config.wasm(&artifacts::chaos_wasm().unwrap()).unwrap();
    // The worst that an operator can choose: a filter that has crashed is bypassed for ever.
    let policy = format!("{}/typed_config/config/failure_policy", at::FILTER);
    config.set(&policy, json!("FAIL_OPEN")).unwrap();
    let reload = format!("{}/typed_config/config/reload_config", at::FILTER);
    config.set(&reload, json!(null)).unwrap();
    let envoy = Envoy::start(config, 1).await.unwrap();
    chaos::crash_once(envoy.address()).await.unwrap();
    envoy.logged("panicked", LIMIT).await.unwrap();
    try_everything(&envoy, &members, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_cannot_steer_to_a_member_either() {
    let (pods, members) = pods(2).await;
    pods[0].metrics(|metrics| {
        metrics.waiting = 50.0;
        metrics.running = 50.0;
        metrics.kv_usage = 0.99;
    });
    let agent = Agent::start(AgentConfig::new(members.clone()))
        .await
        .unwrap();
    let envoy = envoy_with_agent(&members, Some(&agent)).await;
    let client = Client::new(envoy.address(), Protocol::Http1);
    informed(&envoy, &client).await.unwrap();
    eventually("the idle pod is picked", LIMIT, || async {
        let mut all = true;
        for number in 0..8 {
            let spec = RequestSpec::completion("tiny", &format!("probe {number}"));
            let response = client.send(spec).await.unwrap();
            all &= response.upstream() == Some(members[1]);
        }
        all
    })
    .await
    .unwrap();
    for name in NAMES {
        for method in ["GET", "POST"] {
            let request = format!(
                "{method} /v1/models/x HTTP/1.1\r\nhost: rig\r\n{name}: {}\r\ncontent-length: 0\r\n\
                 connection: close\r\n\r\n",
                members[0]
            );
            let answer = raw::exchange(envoy.address(), request.as_bytes(), LIMIT)
                .await
                .unwrap();
            let upstream = answer.header(UPSTREAM_HEADER).unwrap().to_owned();
            assert_eq!(
                upstream,
                members[1].to_string(),
                "{name} steered a {method}"
            );
        }
    }
}

/// The control: with the cluster that we never ship and no filter, the decoy is reached, so that the
/// zeroes above mean something.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_original_dst_cluster_would_reach_the_decoy() {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let mut config = base_config(&[], nobody).unwrap();
    config.remove_filter().unwrap();
    let cluster = json!({
        "name": "model-servers", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED",
        "original_dst_lb_config": {
            "use_http_header": true, "http_header_name": "x-gateway-destination-endpoint",
        },
    });
    config.set(at::MODEL_SERVERS, cluster).unwrap();
    let envoy = Envoy::start(config, 1).await.unwrap();
    let decoy = Decoy::start(Ipv4Addr::LOCALHOST.into()).await.unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nhost: rig\r\nx-gateway-destination-endpoint: {}\r\nconnection: close\r\n\r\n",
        decoy.address()
    );
    let answer = raw::exchange(envoy.address(), request.as_bytes(), LIMIT)
        .await
        .unwrap();
    assert_eq!(answer.header("x-decoy"), Some("1"), "{}", answer.head);
    assert_eq!(decoy.seen(), 1);
}
