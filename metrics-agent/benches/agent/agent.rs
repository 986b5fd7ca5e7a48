//! Runs the real agent and measures it.

use std::{
    error::Error,
    fmt::{self, Write as _},
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    gateway::{Gateway, Heard},
    process::{cpu_seconds, peak_rss_mib},
    servers::Servers,
};

/// One measurement.
pub(crate) struct Measured {
    interval_ms: u64,
    pub(crate) cores: f64,
    user: f64,
    system: f64,
    pub(crate) rss_mib: f64,
    seconds: f64,
    heard: Heard,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_second = |count: u64| count as f64 / self.seconds;
        write!(
            f,
            "{:>5} ms  {:>5.3} {:>5.3}   {:>5.3}  {:>7.1}  {:>9.0}  {:>10.0}  {:>8.1}",
            self.interval_ms,
            self.cores,
            self.user,
            self.system,
            self.rss_mib,
            per_second(self.heard.upserts),
            per_second(self.heard.messages),
            per_second(self.heard.bytes) / 1000.0
        )
    }
}

/// The agent's process; it ends with this value.
struct Agent {
    child: Child,
    grpc: SocketAddr,
    config: PathBuf,
}

impl Agent {
    fn start(servers: &Servers, interval_ms: u64) -> Result<Self, Box<dyn Error>> {
        let config = std::env::temp_dir().join(format!(
            "zerohop-agent-bench-{}-{interval_ms}.yaml",
            std::process::id()
        ));
        fs::write(&config, configuration(servers, interval_ms)?)?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_zerohop-agent"))
            .args(["run", "--log-format", "json", "--config"])
            .arg(&config)
            .stderr(Stdio::piped())
            .spawn()?;
        let log = child.stderr.take().ok_or("the agent has no log")?;
        let mut lines = BufReader::new(log).lines();
        let grpc = loop {
            let line = lines.next().ok_or("the agent did not start")??;
            let line: serde_json::Value = serde_json::from_str(&line)?;
            if let Some(grpc) = line.pointer("/fields/grpc").and_then(|grpc| grpc.as_str()) {
                break grpc.parse()?;
            }
        };
        // The log must be read on, or the agent would block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self {
            child,
            grpc,
            config,
        })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_file(&self.config));
    }
}

fn configuration(servers: &Servers, interval_ms: u64) -> Result<String, fmt::Error> {
    let mut text = format!(
        "listen: {{grpc: 127.0.0.1:0, admin: 127.0.0.1:0}}\nscrape: {{interval: {interval_ms}ms}}\n\
         pools:\n  - name: default\n    engine: vllm\n    endpoints:\n"
    );
    for address in &servers.addresses {
        writeln!(text, "      - address: {address}")?;
    }
    Ok(text)
}

/// Measures the agent at an interval after a time of warming up.
pub(crate) async fn measure(
    servers: &Servers,
    interval_ms: u64,
    warm_up: Duration,
    length: Duration,
) -> Result<Measured, Box<dyn Error>> {
    let agent = Agent::start(servers, interval_ms)?;
    let process = agent.child.id();
    let mut gateway = Gateway::connect(agent.grpc).await?;
    gateway.listen(warm_up).await?;
    let (before, started) = (cpu_seconds(process)?, Instant::now());
    let heard = gateway.listen(length).await?;
    let (after, seconds) = (cpu_seconds(process)?, started.elapsed().as_secs_f64());
    let user = (after.user - before.user) / seconds;
    let system = (after.system - before.system) / seconds;
    let expected = servers.addresses.len() as f64 * 1000.0 / interval_ms as f64;
    let seen = heard.upserts as f64 / seconds;
    if seen < expected / 3.0 {
        return Err(format!("{seen:.0} changes/s came, {expected:.0} scrapes/s are due").into());
    }
    Ok(Measured {
        interval_ms,
        cores: user + system,
        user,
        system,
        rss_mib: peak_rss_mib(process)?,
        seconds,
        heard,
    })
}
