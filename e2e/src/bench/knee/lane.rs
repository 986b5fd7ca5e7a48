//! Who decides: Envoy by one of its own policies, or the filter by one of ours.

use std::net::SocketAddr;

use model_sim::server::Instance;
use serde_json::{Value, json};

use super::pods;
use crate::rig::{
    Agent, AgentConfig, Client, Envoy, EnvoyConfig, Protocol, RequestSpec, RigError, base_config,
    config::at, eventually, label_of, proc,
};

/// Workers of each Envoy.
const CONCURRENCY: u32 = 2;
const LIMIT: std::time::Duration = std::time::Duration::from_secs(300);

/// Who decides in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balancer {
    /// Envoy's round robin, without the filter.
    RoundRobin,
    /// Envoy's least request with two choices, without the filter.
    LeastRequest,
    /// The filter with its cost model.
    Cost,
    /// The filter with the published benchmark's decision tree, which sees the same signals.
    GieV03,
}

impl Balancer {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 4] = [
        Self::RoundRobin,
        Self::LeastRequest,
        Self::Cost,
        Self::GieV03,
    ];

    /// Its name in figures and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RoundRobin => "rr",
            Self::LeastRequest => "lr",
            Self::Cost => "cost",
            Self::GieV03 => "gie-v0.3",
        }
    }

    /// The filter's policy, if the filter decides.
    const fn policy(self) -> Option<&'static str> {
        match self {
            Self::RoundRobin | Self::LeastRequest => None,
            Self::Cost => Some("cost"),
            Self::GieV03 => Some("gie_v0_3"),
        }
    }

    fn configure(self, config: &mut EnvoyConfig) -> Result<(), RigError> {
        if let Some(policy) = self.policy() {
            return config.change_plugin(|plugin| plugin["picker"] = json!({"policy": policy}));
        }
        match self {
            Self::LeastRequest => config.balance_by(least_request()),
            _ => config.balance_by_fallback(),
        }
    }
}

fn least_request() -> Value {
    json!({"policies": [{"typed_extension_config": {
        "name": "envoy.load_balancing_policies.least_request",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
            "choice_count": 2,
        },
    }}]})
}

/// One Envoy with its pods and, where the filter decides, its agent.
pub struct Lane {
    /// Who decides.
    pub balancer: Balancer,
    /// Its client.
    pub client: Client,
    envoy: Envoy,
    agent: Option<Agent>,
    _pods: Vec<Instance>,
}

impl Lane {
    /// Starts it and waits until it serves; where the filter decides, until it has heard the agent.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn start(balancer: Balancer) -> Result<Self, RigError> {
        let pods = pods::start().await?;
        let members: Vec<SocketAddr> = pods.iter().map(Instance::address).collect();
        let agent_config = AgentConfig::new(members.clone());
        let mut config = base_config(&members, agent_config.grpc)?;
        balancer.configure(&mut config)?;
        config.set(&format!("{}/access_log", at::MANAGER), json!([]))?;
        let agent = match balancer.policy() {
            Some(_) => Some(Agent::start(agent_config).await?),
            None => None,
        };
        let envoy = Envoy::start(config, CONCURRENCY).await?;
        let client = Client::new(envoy.address(), Protocol::Http1).with_limit(LIMIT);
        let lane = Self {
            balancer,
            client,
            envoy,
            agent,
            _pods: pods,
        };
        if lane.agent.is_some() {
            lane.informed().await?;
        }
        Ok(lane)
    }

    /// Nanoseconds of CPU that its Envoy and its agent have used.
    ///
    /// # Errors
    /// When one of them is gone.
    pub fn cpu_nanos(&self) -> Result<u64, RigError> {
        let agent = self.agent.as_ref().map(|agent| agent.process().id());
        let processes = std::iter::once(self.envoy.process().id()).chain(agent);
        processes.map(proc::cpu_nanos).sum()
    }

    async fn informed(&self) -> Result<(), RigError> {
        let admin = self.envoy.admin();
        let limit = std::time::Duration::from_secs(10);
        eventually("the filter knows the pool's state", limit, || async {
            let probe = RequestSpec::completion("tiny", "are you there?");
            self.client.send(probe).await.ok();
            let states = admin.stats("zerohop_pool_states_total").await;
            let taken = |(name, count): (&String, &u64)| {
                label_of(name, "result") == Some("taken") && *count > 0
            };
            states.unwrap_or_default().iter().any(taken)
        })
        .await
        .map(|_| ())
    }
}
