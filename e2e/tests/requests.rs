//! What the gateway shows of requests: the reference's series, the decision to those who may know it,
//! and in shadow mode the comparison and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use e2e::rig::{
    EnvoyConfig, Pod, RequestSpec, Rig, RigError, RigOptions, artifacts, config::at, eventually,
};
use serde_json::json;

const LONG: Duration = Duration::from_secs(15);

async fn page(rig: &Rig) -> String {
    rig.envoy.admin().get("/stats/prometheus").await.unwrap()
}

/// The sum of a family's series whose labels contain all of these.
fn sum(page: &str, family: &str, labels: &[&str]) -> f64 {
    let series = page
        .lines()
        .filter_map(|line| line.strip_prefix(family)?.strip_prefix('{'));
    let wanted = series.filter(|rest| labels.iter().all(|label| rest.contains(label)));
    wanted
        .filter_map(|rest| rest.rsplit_once("} ")?.1.parse::<f64>().ok())
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_counted_under_the_references_names() {
    let rig = Rig::start(RigOptions::default()).await.unwrap();
    let other = r#"pool="default",model_name="other",target_model_name="other""#;
    let before = page(&rig).await;
    for family in ["llm_d_epp_request_total", "llm_d_epp_request_running"] {
        let series = before
            .lines()
            .find(|line| line.starts_with(family))
            .unwrap_or_default();
        for label in other.split(',') {
            assert!(series.contains(label), "{series}");
        }
    }
    let model = "meta-llama/Llama-3.1-8B.x";
    for number in 0..40 {
        let stream = number % 2 == 0;
        let spec = RequestSpec::chat(model, "Say something nice.", stream);
        assert_eq!(rig.client.send(spec).await.unwrap().status, 200);
    }
    let label = format!(r#"model_name="{model}""#);
    eventually("all requests are shown", LONG, || async {
        let page = page(&rig).await;
        sum(&page, "llm_d_epp_request_total", &[]) >= 40.0
            && sum(&page, "llm_d_epp_request_duration_seconds_count", &[&label]) > 30.0
    })
    .await
    .unwrap();
    let page = page(&rig).await;
    assert_eq!(sum(&page, "llm_d_epp_request_running", &[]), 0.0);
    let infinite = sum(
        &page,
        "llm_d_epp_request_duration_seconds_bucket",
        &[&label, r#"le="+Inf""#],
    );
    assert_eq!(
        infinite,
        sum(&page, "llm_d_epp_request_duration_seconds_count", &[&label])
    );
    let index = r#"plugin_type="approx-prefix-cache-producer""#;
    eventually(
        "the prefix index is shown with its plugin",
        LONG,
        || async {
            let page = self::page(&rig).await;
            let shown = |family| sum(&page, family, &[index, r#"pool="default""#]);
            shown("llm_d_epp_prefix_indexer_hit_ratio_count") >= 40.0
                && shown("llm_d_epp_prefix_indexer_hit_bytes_count") >= 40.0
                && shown("llm_d_epp_prefix_indexer_size") > 0.0
        },
    )
    .await
    .unwrap();
    // What has no model is shown after what has.
    for family in [
        "llm_d_epp_plugin_duration_seconds_count",
        "llm_d_epp_request_ttft_seconds_count",
        "llm_d_epp_request_size_bytes_count",
        "llm_d_epp_scheduler_e2e_duration_seconds_count",
        "zerohop_signal_age_seconds_count",
    ] {
        eventually(family, LONG, || async {
            sum(&self::page(&rig).await, family, &[]) > 0.0
        })
        .await
        .unwrap();
    }
}

fn explaining(config: &mut EnvoyConfig) -> Result<(), RigError> {
    config.change_plugin(|plugin| {
        plugin["trust_explain_header"] = json!(true);
        plugin["explain_log"] = json!(true);
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_is_told_to_those_who_may_ask_and_do() {
    let rig = Rig::start(RigOptions {
        change: explaining,
        ..RigOptions::default()
    })
    .await
    .unwrap();
    let spec = || RequestSpec::completion("tiny", "why there?");
    let plain = rig.client.send(spec()).await.unwrap();
    assert_eq!(plain.header("x-zerohop-decision"), None);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let asking = spec()
        .header("x-zerohop-explain", "1")
        .header("traceparent", trace)
        .header("tracestate", "a=b");
    let told = rig.client.send(asking).await.unwrap();
    let decision = told.header("x-zerohop-decision").unwrap();
    let chosen = format!("chosen=\"{}\", runner_up=\"", told.upstream().unwrap());
    assert!(decision.starts_with(&chosen), "{decision}");
    for key in ["reason=", "ttft_ms=", "hit_tokens=", "signal_age_ms="] {
        assert!(decision.contains(key), "{decision}");
    }
    let recorded: Vec<_> = rig.pods.iter().flat_map(Pod::take_recorded).collect();
    let traced = recorded.iter().filter(|seen| {
        seen.header("traceparent") == [trace.as_bytes()] && seen.header("tracestate") == [b"a=b"]
    });
    assert_eq!(traced.count(), 1, "W3C trace context goes on as it came");
    assert!(
        recorded
            .iter()
            .all(|seen| seen.header("x-zerohop-explain").is_empty())
    );
    let logged = format!("\"decision\":\"{}\"", decision.replace('"', "\\\""));
    eventually("the access log has the same decision", LONG, || async {
        rig.envoy.process().output().contains(&logged)
    })
    .await
    .unwrap();
}

fn routes_say(config: &mut EnvoyConfig) -> Result<(), RigError> {
    explaining(config)?;
    let route = at::ROUTE.trim_end_matches("/route");
    let metadata = json!({"filter_metadata": {"zerohop": {"work": "generate"}}});
    config.set(&format!("{route}/metadata"), metadata)?;
    config.change_plugin(|plugin| plugin["route_metadata"] = json!(true))
}

/// The tokens that the second of two equal prompts is believed to find, at a path that says nothing.
async fn hit_at_unknown_path(change: fn(&mut EnvoyConfig) -> Result<(), RigError>) -> u32 {
    let rig = Rig::start(RigOptions {
        change,
        concurrency: 1,
        ..RigOptions::default()
    })
    .await
    .unwrap();
    let mut hit = 0;
    for _ in 0..2 {
        let mut spec = RequestSpec::completion("tiny", &"the same words again ".repeat(100));
        spec.path = "/ours/ask".to_owned();
        let answer = rig.client.send(spec.header("x-zerohop-explain", "1"));
        let answer = answer.await.unwrap();
        let decision = answer.header("x-zerohop-decision").unwrap();
        let (_, rest) = decision.split_once("hit_tokens=").unwrap();
        hit = rest.split(',').next().unwrap().parse().unwrap();
    }
    hit
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_says_what_a_path_of_its_own_asks_for() {
    assert!(hit_at_unknown_path(routes_say).await > 100);
    assert_eq!(hit_at_unknown_path(explaining).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_is_told_anything() {
    let rig = Rig::start(RigOptions::default()).await.unwrap();
    let asking = RequestSpec::completion("tiny", "x").header("x-zerohop-explain", "1");
    let answer = rig.client.send(asking).await.unwrap();
    assert_eq!(answer.header("x-zerohop-decision"), None);
    for seen in rig.pods.iter().flat_map(Pod::take_recorded) {
        assert!(seen.header("x-zerohop-explain").is_empty());
    }
}

fn in_shadow(config: &mut EnvoyConfig) -> Result<(), RigError> {
    config.change_plugin(|plugin| plugin["shadow"] = json!(true))
}

/// What `zerohop-agent shadow` says of this Envoy, and whether with success.
async fn shadow_report(rig: &Rig) -> (bool, String) {
    let program = artifacts::agent().unwrap();
    let envoy = format!("http://{}", rig.envoy.admin().0);
    let output = tokio::process::Command::new(program)
        .args(["shadow", &envoy])
        .output()
        .await
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

fn without_filter(config: &mut EnvoyConfig) -> Result<(), RigError> {
    config.balance_by_fallback()
}

/// The same requests through a gateway; what the pods saw, but for what differs from run to run.
async fn seen(change: fn(&mut EnvoyConfig) -> Result<(), RigError>) -> (Rig, Vec<String>) {
    let rig = Rig::start(RigOptions {
        agent: false,
        change,
        ..RigOptions::default()
    })
    .await
    .unwrap();
    for number in 0..30 {
        let mut spec = RequestSpec::chat("tiny", &format!("request {number}"), number % 3 == 0);
        spec = spec
            .header("x-request-id", &format!("id-{number}"))
            .header("x-gateway-destination-endpoint", "10.1.2.3:80")
            .header("x-zerohop-explain", "1");
        let answer = rig.client.send(spec).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-zerohop-decision"), None);
    }
    let mut seen: Vec<String> = rig
        .pods
        .iter()
        .flat_map(Pod::take_recorded)
        .map(|request| {
            let mut headers: Vec<String> = request
                .head
                .headers
                .iter()
                .filter(|(name, _)| {
                    !["host", "x-forwarded-for", "x-request-id"].contains(&name.as_str())
                })
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or_default()))
                .collect();
            headers.sort();
            format!("{} {:?} {headers:?}", request.head.uri, request.digest)
        })
        .collect();
    seen.sort();
    (rig, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_shadow_mode_nothing_changes_and_every_request_is_compared() {
    let (bare_rig, bare) = seen(without_filter).await;
    let (success, report) = shadow_report(&bare_rig).await;
    assert!(!success && report.contains("compares nothing"), "{report}");
    drop(bare_rig);
    let (rig, shadowed) = seen(in_shadow).await;
    assert_eq!(bare.len(), 30);
    assert_eq!(bare, shadowed, "the pods see the same requests");
    let page = page(&rig).await;
    let compared = |result: &str| {
        let label = format!("result=\"{result}\"");
        sum(&page, "zerohop_shadow_total", &[&label])
    };
    let (agree, differ) = (compared("agree"), compared("differ"));
    assert_eq!(agree + differ, 30.0, "{page}");
    assert_eq!(compared("unknown"), 0.0);
    // Round robin and ours agree about one time in three.
    assert!(differ > 0.0, "{agree} agree");
    let (success, report) = shadow_report(&rig).await;
    assert!(success, "{report}");
    assert!(report.contains("pool default: 30 requests"), "{report}");
    let elsewhere = format!("served elsewhere {differ} {:.1} %", differ / 0.3);
    let words: Vec<&str> = report.split_whitespace().collect();
    assert!(words.join(" ").contains(&elsewhere), "{report}");
    assert!(report.contains("first tokens"), "{report}");
    eventually("nothing is left in flight", LONG, || async {
        sum(&self::page(&rig).await, "zerohop_in_flight_requests", &[]) == 0.0
    })
    .await
    .unwrap();
}
