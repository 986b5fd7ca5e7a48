//! The model servers of the demo.

use std::net::SocketAddr;

use model_sim::{
    engine::EngineConfig,
    server::{Instance, InstanceConfig},
};

use super::traffic::Mix;
use crate::rig::{RigError, vllm::Replica};

/// How many vLLM replicas two cores can carry.
const REPLICAS: usize = 2;

/// The running model servers.
pub(super) enum Fleet {
    Simulated(Vec<Instance>),
    Vllm(Vec<Replica>),
}

/// One simulated pod: speed, sequences at once and KV blocks. No two are alike.
const PODS: [(f64, u32, u32); 4] = [
    (1.0, 8, 2_400),
    (0.8, 8, 1_600),
    (0.5, 6, 1_600),
    (0.3, 4, 900),
];

impl Fleet {
    /// Four simulated pods of unequal speed.
    pub(super) async fn simulated() -> Result<Self, RigError> {
        let mut instances = Vec::new();
        for (number, (speed, max_num_seqs, kv_blocks)) in (0..).zip(PODS) {
            let config = InstanceConfig {
                model: "tiny".to_owned(),
                engine: EngineConfig {
                    speed,
                    max_num_seqs,
                    kv_blocks,
                    max_loras: 2,
                    ..EngineConfig::default()
                },
                loras: ["sql", "chat"].map(str::to_owned).to_vec(),
                seed: number,
                ..InstanceConfig::default()
            };
            let instance = Instance::start(config).await;
            instances.push(instance.map_err(|error| RigError::http("start a pod", &error))?);
        }
        Ok(Self::Simulated(instances))
    }

    /// Real vLLM on the CPU, as `vllm/setup.sh` installed it.
    pub(super) async fn vllm() -> Result<Self, RigError> {
        Replica::start(REPLICAS, &[]).await.map(Self::Vllm)
    }

    /// Where the pods are.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        match self {
            Self::Simulated(instances) => instances.iter().map(Instance::address).collect(),
            Self::Vllm(replicas) => replicas.iter().map(Replica::address).collect(),
        }
    }

    /// How fast a pod is, in words.
    pub(super) fn speed(&self, pod: usize) -> String {
        match self {
            Self::Simulated(_) => {
                let speed = PODS.get(pod).map_or(0.0, |(speed, ..)| *speed);
                format!("{speed:.1}x")
            }
            Self::Vllm(..) => "vLLM".to_owned(),
        }
    }

    /// Traffic that these servers can carry.
    pub(super) const fn mix(&self) -> Mix {
        match self {
            Self::Simulated(_) => Mix::SIMULATED,
            Self::Vllm(..) => Mix::VLLM,
        }
    }

    /// Kills a pod: its port is closed and its connections are cut.
    pub(super) async fn kill(&mut self, pod: usize) -> Result<(), RigError> {
        match self {
            Self::Simulated(instances) => match instances.get(pod) {
                Some(instance) => instance
                    .kill()
                    .await
                    .map_err(|error| RigError::http("kill a pod", &error)),
                None => Ok(()),
            },
            Self::Vllm(replicas) => {
                if let Some(replica) = replicas.get_mut(pod) {
                    replica.kill();
                }
                Ok(())
            }
        }
    }

    /// Brings a killed pod back at its address.
    pub(super) async fn revive(&mut self, pod: usize) -> Result<(), RigError> {
        match self {
            Self::Simulated(instances) => match instances.get(pod) {
                Some(instance) => instance
                    .restart()
                    .await
                    .map_err(|error| RigError::http("restart a pod", &error)),
                None => Ok(()),
            },
            Self::Vllm(replicas) => match replicas.get_mut(pod) {
                Some(replica) => replica.restart().await,
                None => Ok(()),
            },
        }
    }
}
