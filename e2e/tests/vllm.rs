//! The cases that need no simulator, against real vLLM: `make test-vllm`. Ignored otherwise, because
//! vLLM is a download of 0.9 GB and a start of half a minute.
//!
//! One test starts two replicas once and tells one story, from the harmless to the fatal; the other
//! starts three and looks at where requests go.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

#[path = "vllm/adapters.rs"]
mod adapters;
#[path = "vllm/admission.rs"]
mod admission;
#[path = "vllm/direct.rs"]
mod direct;
#[path = "vllm/faults.rs"]
mod faults;
#[path = "vllm/signals.rs"]
mod signals;
#[path = "vllm/stage.rs"]
mod stage;
#[path = "vllm/trio.rs"]
mod trio;

use std::collections::BTreeSet;

use e2e::rig::RequestSpec;
use serde_json::Value;
use stage::{Kind, Stage, request};
use trio::Trio;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs real vLLM: make test-vllm"]
async fn real_vllm_from_the_harmless_to_the_fatal() {
    let mut stage = Stage::set().await;
    serves_every_kind_of_request(&stage).await;
    stage.settled("after the first requests").await;
    signals::the_page_of_a_busy_replica_is_understood_and_it_is_avoided(&stage).await;
    stage.settled("after the load past the gateway").await;
    signals::adapters_stay_where_they_are_active(&stage).await;
    stage.settled("after the adapters").await;
    faults::agent_killed(&mut stage).await;
    stage.settled("after the agent's death").await;
    faults::replica_killed(&mut stage).await;
    stage.settled("after a replica's death").await;
    faults::replica_draining(&mut stage).await;
    stage.settled("after the shutdown of a replica").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs real vLLM: make test-vllm"]
async fn real_vllm_where_requests_go() {
    let trio = Trio::start().await;
    trio::adapters_go_where_they_are(&trio).await;
    trio::conversations_find_their_prefixes(&trio).await;
    trio::a_slow_replica_gets_its_smaller_share(&trio).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs real vLLM: make test-vllm"]
async fn real_vllm_adapters_are_rolled_out() {
    adapters::are_rolled_out_under_load_without_a_failure().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs real vLLM: make test-vllm"]
async fn real_vllm_is_not_given_more_than_it_takes() {
    admission::holds_sheds_and_hears_refusals().await;
}

/// Completions and chat, streamed and not, of the base model and of an adapter, from both replicas,
/// with nothing repeated.
async fn serves_every_kind_of_request(stage: &Stage) {
    let mut asked = Vec::new();
    for number in 0..32 {
        let kind = Kind::of(number);
        let model = if number / 4 % 2 == 0 { "tiny" } else { "sql" };
        let client = stage.rig.client.clone();
        // Four at a time, so that the load has to spread.
        let sent = tokio::spawn(async move { client.send(request(kind, model, number, 6)).await });
        asked.push((kind, model, sent));
        if number % 4 < 3 {
            continue;
        }
        for (kind, model, sent) in asked.drain(..) {
            let response = sent.await.unwrap().unwrap();
            let text = response.text();
            assert_eq!(response.status, 200, "{kind:?} of {model}: {text}");
            assert_eq!(response.attempts(), 1, "{kind:?} of {model}");
            if kind.streamed() {
                assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
                assert!(text.contains(&format!("\"model\":\"{model}\"")), "{text}");
                let events = text.matches("data: {").count();
                assert!((2..=8).contains(&events), "{events} events: {text}");
            } else {
                let body: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(body["model"], model);
                assert_eq!(body["usage"]["completion_tokens"], 6);
            }
        }
    }
    let served: BTreeSet<_> = stage.served().await.into_iter().collect();
    assert_eq!(served.len(), 2, "both replicas share the load: {served:?}");
    // What vLLM refuses is refused, and not repeated elsewhere.
    let unknown = request(Kind::Completion, "nobody", 1, 1);
    for (spec, status) in [(unknown, 404), (RequestSpec::post("{"), 400)] {
        let response = stage.rig.client.send(spec).await.unwrap();
        assert_eq!(response.status, status, "{}", response.text());
        assert_eq!(response.attempts(), 1, "{}", response.text());
    }
}
