//! What the agent costs: CPU and memory of the real binary with 100 endpoints that serve a page of
//! vLLM 0.32, and one gateway that listens.
//!
//! ```text
//!   servers (process of its own) <--scrapes-- zerohop-agent --deltas--> gateway (this process)
//!                                                  |
//!                                     /proc/PID/stat, /proc/PID/status
//! ```
//!
//! Prints a table and writes `target/bench/agent.json`. `AGENT_BENCH_SECONDS` sets the length of a
//! measurement, `AGENT_BENCH_ENDPOINTS` the number of endpoints.

mod agent;
mod gateway;
mod process;
mod report;
mod servers;

use std::time::Duration;

use report::Figure;

const WARM_UP: Duration = Duration::from_secs(3);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::args().any(|arg| arg == servers::ARGUMENT) {
        return servers::serve();
    }
    let number = |name: &str, default: u64| {
        let value = std::env::var(name).ok();
        value
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    };
    let length = Duration::from_secs(number("AGENT_BENCH_SECONDS", 16));
    let endpoints = usize::try_from(number("AGENT_BENCH_ENDPOINTS", 100))?;
    let servers = servers::Servers::start(endpoints)?;
    println!(
        "agent: {endpoints} endpoints, {} bytes a page, {} s each",
        servers.page_bytes,
        length.as_secs()
    );
    println!("interval  cores  user  system  rss MiB  scrapes/s  messages/s  kB/s to the gateway");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let slow = runtime.block_on(agent::measure(&servers, 200, WARM_UP, length))?;
    println!("{slow}");
    let fast = runtime.block_on(agent::measure(&servers, 50, WARM_UP, length))?;
    println!("{fast}");
    let rss = slow.rss_mib.max(fast.rss_mib);
    report::write(&[
        Figure::new(
            &format!("agent.cores.{endpoints}x200ms"),
            slow.cores,
            "cores",
            0.2,
        ),
        Figure::new(
            &format!("agent.cores.{endpoints}x50ms"),
            fast.cores,
            "cores",
            0.5,
        ),
        Figure::new(&format!("agent.rss_mib.{endpoints}"), rss, "MiB", 64.0),
    ])?;
    Ok(())
}
