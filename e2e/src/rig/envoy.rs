//! A real Envoy for one test.

use std::{net::SocketAddr, process::Command, time::Duration};

use serde_json::{Value, json};

use super::{
    admin::Admin,
    artifacts,
    config::{EnvoyConfig, socket_address},
    error::RigError,
    eventually::eventually,
    ports::free_address,
    process::Process,
    scratch::Scratch,
};

const START_LIMIT: Duration = Duration::from_secs(20);

/// A running Envoy with its admin interface. Dropping it ends it.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    address: SocketAddr,
    admin: Admin,
    scratch: Scratch,
}

impl Envoy {
    /// Starts Envoy with `concurrency` workers on free ports and waits until it serves.
    ///
    /// # Errors
    /// When it does not come up; the error carries the end of its log.
    pub async fn start(mut config: EnvoyConfig, concurrency: u32) -> Result<Self, RigError> {
        let (address, admin) = (free_address(), free_address());
        config.listen(address, admin)?;
        Self::launch(config.root(), address, admin, concurrency).await
    }

    /// Starts Envoy with a bootstrap whose control plane makes it listen at `address`, and waits until
    /// it serves.
    ///
    /// # Errors
    /// When it does not come up; the error carries the end of its log.
    pub async fn follow(
        mut bootstrap: Value,
        address: SocketAddr,
        concurrency: u32,
    ) -> Result<Self, RigError> {
        let admin = free_address();
        if let Some(fields) = bootstrap.as_object_mut() {
            let address = json!({"address": socket_address(admin)});
            fields.insert("admin".to_owned(), address);
        }
        Self::launch(&bootstrap, address, admin, concurrency).await
    }

    async fn launch(
        config: &Value,
        address: SocketAddr,
        admin: SocketAddr,
        concurrency: u32,
    ) -> Result<Self, RigError> {
        let scratch = Scratch::new()?;
        let file = scratch.write("envoy.json", &config.to_string())?;
        // For a look at one failing test: ZEROHOP_ENVOY_LOG=http:trace,wasm:trace
        let levels = std::env::var("ZEROHOP_ENVOY_LOG");
        let levels = levels.as_deref().unwrap_or("wasm:info,config:info");
        let process = Process::start(
            "Envoy",
            &artifacts::envoy()?,
            [
                "-c",
                &file.to_string_lossy(),
                "--concurrency",
                &concurrency.to_string(),
                "--disable-hot-restart",
                "-l",
                "warning",
                "--component-log-level",
                levels,
            ],
            &[],
            &scratch.path().join("envoy.log"),
        )?;
        let mut envoy = Self {
            process,
            address,
            admin: Admin(admin),
            scratch,
        };
        envoy.wait_ready().await?;
        Ok(envoy)
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its admin interface.
    #[must_use]
    pub const fn admin(&self) -> Admin {
        self.admin
    }

    /// The process.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// Its directory, for files that it watches.
    #[must_use]
    pub const fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Resident memory in KiB.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn resident_kib(&self) -> Result<u64, RigError> {
        super::proc::resident_kib(self.process.id())
    }

    async fn wait_ready(&mut self) -> Result<(), RigError> {
        let admin = self.admin;
        let deadline = tokio::time::Instant::now() + START_LIMIT;
        while !admin.ready().await {
            if let Some(status) = self.process.ended() {
                return Err(self.process.failure(format!("ended with {status}")));
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(self.process.failure("did not become ready"));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Waits until the log contains `text`.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub async fn logged(&self, text: &str, limit: Duration) -> Result<(), RigError> {
        eventually(&format!("Envoy logs {text:?}"), limit, || async {
            self.process.log().contains(text)
        })
        .await
        .map(|_| ())
    }
}

/// What `envoy --mode validate` says of a configuration: its whole output, as an error when it is
/// refused.
///
/// # Errors
/// The output of a refusal, or why Envoy could not be asked.
pub fn validate(config: &EnvoyConfig) -> Result<String, String> {
    let ask = || -> Result<std::process::Output, RigError> {
        let scratch = Scratch::new()?;
        let file = scratch.write("envoy.json", &config.root().to_string())?;
        Command::new(artifacts::envoy()?)
            .args([
                "--mode",
                "validate",
                "--concurrency",
                "1",
                "-l",
                "info",
                "-c",
            ])
            .arg(file)
            .output()
            .map_err(RigError::io("run envoy --mode validate"))
    };
    let output = ask().map_err(|error| error.to_string())?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if output.status.success() {
        Ok(text)
    } else {
        Err(text)
    }
}
