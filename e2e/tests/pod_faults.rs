//! A pod that is killed, drains, hangs or answers 503: no non-streamed request fails, and the pod is
//! out of the picks within 1 s.
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
    Answer, Client, EnvoyConfig, Load, LoadReport, RequestSpec, Rig, RigError, RigOptions,
    config::at, eventually,
};
use serde_json::json;
use tokio::time::sleep;

const RATE: f64 = 200.0;
const FAULT_AT: Duration = Duration::from_secs(2);
const TOTAL: Duration = Duration::from_secs(7);
const OUT_WITHIN: Duration = Duration::from_secs(1);
/// Each worker's breaker asks a suspect again after 1 s, 2 s and so on; so many of a hundred requests
/// may be such questions.
const TRIALS_PERCENT: u64 = 2;

/// The shipped configuration gives a silent pod five minutes; the tests have less patience.
fn impatient(config: &mut EnvoyConfig) -> Result<(), RigError> {
    let pointer = format!("{}/retry_policy/per_try_idle_timeout", at::ROUTE);
    config.get(&pointer)?;
    config.set(&pointer, json!("1.5s"))
}

fn request(number: u64) -> RequestSpec {
    RequestSpec::completion("tiny", &format!("question {number}"))
}

/// Runs the load, injects the fault into pod 0 and answers what the client and that pod saw.
async fn with_fault(rig: &mut Rig, fault: impl FnOnce(&mut Rig)) -> (LoadReport, u64) {
    for pod in &rig.pods {
        pod.answer(Answer::Late(Duration::from_millis(30)));
    }
    let client = rig.client.clone();
    let running = tokio::spawn(async move {
        let load = Load {
            rate: RATE,
            duration: TOTAL,
        };
        client.load(load, request).await
    });
    sleep(FAULT_AT).await;
    fault(rig);
    sleep(OUT_WITHIN).await;
    let tried_by = rig.tried().await.unwrap();
    let report = running.await.unwrap();
    let tried_after = rig.tried().await.unwrap();
    let address = rig.pods[0].address();
    let picks = tried_after.get(&address).copied().unwrap_or(0)
        - tried_by.get(&address).copied().unwrap_or(0);
    (report, picks)
}

fn check(what: &str, report: &LoadReport, later_picks: u64) {
    assert!(
        report.sent() >= 1_300,
        "{what}: only {} were sent",
        report.sent()
    );
    let failures = report.failures();
    assert!(
        failures.is_empty(),
        "{what}: {} of {} failed: {:#?}",
        failures.len(),
        report.sent(),
        &failures[..failures.len().min(10)]
    );
    let after = FAULT_AT + OUT_WITHIN;
    let later = report
        .outcomes
        .iter()
        .filter(|outcome| outcome.sent_at > after);
    let later = later.count() as u64;
    assert!(
        later_picks * 100 <= later * TRIALS_PERCENT,
        "{what}: tried {later_picks} times for the {later} requests later than {OUT_WITHIN:?} after \
         the fault"
    );
}

async fn rig() -> Rig {
    Rig::start(RigOptions {
        change: impatient,
        ..RigOptions::default()
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed() {
    let mut rig = rig().await;
    let (report, picks) = with_fault(&mut rig, |rig| rig.pods[0].kill()).await;
    check("killed", &report, picks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn draining_looks_idle_and_answers_500() {
    let mut rig = rig().await;
    // The others are busy, so that a pod that looks idle is a black hole.
    for pod in &rig.pods[1..] {
        pod.metrics(|metrics| {
            metrics.waiting = 3.0;
            metrics.running = 8.0;
            metrics.kv_usage = 0.5;
        });
    }
    let (report, picks) = with_fault(&mut rig, |rig| {
        rig.pods[0].answer(Answer::Status(500));
    })
    .await;
    check("draining", &report, picks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answering_503() {
    let mut rig = rig().await;
    let (report, picks) = with_fault(&mut rig, |rig| {
        rig.pods[0].answer(Answer::Status(503));
    })
    .await;
    check("503", &report, picks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hung_as_a_whole() {
    let mut rig = rig().await;
    let (report, picks) = with_fault(&mut rig, |rig| {
        rig.pods[0].answer(Answer::Hang);
        rig.pods[0].answer_scrapes(Answer::Hang);
    })
    .await;
    check("hung", &report, picks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cutting_connections() {
    let mut rig = rig().await;
    let (report, picks) = with_fault(&mut rig, |rig| rig.pods[0].answer(Answer::Cut)).await;
    check("cutting", &report, picks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healed_pod_is_picked_again() {
    let mut rig = rig().await;
    let address = rig.pods[0].address();
    rig.pods[0].kill();
    let load = Load {
        rate: 100.0,
        duration: Duration::from_secs(2),
    };
    let report = rig.client.load(load, request).await;
    assert!(report.failures().is_empty(), "{:#?}", report.failures());
    rig.pods[0].restart().await.unwrap();
    let client: Client = rig.client.clone();
    eventually("the healed pod is picked", Duration::from_secs(10), || {
        let client = client.clone();
        async move {
            let mut picked = false;
            for number in 0..6 {
                let response = client.send(request(number)).await.unwrap();
                assert_eq!(response.status, 200);
                picked |= response.upstream() == Some(address);
            }
            picked
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_from_the_pool() {
    let mut rig = rig().await;
    let rest: Vec<_> = rig.pods[1..].iter().map(e2e::rig::Pod::address).collect();
    let (report, picks) = with_fault(&mut rig, |rig| {
        // Still alive: nothing but the agent's new list keeps requests away.
        let pools = vec![("default".to_owned(), rest)];
        rig.agent.as_mut().unwrap().reconfigure(pools).unwrap();
    })
    .await;
    check("removed", &report, picks);
    assert_eq!(picks, 0, "a removed pod is never asked again");
}
