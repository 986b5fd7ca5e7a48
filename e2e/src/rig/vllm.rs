//! Real vLLM on the CPU, as `vllm/setup.sh` installs it.

use std::{net::SocketAddr, time::Duration};

use super::{
    artifacts, error::RigError, eventually::eventually, ports::free_address, process::Process, raw,
    scratch::Scratch,
};

/// A start takes 30 to 70 s of CPU.
const START_LIMIT: Duration = Duration::from_secs(600);

/// One replica. Dropping it kills it.
#[derive(Debug)]
pub struct Replica {
    address: SocketAddr,
    /// Its process, for signals and its log.
    pub process: Process,
    _scratch: Scratch,
}

impl Replica {
    /// Starts `count` replicas side by side and waits until all answer.
    ///
    /// # Errors
    /// When one does not come up; the error carries the end of its log.
    pub async fn start(count: usize, arguments: &[&str]) -> Result<Vec<Self>, RigError> {
        let script = artifacts::repository().join("vllm/replica.sh");
        let mut replicas = Vec::new();
        for _ in 0..count {
            let (address, scratch) = (free_address(), Scratch::new()?);
            let port = address.port().to_string();
            let all = std::iter::once(port.as_str()).chain(arguments.iter().copied());
            let log = scratch.path().join("vllm.log");
            replicas.push(Self {
                address,
                process: Process::start("vLLM", &script, all, &[], &log)?,
                _scratch: scratch,
            });
        }
        for replica in &mut replicas {
            replica.wait_ready().await?;
        }
        Ok(replicas)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    async fn wait_ready(&mut self) -> Result<(), RigError> {
        let address = self.address;
        let healthy = || async move {
            let request = b"GET /health HTTP/1.1\r\nhost: vllm\r\nconnection: close\r\n\r\n";
            let answer = raw::exchange(address, request, Duration::from_secs(2)).await;
            let healthy = answer.is_ok_and(|answer| answer.status == 200);
            if !healthy {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            healthy
        };
        let waited = tokio::select! {
            waited = eventually("vLLM answers", START_LIMIT, healthy) => waited.map(|_| ()),
            ended = self.process.wait(START_LIMIT) => ended.and_then(|status| {
                Err(RigError::http("start vLLM", &format!("it ended with {status}")))
            }),
        };
        waited.map_err(|error| self.process.failure(error.to_string()))
    }
}
