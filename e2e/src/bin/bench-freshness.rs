//! `make bench-freshness`: from "a pod changed" to "every worker's picks changed", at the default
//! scrape interval of 200 ms.

use e2e::{
    bench::figures::{self, Figure},
    freshness,
    rig::{Rig, RigError, RigOptions},
};

const CHANGES: usize = 200;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), RigError> {
    let rig = Rig::start(RigOptions {
        pods: 2,
        ..RigOptions::default()
    })
    .await?;
    let freshness = freshness::measure(&rig, CHANGES).await?;
    let milliseconds = |share| freshness.quantile(share).as_secs_f64() * 1_000.0;
    println!(
        "{} changes at 200 ms between scrapes: p50 {:.0} ms, p90 {:.0} ms, p99 {:.0} ms, max {:.0} ms",
        freshness.count(),
        milliseconds(0.5),
        milliseconds(0.9),
        milliseconds(0.99),
        milliseconds(1.0),
    );
    let figure = Figure::new(
        "freshness.p99_ms.200ms",
        milliseconds(0.99),
        "ms",
        Some(250.0),
    );
    figures::report("freshness", &[figure]).map(|_| ())
}
