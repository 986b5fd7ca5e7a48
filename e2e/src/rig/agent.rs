//! The real agent as a child process.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use super::{
    artifacts,
    error::RigError,
    eventually::eventually,
    ports::free_address,
    process::{Process, Signal},
    raw,
    scratch::Scratch,
};

const START_LIMIT: Duration = Duration::from_secs(10);

/// How an agent is configured.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Where gateways connect.
    pub grpc: SocketAddr,
    /// Where people look.
    pub admin: SocketAddr,
    /// Milliseconds between scrapes of one endpoint.
    pub interval_ms: u64,
    /// Pools by name, with their endpoints.
    pub pools: Vec<(String, Vec<SocketAddr>)>,
    /// The pool on which adapters are rolled out.
    pub adapters_on: String,
    /// Those adapters: name and source.
    pub adapters: Vec<(String, String)>,
    /// Resources of the inference APIs, as YAML documents.
    pub resources: Option<String>,
}

impl AgentConfig {
    /// One pool "default" of these endpoints, scraped every 200 ms, on free ports.
    #[must_use]
    pub fn new(endpoints: Vec<SocketAddr>) -> Self {
        Self {
            grpc: free_address(),
            admin: free_address(),
            interval_ms: 200,
            pools: vec![("default".to_owned(), endpoints)],
            adapters_on: "default".to_owned(),
            adapters: Vec::new(),
            resources: None,
        }
    }

    /// No pools but those of `resources`.
    #[must_use]
    pub fn of_resources(resources: &str) -> Self {
        Self {
            pools: Vec::new(),
            resources: Some(resources.to_owned()),
            ..Self::new(Vec::new())
        }
    }

    /// The agent's YAML.
    #[must_use]
    pub fn yaml(&self) -> String {
        let mut text = format!(
            "listen:\n  grpc: \"{}\"\n  admin: \"{}\"\nscrape:\n  interval: {}ms\npools:\n",
            self.grpc, self.admin, self.interval_ms
        );
        // Writing to a String cannot fail.
        for (name, endpoints) in &self.pools {
            writeln!(text, "- name: {name}\n  engine: vllm\n  endpoints:").ok();
            for endpoint in endpoints {
                writeln!(text, "  - address: \"{endpoint}\"").ok();
            }
            if endpoints.is_empty() {
                text.truncate(text.trim_end().len());
                text.push_str(" []\n");
            }
        }
        if !self.adapters.is_empty() {
            let pool = &self.adapters_on;
            writeln!(text, "adapters:\n- pool: {pool}\n  present:").ok();
        }
        for (name, source) in &self.adapters {
            writeln!(text, "  - {{name: \"{name}\", source: \"{source}\"}}").ok();
        }
        text
    }
}

/// A running agent. Dropping it ends it.
#[derive(Debug)]
pub struct Agent {
    config: AgentConfig,
    process: Process,
    scratch: Scratch,
    resources: Scratch,
}

impl Agent {
    /// Starts the agent and waits until it is ready.
    ///
    /// # Errors
    /// When it does not come up; the error carries the end of its log.
    pub async fn start(config: AgentConfig) -> Result<Self, RigError> {
        let (scratch, resources) = (Scratch::new()?, Scratch::new()?);
        let process = launch(&config, &scratch, &resources)?;
        let mut agent = Self {
            config,
            process,
            scratch,
            resources,
        };
        agent.wait_ready().await?;
        Ok(agent)
    }

    /// Its configuration.
    #[must_use]
    pub const fn config(&self) -> &AgentConfig {
        &self.config
    }

    /// The process.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// Kills it as the kernel's out-of-memory killer would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Freezes it.
    ///
    /// # Errors
    /// When it is gone.
    pub fn freeze(&self) -> Result<(), RigError> {
        self.process.signal(Signal::Stop)
    }

    /// Thaws it.
    ///
    /// # Errors
    /// When it is gone.
    pub fn thaw(&self) -> Result<(), RigError> {
        self.process.signal(Signal::Continue)
    }

    /// Starts it again with the same configuration, after a kill.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart(&mut self) -> Result<(), RigError> {
        self.process.kill();
        self.process = launch(&self.config, &self.scratch, &self.resources)?;
        self.wait_ready().await
    }

    /// Rewrites its configuration file, which it watches.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn reconfigure(&mut self, pools: Vec<(String, Vec<SocketAddr>)>) -> Result<(), RigError> {
        self.config.pools = pools;
        self.scratch
            .write("agent.yaml", &self.config.yaml())
            .map(|_| ())
    }

    /// Rewrites its resources, which it watches.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn apply(&mut self, resources: &str) -> Result<(), RigError> {
        self.config.resources = Some(resources.to_owned());
        self.resources.write("all.yaml", resources).map(|_| ())
    }

    /// Declares the adapters to roll out by name, each with its source in `folder`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn declare_adapters(&mut self, folder: &str, names: &[&str]) -> Result<(), RigError> {
        let sourced = |name: &&str| ((*name).to_owned(), format!("{folder}/{name}"));
        self.config.adapters = names.iter().map(sourced).collect();
        self.scratch
            .write("agent.yaml", &self.config.yaml())
            .map(|_| ())
    }

    /// A page of its admin interface.
    ///
    /// # Errors
    /// When it is not answered with 200.
    pub async fn page(&self, path: &str) -> Result<String, RigError> {
        page(self.config.admin, path).await
    }

    async fn wait_ready(&mut self) -> Result<(), RigError> {
        let admin = self.config.admin;
        let waited = eventually("the agent is ready", START_LIMIT, || async {
            page(admin, "/readyz").await.is_ok()
        })
        .await;
        match (waited, self.process.ended()) {
            (_, Some(status)) => Err(self.process.failure(format!("ended with {status}"))),
            (Err(_), None) => Err(self.process.failure("did not become ready")),
            (Ok(_), None) => Ok(()),
        }
    }
}

fn launch(
    config: &AgentConfig,
    scratch: &Scratch,
    resources: &Scratch,
) -> Result<Process, RigError> {
    let file = scratch.write("agent.yaml", &config.yaml())?;
    let file = file.to_string_lossy();
    let mut arguments = vec!["run", "--config", &file];
    let directory = resources.path().to_string_lossy();
    if let Some(text) = &config.resources {
        resources.write("all.yaml", text)?;
        arguments.extend(["--resources", &directory]);
    }
    Process::start(
        "zerohop-agent",
        &artifacts::agent()?,
        arguments,
        &[],
        &scratch.path().join("agent.log"),
    )
}

async fn page(admin: SocketAddr, path: &str) -> Result<String, RigError> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n");
    let answer = raw::exchange(admin, request.as_bytes(), Duration::from_secs(2)).await?;
    if answer.status == 200 {
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    } else {
        Err(RigError::http(
            format!("GET {path}"),
            &format!("status {}", answer.status),
        ))
    }
}

/// The requests in flight that gateways have reported, summed out of `/debug/pools`; `None` when the
/// page has no such figure.
#[must_use]
pub fn in_flight(page: &str) -> Option<u64> {
    let page: serde_json::Value = serde_json::from_str(page).ok()?;
    let mut requests = 0;
    for pool in page.get("pools")?.as_array()? {
        for gateway in pool.get("gateways")?.as_array()? {
            requests += gateway.get("requests")?.as_u64()?;
        }
    }
    Some(requests)
}
