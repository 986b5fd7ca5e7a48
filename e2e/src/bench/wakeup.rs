//! How soon a held request goes when room is freed, in real Envoy.
//!
//! ```text
//!   engine answers --> worker of that request: room is freed, the board says who waits
//!                        '--> shared queue --> worker of the held request: plans, sends --> engine has it
//!   |<------------------------------------- measured ------------------------------------->|
//! ```
//!
//! One engine, full with one request; the next waits in the gateway, in the same worker or in another. What
//! Envoy takes for the answer and for sending the request is part of the figure.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use http::StatusCode;
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use super::{figures::Figure, filter_cost::quiet};
use crate::rig::{
    Answer, Client, Envoy, FakeAgent, Pod, Protocol, RequestSpec, RigError, base_config,
    client::Failure, eventually,
};

const WORKERS: u32 = 2;
/// By then a request is held.
const HELD_AFTER: Duration = Duration::from_millis(10);
const SOON: Duration = Duration::from_secs(5);
const MEDIAN_GOAL_US: f64 = 1_000.0;
const P99_GOAL_US: f64 = 10_000.0;

/// Frees room `rounds` times.
///
/// # Errors
/// When something does not start, or a held request does not go.
pub async fn run(rounds: u64) -> Result<Vec<Figure>, RigError> {
    let pod = Pod::start().await?;
    pod.answer(Answer::Hold);
    let agent = FakeAgent::start(1).await?;
    agent.see(&[(pod.address(), 0.0)]);
    let mut config = quiet(base_config(&[pod.address()], agent.address())?)?;
    config
        .change_plugin(|plugin| plugin["admission"] = json!({"rules": {"room": {"waiting": 1}}}))?;
    let envoy = Envoy::start(config, WORKERS).await?;
    sleep(Duration::from_secs(1)).await;

    let mut running = JoinSet::new();
    let mut took = Vec::new();
    running.spawn(ask(envoy.address()));
    come(&pod, 1).await?;
    for round in 1..=rounds {
        running.spawn(ask(envoy.address()));
        sleep(HELD_AFTER).await;
        if pod.requests() != round {
            return Err(envoy.process().failure("a request was not held".to_owned()));
        }
        drop(pod.take_recorded());
        let freed = Instant::now();
        pod.release();
        come(&pod, round + 1).await?;
        // Its body is there a moment after its head.
        let recorded = loop {
            match pod.take_recorded().pop() {
                Some(recorded) => break recorded,
                None => sleep(Duration::from_millis(1)).await,
            }
        };
        took.push(recorded.at.saturating_duration_since(freed).as_secs_f64() * 1e6);
    }
    pod.release();
    let answered = running.join_all().await;
    if let Some(other) = answered
        .iter()
        .find(|one| !matches!(one, Ok(StatusCode::OK)))
    {
        return Err(envoy.process().failure(format!("a request got {other:?}")));
    }
    took.sort_by(f64::total_cmp);
    let percentile = |percent: usize| {
        let index = (took.len() * percent / 100).min(took.len().saturating_sub(1));
        took.get(index).copied().unwrap_or(f64::NAN)
    };
    Ok([("p50", 50, MEDIAN_GOAL_US), ("p99", 99, P99_GOAL_US)]
        .map(|(name, percent, goal)| {
            let id = format!("admission.wakeup_us.{name}");
            Figure::new(id, percentile(percent), "us", Some(goal))
        })
        .to_vec())
}

/// The status of a request on a connection of its own, so that any worker may get it.
async fn ask(gateway: SocketAddr) -> Result<StatusCode, Failure> {
    let client = Client::new(gateway, Protocol::Http1).with_limit(Duration::from_secs(60));
    let answer = client
        .send(RequestSpec::chat("tiny", "hello", true))
        .await?;
    Ok(answer.status)
}

async fn come(pod: &Pod, count: u64) -> Result<(), RigError> {
    let what = format!("{count} requests have come");
    eventually(&what, SOON, || async { pod.requests() >= count })
        .await
        .map(|_| ())
}
