//! What people can see: metrics with labels, an access log that says why, and no secrets in either.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use e2e::rig::{Client, Protocol, RequestSpec, Rig, RigOptions, eventually};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_have_labels_and_their_number_does_not_grow() {
    let rig = Rig::start(RigOptions::default()).await.unwrap();
    let admin = rig.envoy.admin();
    let page = admin.get("/stats/prometheus").await.unwrap();
    for series in [
        r#"zerohop_picks_total{pool="default",reason="least_cost"}"#,
        r#"zerohop_in_flight_requests{pool="default"}"#,
        r#"zerohop_endpoints{pool="default"} 3"#,
        r#"zerohop_scans_total{outcome="#,
        r#"zerohop_attempts_total{event="moved"}"#,
        r#"zerohop_pool_states_total{result="taken"}"#,
        r#"zerohop_agent_stream_up{} 1"#,
    ] {
        assert!(
            page.contains(series),
            "{series} is missing:\n{}",
            ours(&page).join("\n")
        );
    }
    let before = ours(&page).len();
    for number in 0..300 {
        let spec = RequestSpec::completion(&format!("model-{number}"), "x");
        rig.client.send(spec).await.unwrap();
    }
    let page = admin.get("/stats/prometheus").await.unwrap();
    assert_eq!(ours(&page).len(), before, "series after 300 other models");
}

/// The filter's own series, histograms left out because Envoy shows them once they have values.
fn ours(page: &str) -> Vec<&str> {
    let mine = page.lines().filter(|line| line.starts_with("zerohop_"));
    mine.filter(|line| !line.contains("pick_microseconds") && !line.contains("signal_age"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agents_page_tells_what_all_workers_refused() {
    let rig = Rig::start(RigOptions {
        change: |config| config.change_plugin(|plugin| plugin["trust_subset_header"] = json!(true)),
        ..RigOptions::default()
    })
    .await
    .unwrap();
    let agent = rig.agent.as_ref().unwrap();
    let sheds = || async {
        let status = agent.page("/debug/status").await.unwrap();
        let status: Value = serde_json::from_str(&status).unwrap();
        status["pools"][0]["sheds"].as_u64()
    };
    let limit = Duration::from_secs(10);
    eventually("the gateway says from where to count", limit, || async {
        sheds().await == Some(0)
    })
    .await
    .unwrap();
    for number in 0..14 {
        // A connection each, so that both workers have some.
        let client = Client::new(rig.envoy.address(), Protocol::Http1);
        let spec = RequestSpec::completion("tiny", &format!("{number}"));
        let (spec, status) = match number % 2 {
            0 => (spec, 200),
            _ => {
                let nobody = "10.9.9.9:8000";
                let spec = spec.header("x-gateway-destination-endpoint-subset", nobody);
                (spec, 503)
            }
        };
        assert_eq!(client.send(spec).await.unwrap().status, status);
    }
    eventually("every refusal is known, once", limit, || async {
        sheds().await == Some(7)
    })
    .await
    .unwrap();
    let page = rig.envoy.admin().get("/stats/prometheus").await.unwrap();
    let series = r#"zerohop_refusals_total{pool="default"} 7"#;
    assert!(page.contains(series), "{}", ours(&page).join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_access_log_says_why_and_nothing_says_what_was_asked() {
    let rig = Rig::start(RigOptions::default()).await.unwrap();
    let secret = "canary-7d1f";
    let spec = RequestSpec::chat("tiny", &format!("{secret} prompt"), false)
        .header("authorization", &format!("Bearer {secret}"))
        .header("x-gateway-destination-endpoint", &format!("{secret}:80"));
    assert_eq!(rig.client.send(spec).await.unwrap().status, 200);
    let output = || rig.envoy.process().output();
    eventually(
        "the access log is written",
        Duration::from_secs(12),
        || async { output().contains("/v1/chat/completions") },
    )
    .await
    .unwrap();
    let line = output();
    let line = line
        .lines()
        .find(|line| line.contains("/v1/chat/completions"))
        .unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["status"], 200);
    let reason = line["reason"].as_str().unwrap_or_default();
    assert!(
        ["least_cost", "prefix_hit", "lora_affinity"].contains(&reason),
        "{line}"
    );
    let picked = line["picked"].as_str().unwrap();
    let first = picked.split(',').next().unwrap();
    assert_eq!(line["upstream"], first, "{line}");
    assert_eq!(picked.split(',').count(), 3, "{line}");

    let agent = rig.agent.as_ref().unwrap();
    let admin = rig.envoy.admin();
    let everything = [
        output(),
        rig.envoy.process().log(),
        admin.get("/stats").await.unwrap(),
        agent.process().log(),
        agent.process().output(),
        agent.page("/debug/pools").await.unwrap(),
        agent.page("/metrics").await.unwrap(),
    ];
    for text in everything {
        assert!(!text.contains(secret), "{text}");
    }
}
