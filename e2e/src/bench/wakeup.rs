//! How soon a held request goes when room is freed, in real Envoy.
//!
//! ```text
//!   first byte of an engine's answer
//!     --> worker of that request: room is freed, the board says who waits
//!           --> shared queue --> worker of the held request: plans, sends
//!                                  --> first byte of it goes to the engine
//! ```
//!
//! One engine, full with one request; the next waits in the gateway, in the same worker or in another. Both
//! moments are Envoy's own, from its access log: what the network and the engine take is no part of it.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use http::StatusCode;
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use super::{figures::Figure, filter_cost::quiet};
use crate::rig::{
    Answer, Client, Envoy, FakeAgent, Pod, Protocol, RequestSpec, RigError, base_config,
    client::Failure, config::at, eventually, scratch::Scratch,
};

const WORKERS: u32 = 2;
/// By then a request is held.
const HELD_AFTER: Duration = Duration::from_millis(10);
const SOON: Duration = Duration::from_secs(5);
/// Envoy writes its access log every ten seconds.
const WRITTEN_AFTER: Duration = Duration::from_secs(20);
/// Seconds since 1970 at which a request began, and microseconds from there to the first byte that went to
/// the engine, and to the first that came back.
const FORMAT: &str = "%START_TIME(%s.%6f)% %COMMON_DURATION(DS_RX_BEG:US_TX_BEG:us)% %COMMON_DURATION(DS_RX_BEG:US_RX_BEG:us)%\n";
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
    let scratch = Scratch::new()?;
    let log = scratch.path().join("requests.log");
    config.set(
        &format!("{}/access_log", at::MANAGER),
        json!([{
            "name": "envoy.access_loggers.file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": log,
                "log_format": {"text_format_source": {"inline_string": FORMAT}}
            }
        }]),
    )?;
    let envoy = Envoy::start(config, WORKERS).await?;
    sleep(Duration::from_secs(1)).await;

    let mut running = JoinSet::new();
    running.spawn(ask(envoy.address()));
    come(&pod, 1).await?;
    for round in 1..=rounds {
        running.spawn(ask(envoy.address()));
        sleep(HELD_AFTER).await;
        if pod.requests() != round {
            return Err(envoy.process().failure("a request was not held".to_owned()));
        }
        pod.release();
        come(&pod, round + 1).await?;
    }
    pod.release();
    let answered = running.join_all().await;
    if let Some(other) = answered
        .iter()
        .find(|one| !matches!(one, Ok(StatusCode::OK)))
    {
        return Err(envoy.process().failure(format!("a request got {other:?}")));
    }
    let all = rounds as usize + 1;
    eventually("the access log is written", WRITTEN_AFTER, || async {
        requests(&log).len() == all
    })
    .await?;
    let requests = requests(&log);
    let pairs = requests.iter().zip(requests.iter().skip(1));
    let mut took: Vec<f64> = pairs
        .map(|(freed, held)| held.sent - freed.answered)
        .collect();
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

/// A request in the access log: microseconds since 1970.
#[derive(Debug)]
struct Logged {
    sent: f64,
    answered: f64,
}

/// The complete lines of the access log, in the order in which their requests were sent.
fn requests(log: &Path) -> Vec<Logged> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let request = |line: &str| {
        let mut numbers = line.split(' ').map(|number| number.parse::<f64>().ok());
        let began = numbers.next()?? * 1e6;
        let (sent, answered) = (began + numbers.next()??, began + numbers.next()??);
        Some(Logged { sent, answered })
    };
    let mut requests: Vec<Logged> = text.lines().filter_map(request).collect();
    requests.sort_by(|a, b| a.sent.total_cmp(&b.sent));
    requests
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
