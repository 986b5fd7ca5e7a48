//! The usual set-up: some pods, an agent that scrapes them, an Envoy that routes to them.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::{
    Agent, AgentConfig, Client, Envoy, EnvoyConfig, Pod, Protocol, RequestSpec, RigError,
    artifacts, eventually,
};

/// What to set up.
#[derive(Debug)]
pub struct RigOptions {
    /// Pods.
    pub pods: usize,
    /// Envoy's workers.
    pub concurrency: u32,
    /// Milliseconds between scrapes.
    pub interval_ms: u64,
    /// Whether the agent is started.
    pub agent: bool,
    /// Changes to Envoy's configuration before it starts.
    pub change: fn(&mut EnvoyConfig) -> Result<(), RigError>,
}

impl Default for RigOptions {
    fn default() -> Self {
        Self {
            pods: 3,
            concurrency: 2,
            interval_ms: 200,
            agent: std::env::var_os("NOAGENT").is_none(),
            change: |_| Ok(()),
        }
    }
}

/// A running set-up.
#[derive(Debug)]
pub struct Rig {
    /// The pods, in the order in which Envoy and the agent know them.
    pub pods: Vec<Pod>,
    /// The agent, unless it was left out.
    pub agent: Option<Agent>,
    /// Envoy.
    pub envoy: Envoy,
    /// An HTTP/1.1 client.
    pub client: Client,
}

impl Rig {
    /// Starts everything and waits until the filter has taken the agent's first snapshot.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn start(options: RigOptions) -> Result<Self, RigError> {
        let mut pods = Vec::new();
        for _ in 0..options.pods {
            pods.push(Pod::start().await?);
        }
        Self::with_pods(pods, options).await
    }

    /// The same around pods that exist already.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn with_pods(pods: Vec<Pod>, options: RigOptions) -> Result<Self, RigError> {
        let members: Vec<SocketAddr> = pods.iter().map(Pod::address).collect();
        let inform = options.agent && !pods.is_empty();
        let mut rig = Self::around(&members, options).await?;
        rig.pods = pods;
        if inform {
            rig.informed().await?;
        }
        Ok(rig)
    }

    /// Agent, Envoy and a client around model servers that somebody else keeps. Nothing is waited
    /// for but that Envoy serves.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn around(members: &[SocketAddr], options: RigOptions) -> Result<Self, RigError> {
        let mut agent_config = AgentConfig::new(members.to_vec());
        agent_config.interval_ms = options.interval_ms;
        let grpc = agent_config.grpc;
        let agent = if options.agent {
            Some(Agent::start(agent_config).await?)
        } else {
            None
        };
        let mut config = base_config(members, grpc)?;
        (options.change)(&mut config)?;
        let envoy = Envoy::start(config, options.concurrency).await?;
        let client = Client::new(envoy.address(), Protocol::Http1);
        Ok(Self {
            pods: Vec::new(),
            agent,
            envoy,
            client,
        })
    }

    /// Waits until every worker picks by the agent's signals.
    ///
    /// # Errors
    /// When that does not happen within some seconds.
    pub async fn informed(&self) -> Result<(), RigError> {
        informed(&self.envoy, &self.client).await?;
        for pod in &self.pods {
            drop(pod.take_recorded());
        }
        Ok(())
    }

    /// How often Envoy has sent each endpoint a request or tried to connect to it for one.
    ///
    /// # Errors
    /// When Envoy does not answer.
    pub async fn tried(&self) -> Result<BTreeMap<SocketAddr, u64>, RigError> {
        let page = self.envoy.admin().get("/clusters").await?;
        let mut tried = BTreeMap::new();
        for line in page.lines() {
            let mut parts = line.splitn(3, "::");
            let (Some("model-servers"), Some(host), Some(rest)) =
                (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let Ok(host) = host.parse::<SocketAddr>() else {
                continue;
            };
            for figure in ["rq_total::", "cx_connect_fail::"] {
                if let Some(count) = rest.strip_prefix(figure).and_then(|text| text.parse().ok()) {
                    let count: u64 = count;
                    *tried.entry(host).or_default() += count;
                }
            }
        }
        Ok(tried)
    }
}

/// Waits until Envoy picks by an agent's signals: before that where a request goes is drawn, and what
/// is drawn may look like a choice.
///
/// # Errors
/// When that does not happen within some seconds.
pub async fn informed(envoy: &Envoy, client: &Client) -> Result<(), RigError> {
    let admin = envoy.admin();
    eventually(
        "the filter has taken a snapshot",
        Duration::from_secs(5),
        || async move {
            // More than one worker may serve the probes, so a few of them are sent.
            for _ in 0..4 {
                let probe = RequestSpec::completion("tiny", "are you there?");
                client.send(probe).await.ok();
            }
            admin.picked_by_signals().await
        },
    )
    .await
    .map(drop)
    .map_err(|error| envoy.process().failure(error.to_string()))
}

/// The shipped configuration for these members and this agent.
///
/// # Errors
/// When the shipped file or the filter is missing.
pub fn base_config(members: &[SocketAddr], agent: SocketAddr) -> Result<EnvoyConfig, RigError> {
    let mut config = discovering_config(agent)?;
    config.members(members)?;
    Ok(config)
}

/// The shipped configuration, members from this agent.
///
/// # Errors
/// When the shipped file or the filter is missing.
pub fn discovering_config(agent: SocketAddr) -> Result<EnvoyConfig, RigError> {
    let mut config = EnvoyConfig::shipped()?;
    config.agent(agent)?;
    config.wasm(&artifacts::filter_wasm()?)?;
    config.show_upstream()?;
    Ok(config)
}
