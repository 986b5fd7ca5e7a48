//! Real vLLM on the CPU, as `vllm/setup.sh` installs it.

use std::{
    net::SocketAddr, os::unix::process::CommandExt, path::PathBuf, process::Command, time::Duration,
};

use super::{
    artifacts,
    error::RigError,
    ports::free_address,
    process::{Process, Signal},
    scratch::Scratch,
};

/// A start takes 30 to 70 s of CPU; `vllm/wait.sh` gives up after 600 s.
const START_LIMIT: Duration = Duration::from_secs(620);
/// An idle replica ends within this time when it is asked to.
const END_LIMIT: Duration = Duration::from_secs(5);

/// What a replica is started with.
#[derive(Debug, Clone, Default)]
pub struct ReplicaOptions {
    /// Further arguments of `vllm serve`; the last of a name counts.
    pub arguments: Vec<String>,
    /// The adapters that it serves, separated by spaces; `None` for all that there are.
    pub adapters: Option<String>,
}

/// One replica. Dropping it ends it with its engine, which is a process of its own; both also end
/// when this process is killed.
#[derive(Debug)]
pub struct Replica {
    address: SocketAddr,
    options: ReplicaOptions,
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
        let options = ReplicaOptions {
            arguments: arguments.iter().map(ToString::to_string).collect(),
            adapters: None,
        };
        Self::start_each(std::iter::repeat_n(options, count)).await
    }

    /// Starts one replica per entry, side by side, and waits until all answer.
    ///
    /// # Errors
    /// When one does not come up; the error carries the end of its log.
    pub async fn start_each(
        all: impl IntoIterator<Item = ReplicaOptions>,
    ) -> Result<Vec<Self>, RigError> {
        let mut replicas = Vec::new();
        for options in all {
            let (address, scratch) = (free_address(), Scratch::new()?);
            replicas.push(Self {
                process: launch(address, &options, &scratch)?,
                address,
                options,
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

    /// Lets it have only the CPU that nobody else wants.
    ///
    /// # Errors
    /// When it has ended.
    pub fn slow_down(&self) -> Result<(), RigError> {
        self.process.lower_priority()
    }

    /// Starts it again at the same address, after a kill, and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up; the error carries the end of its log.
    pub async fn restart(&mut self) -> Result<(), RigError> {
        self.kill();
        self.process = launch(self.address, &self.options, &self.scratch)?;
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
    options: &ReplicaOptions,
    scratch: &Scratch,
) -> Result<Process, RigError> {
    let mut command = Command::new(script("replica"));
    command
        .arg(address.port().to_string())
        .args(&options.arguments)
        // The script ends the whole group when this process is gone.
        .env("ZEROHOP_VLLM_TIED", "1")
        .process_group(0);
    if let Some(adapters) = &options.adapters {
        command.env("ZEROHOP_VLLM_ADAPTERS", adapters);
    }
    Process::run("vLLM", &mut command, &scratch.path().join("vllm.log"))
}

fn script(name: &str) -> PathBuf {
    artifacts::repository().join(format!("vllm/{name}.sh"))
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.process.end(END_LIMIT);
    }
}
