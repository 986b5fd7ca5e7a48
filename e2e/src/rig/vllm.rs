//! Real vLLM on the CPU, as `vllm/setup.sh` installs it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::{
    artifacts,
    error::RigError,
    ports::free_address,
    process::{Process, Signal},
    scratch::Scratch,
};

/// A start takes 30 to 70 s of CPU; `vllm/wait.sh` gives up after 600 s.
const START_LIMIT: Duration = Duration::from_secs(620);

/// One replica. Dropping it kills it with its engine, which is a process of its own.
#[derive(Debug)]
pub struct Replica {
    address: SocketAddr,
    arguments: Vec<String>,
    process: Process,
    scratch: Scratch,
}

impl Replica {
    /// Starts `count` replicas side by side, each with these further arguments of `vllm serve`, and
    /// waits until all answer.
    ///
    /// # Errors
    /// When one does not come up; the error carries the end of its log.
    pub async fn start(count: usize, arguments: &[&str]) -> Result<Vec<Self>, RigError> {
        let mut replicas = Vec::new();
        for _ in 0..count {
            let (address, scratch) = (free_address(), Scratch::new()?);
            let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
            replicas.push(Self {
                process: launch(address, &arguments, &scratch)?,
                address,
                arguments,
                scratch,
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

    /// Kills server and engine without a warning.
    pub fn kill(&mut self) {
        self.process.kill_family();
    }

    /// Asks it to shut down. With `--shutdown-timeout` it then finishes what it has begun, answers
    /// `/health` with 200 and every new request with 500.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn terminate(&self) -> Result<(), RigError> {
        self.process.signal(Signal::Terminate)
    }

    /// Starts it again at the same address, after a kill, and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up; the error carries the end of its log.
    pub async fn restart(&mut self) -> Result<(), RigError> {
        self.kill();
        self.process = launch(self.address, &self.arguments, &self.scratch)?;
        self.wait_ready().await
    }

    async fn wait_ready(&mut self) -> Result<(), RigError> {
        let port = self.address.port().to_string();
        let log = self.scratch.path().join("wait.log");
        let mut waiting = Process::start("vllm/wait.sh", &script("wait"), [port], &[], &log)?;
        let waited = tokio::select! {
            waited = waiting.wait(START_LIMIT) => waited,
            ended = self.process.wait(START_LIMIT) => ended.map(|status| format!("vLLM's {status}")),
        };
        match waited?.as_str() {
            "exit status: 0" => Ok(()),
            status => Err(self.process.failure(format!("did not come up: {status}"))),
        }
    }
}

fn launch(
    address: SocketAddr,
    arguments: &[String],
    scratch: &Scratch,
) -> Result<Process, RigError> {
    let port = address.port().to_string();
    let all = std::iter::once(&port).chain(arguments);
    let log = scratch.path().join("vllm.log");
    Process::start("vLLM", &script("replica"), all, &[], &log)
}

fn script(name: &str) -> PathBuf {
    artifacts::repository().join(format!("vllm/{name}.sh"))
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.kill();
    }
}
