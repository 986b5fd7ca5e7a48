//! Simulated model servers, which behave like engines, behind the agent and Envoy.

use std::net::SocketAddr;

use model_sim::server::{Instance, InstanceConfig};

use super::{Rig, RigError, RigOptions};

/// A running set-up over `model-sim`.
#[derive(Debug)]
pub struct Simulated {
    /// The pods, in the order in which Envoy and the agent know them.
    pub pods: Vec<Instance>,
    /// Agent, Envoy and client; it has no pods of its own.
    pub rig: Rig,
}

impl Simulated {
    /// Starts one pod per configuration, all serving the model "tiny" on free ports, and everything
    /// else around them. [`RigOptions::pods`] does not count.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn start(
        configs: impl IntoIterator<Item = InstanceConfig>,
        options: RigOptions,
    ) -> Result<Self, RigError> {
        let mut pods = Vec::new();
        for config in configs {
            let config = InstanceConfig {
                model: "tiny".to_owned(),
                ..config
            };
            let pod = Instance::start(config).await;
            pods.push(pod.map_err(|error| RigError::http("start a pod", &error))?);
        }
        let members: Vec<SocketAddr> = pods.iter().map(Instance::address).collect();
        let rig = Rig::around(&members, options).await?;
        if rig.agent.is_some() {
            rig.informed().await?;
        }
        Ok(Self { pods, rig })
    }

    /// Where a pod listens.
    #[must_use]
    pub fn address(&self, pod: usize) -> Option<SocketAddr> {
        self.pods.get(pod).map(Instance::address)
    }
}
