//! Part of `make bench-policy`: from a changed file to every worker, with 1,000 models and 500
//! endpoints, and the agent's memory. Endpoints are scraped once a second: 500 at the default of
//! 200 ms would measure the two cores of a small machine instead.
//!
//! The figures of decoding, which are measured in V8, are given as arguments: `KIB DECODE_US`.

use std::{net::SocketAddr, time::Duration};

use e2e::{
    bench::figures::{self, Figure},
    bench::scripted_pods,
    rig::{Agent, AgentConfig, Envoy, RigError, discovering_config, eventually, proc, resources},
};
use tokio::time::{Instant, sleep};

const ENDPOINTS: usize = 500;
const MODELS: usize = 1_000;
const CHANGES: usize = 100;
const WORKERS: u32 = 4;
const LIMIT: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), RigError> {
    let arguments: Vec<f64> = std::env::args()
        .skip(1)
        .filter_map(|text| text.parse().ok())
        .collect();
    let pods = scripted_pods::start(ENDPOINTS, 20).await?;
    let mut agent = AgentConfig::of_resources(&text(&pods, 0));
    agent.interval_ms = 1_000;
    let mut agent = Agent::start(agent).await?;
    let mut config = discovering_config(agent.config().grpc)?;
    resources::follow(&mut config)?;
    let envoy = Envoy::start(config, WORKERS).await?;
    let every = || async { read(&envoy).await >= u64::from(WORKERS) };
    eventually("every worker has a policy", LIMIT, every).await?;
    // Until the endpoints have listed their models, and the main thread's VM has read too.
    sleep(Duration::from_secs(8)).await;

    let mut delays = Vec::with_capacity(CHANGES);
    let mut before = read(&envoy).await;
    for change in 1..=CHANGES {
        let resources = text(&pods, change);
        let start = Instant::now();
        agent.apply(&resources)?;
        let wanted = before + u64::from(WORKERS) + 1;
        let every = || async { read(&envoy).await >= wanted };
        eventually("every worker has the change", LIMIT, every).await?;
        delays.push(start.elapsed().as_secs_f64() * 1_000.0);
        sleep(Duration::from_millis(300)).await;
        before = read(&envoy).await;
    }
    delays.sort_by(f64::total_cmp);
    let quantile = |share: f64| {
        let rank = (CHANGES as f64 * share).ceil() as usize;
        delays
            .get(rank.saturating_sub(1))
            .copied()
            .unwrap_or(f64::NAN)
    };
    println!(
        "{CHANGES} changes of {MODELS} models with {ENDPOINTS} endpoints: p50 {:.0} ms, p90 {:.0} ms, p99 {:.0} ms, max {:.0} ms",
        quantile(0.5),
        quantile(0.9),
        quantile(0.99),
        quantile(1.0),
    );
    let agent_mib = proc::peak_resident_kib(agent.process().id())? as f64 / 1_024.0;
    let mut figures = vec![
        Figure::new(
            "policy.update_p99_ms.1000x500",
            quantile(0.99),
            "ms",
            Some(1_000.0),
        ),
        Figure::new("policy.agent_mib", agent_mib, "MiB", Some(128.0)),
    ];
    if let [kib, decode_us] = arguments.as_slice() {
        figures.push(Figure::new("policy.slot_kib", *kib, "KiB", Some(256.0)));
        figures.push(Figure::new(
            "policy.decode_us",
            *decode_us,
            "us",
            Some(1_000.0),
        ));
    }
    figures::add("policy", &figures).map(|_| ())
}

/// How often a policy was read, in all threads.
async fn read(envoy: &Envoy) -> u64 {
    let stats = envoy.admin().stats("policy_read").await.unwrap_or_default();
    stats.values().sum()
}

fn text(pods: &[SocketAddr], change: usize) -> String {
    let rules: Vec<_> = (0..MODELS)
        .map(|index| {
            let model = format!("meta-llama/Llama-3.1-8B-{index:04}");
            let weight = u32::try_from(change + 1).unwrap_or(1);
            let targets = vec![
                (format!("{model}-v1"), weight),
                (format!("{model}-v2"), 100),
            ];
            (model, targets)
        })
        .collect();
    format!("{}{}", resources::pool(pods), resources::rewrite(&rules))
}
