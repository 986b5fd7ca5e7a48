//! The model servers of the demo.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use model_sim::{
    engine::EngineConfig,
    server::{Instance, InstanceConfig},
};

use super::traffic::Mix;
use crate::rig::{RigError, artifacts, eventually, ports, process::Process, raw, scratch::Scratch};

/// How many vLLM replicas two cores can carry.
const REPLICAS: usize = 2;
const VLLM_START: Duration = Duration::from_secs(600);

/// The running model servers.
pub(super) enum Fleet {
    Simulated(Vec<Instance>),
    Vllm(
        Vec<(SocketAddr, Process)>,
        #[expect(dead_code, reason = "holds their logs")] Scratch,
    ),
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
        let scratch = Scratch::new()?;
        let script = artifacts::repository().join("vllm/replica.sh");
        let mut replicas = Vec::new();
        for number in 0..REPLICAS {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free_address().port()));
            let log = scratch.path().join(format!("vllm-{number}.log"));
            let port = address.port().to_string();
            let process = Process::start("vLLM", &script, [port.as_str()], &[], &log)?;
            replicas.push((address, process));
        }
        for (address, process) in &mut replicas {
            let healthy = || async {
                let request = b"GET /health HTTP/1.1\r\nhost: vllm\r\nconnection: close\r\n\r\n";
                let answer = raw::exchange(*address, request, Duration::from_secs(2)).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
                answer.is_ok_and(|answer| answer.status == 200)
            };
            if let Err(error) = eventually("vLLM answers", VLLM_START, healthy).await {
                return Err(process.failure(error.to_string()));
            }
        }
        Ok(Self::Vllm(replicas, scratch))
    }

    /// Where the pods are.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        match self {
            Self::Simulated(instances) => instances.iter().map(Instance::address).collect(),
            Self::Vllm(replicas, _) => replicas.iter().map(|(address, _)| *address).collect(),
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
            Self::Vllm(replicas, _) => {
                if let Some((_, process)) = replicas.get_mut(pod) {
                    process.kill();
                }
                Ok(())
            }
        }
    }

    /// Brings a killed simulated pod back; a replica of vLLM stays dead.
    pub(super) async fn revive(&mut self, pod: usize) -> Result<(), RigError> {
        match self {
            Self::Simulated(instances) => match instances.get(pod) {
                Some(instance) => instance
                    .restart()
                    .await
                    .map_err(|error| RigError::http("restart a pod", &error)),
                None => Ok(()),
            },
            Self::Vllm(..) => Ok(()),
        }
    }
}
