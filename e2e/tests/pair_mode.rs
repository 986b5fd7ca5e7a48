//! The pair of filters that Istio's WasmPlugin needs, because it cannot set
//! `allow_on_headers_stop_iteration`: the same requests, the same picks.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use bytes::Bytes;
use e2e::rig::{
    Answer, Client, EnvoyConfig, Load, Pod, Protocol, RequestSpec, Rig, RigOptions, eventually,
};
use serde_json::json;
use xxhash_rust::xxh64::xxh64;

async fn rig() -> Rig {
    Rig::start(RigOptions {
        change: EnvoyConfig::pair,
        ..RigOptions::default()
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_arrive_whole_and_at_the_best_pod() {
    let rig = rig().await;
    for pod in &rig.pods[1..] {
        pod.metrics(|metrics| metrics.waiting = 40.0);
    }
    let best = rig.pods[0].address();
    eventually("the idle pod is picked", Duration::from_secs(3), || async {
        let mut all = true;
        for number in 0..12 {
            let client = Client::new(rig.envoy.address(), Protocol::Http1);
            let spec = RequestSpec::completion("tiny", &format!("{number}"));
            all &= client.send(spec).await.unwrap().upstream() == Some(best);
        }
        all
    })
    .await
    .unwrap();
    drop(rig.pods[0].take_recorded());
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let client = Client::new(rig.envoy.address(), protocol);
        for size in [2, 500, 20_000, 65_536, 300_000, 5_000_000] {
            let prompt = "abcdefg ".repeat(size / 8);
            let body = Bytes::from(json!({"prompt": prompt, "model": "tiny"}).to_string());
            for spec in [
                RequestSpec::post(body.clone()),
                RequestSpec::post(body.clone()).chunked(7_001),
            ] {
                let response = client.send(spec).await.unwrap();
                assert_eq!(
                    response.status,
                    200,
                    "{protocol:?} {size}: {}",
                    response.text()
                );
                assert_eq!(response.upstream(), Some(best), "{protocol:?} {size}");
                let arrived = rig.pods[0].take_recorded();
                assert_eq!(arrived.len(), 1, "{protocol:?} {size}");
                assert_eq!(arrived[0].digest, xxh64(&body, 0), "{protocol:?} {size}");
            }
        }
        let get = client.send(RequestSpec::get("/v1/files")).await.unwrap();
        assert_eq!(get.status, 200);
        assert_eq!(get.upstream(), Some(best), "a request without a body");
        drop(rig.pods[0].take_recorded());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_and_aborts_behave_as_with_one_filter() {
    let rig = rig().await;
    rig.pods[0].answer(Answer::Status(503));
    let load = Load {
        rate: 150.0,
        duration: Duration::from_secs(3),
    };
    let make = |number| RequestSpec::completion("tiny", &format!("question {number}"));
    let report = rig.client.load(load, make).await;
    assert!(report.failures().is_empty(), "{:#?}", report.failures());
    for pod in &rig.pods {
        pod.answer(Answer::Hang);
    }
    let hasty = rig.client.clone().with_limit(Duration::from_millis(5));
    for number in 0..300 {
        let failure = hasty.send(make(number)).await;
        assert!(failure.is_err(), "a hung pod answers nothing");
    }
    let admin = rig.envoy.admin();
    eventually("nothing is in flight", Duration::from_secs(5), || async {
        let gauges = admin.stats("in_flight").await.unwrap();
        let mut ours = gauges
            .iter()
            .filter(|(name, _)| name.contains("zerohop_in_flight_requests"))
            .peekable();
        ours.peek().is_some() && ours.all(|(_, value)| *value == 0)
    })
    .await
    .unwrap();
    rig.pods
        .iter()
        .for_each(|pod: &Pod| pod.answer(Answer::Echo));
    let after = rig.client.send(make(1)).await.unwrap();
    assert_eq!(after.status, 200);
}
