//! The decision in the spans of Envoy's own tracer, as `envoy-config/tracing/tracing.yaml` has it, and
//! the client's trace continued. That trace context goes through where there is no tracer is shown in
//! `requests.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use e2e::rig::{
    Client, Envoy, FakeAgent, Pod, Protocol, RequestSpec, artifacts, base_config,
    config::{at, socket_address},
    eventually, informed, istio, raw,
};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;

const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const SPAN: &str = "00f067aa0ba902b7";

/// Everything that was exported, one behind the other.
type Exported = Arc<Mutex<Vec<u8>>>;

/// Takes OTLP over HTTP and keeps its bytes.
async fn collector() -> (SocketAddr, Exported) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let exported = Exported::default();
    let kept = Arc::clone(&exported);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let kept = Arc::clone(&kept);
            let service = service_fn(move |request: Request<Incoming>| {
                let kept = Arc::clone(&kept);
                async move {
                    assert_eq!(request.uri().path(), "/v1/traces");
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    kept.lock().unwrap().extend_from_slice(&body);
                    Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (address, exported)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoys_spans_have_the_decision_and_continue_the_clients_trace() {
    let (collector, exported) = collector().await;
    let pod = Pod::start().await.unwrap();
    let agent = FakeAgent::start(1).await.unwrap();
    agent.see(&[(pod.address(), 0.0)]);
    let mut config = base_config(&[pod.address()], agent.address()).unwrap();
    let file = artifacts::repository().join("envoy-config/tracing/tracing.yaml");
    let [manager, mut cluster] = <[_; 2]>::try_from(istio::documents(&file).unwrap()).unwrap();
    // The collector is at a loopback address, not at a name.
    cluster["type"] = json!("STATIC");
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"] =
        socket_address(collector);
    let mut clusters = config.get("/static_resources/clusters").unwrap().clone();
    clusters.as_array_mut().unwrap().push(cluster);
    config.set("/static_resources/clusters", clusters).unwrap();
    let place = format!("{}/tracing", at::MANAGER);
    config.set(&place, manager["tracing"].clone()).unwrap();
    config
        .change_plugin(|plugin| plugin["explain_log"] = json!(true))
        .unwrap();
    let envoy = Envoy::start(config, 1).await.unwrap();
    let client = Client::new(envoy.address(), Protocol::Http1);
    informed(&envoy, &client).await.unwrap();
    drop(pod.take_recorded());

    let request = RequestSpec::chat("tiny", "where was I?", false)
        .header("traceparent", &format!("00-{TRACE:032x}-{SPAN}-01"));
    assert_eq!(client.send(request).await.unwrap().status, 200);
    let arrived = pod.take_recorded().remove(0);
    let parent = String::from_utf8(arrived.header("traceparent")[0].to_vec()).unwrap();
    assert!(
        parent.starts_with(&format!("00-{TRACE:032x}-")),
        "the trace is another: {parent}"
    );
    assert!(
        !parent.contains(SPAN),
        "Envoy's span is no parent: {parent}"
    );

    let wanted: [&[u8]; 5] = [
        &TRACE.to_be_bytes(),
        b"zerohop.reason",
        b"zerohop.decision",
        b"chosen=",
        b"zerohop.picked",
    ];
    let arrived = eventually("the spans arrive", Duration::from_secs(20), || async {
        let bytes = exported.lock().unwrap();
        wanted.iter().all(|part| raw::find(&bytes, part).is_some())
    })
    .await;
    let bytes = exported.lock().unwrap();
    arrived.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&bytes)));
}
