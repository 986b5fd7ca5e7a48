//! An instance: a simulated model server on its own port.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::config::InstanceConfig;
use super::driver;
use super::error::SimError;
use super::faults::Faults;
use super::listener;
use super::locked;
use super::overrides::MetricsOverride;
use super::shared::{ListenerMode, Shared};
use super::stats::Stats;
use crate::engine::Gauges;

/// A simulated model server on its own port. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Instance {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl Instance {
    /// Binds the address and starts to serve on the current tokio runtime.
    ///
    /// # Errors
    /// The configuration has mistakes (all are listed), or the address cannot be bound.
    pub async fn start(config: InstanceConfig) -> Result<Instance, SimError> {
        config.check()?;
        let asked = config.address;
        let failed = |reason| SimError::Listen {
            address: asked,
            reason,
        };
        let listener = listener::listen(asked).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let faults = config.faults.clone();
        let shared = Arc::new(Shared::new(config, address)?);
        shared.set_faults(faults)?;
        let tasks = vec![
            tokio::spawn(listener::run(Arc::clone(&shared), listener)),
            tokio::spawn(driver::run(Arc::clone(&shared))),
        ];
        let instance = Instance { shared, tasks };
        instance.settled().await?;
        Ok(instance)
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// What it has seen so far.
    pub fn stats(&self) -> Stats {
        self.shared.stats.snapshot()
    }

    /// The engine's true state now, whatever `/metrics` says.
    pub fn engine(&self) -> Gauges {
        locked(&self.shared.process).engine.live()
    }

    /// The faults in force.
    pub fn faults(&self) -> Faults {
        self.shared.faults().as_ref().clone()
    }

    /// Replaces all faults. They act on the next request, scrape or connection; `refuse` acts
    /// within a moment, see [`Instance::settled`].
    ///
    /// # Errors
    /// A value is out of its range; then nothing changes.
    pub fn set_faults(&self, faults: Faults) -> Result<(), SimError> {
        self.shared.set_faults(faults)
    }

    /// Replaces all lies about metrics. They show in the next scrape.
    pub fn override_metrics(&self, overrides: MetricsOverride) {
        self.shared.override_metrics(overrides);
    }

    /// The text that `/metrics` would give now without faults.
    pub fn metrics_page(&self) -> String {
        String::from_utf8_lossy(&self.shared.metrics_page()).into_owned()
    }

    /// Waits until the port is open or closed as the faults say.
    ///
    /// # Errors
    /// The instance has stopped.
    pub async fn settled(&self) -> Result<(), SimError> {
        let wanted = *self.shared.listener.borrow();
        let mut listening = self.shared.listening.subscribe();
        let stopped = SimError::Stopped {
            address: self.address(),
        };
        let reached = listening
            .wait_for(|mode| *mode == wanted || *mode == ListenerMode::Stop)
            .await;
        match reached {
            Ok(mode) if *mode == wanted => Ok(()),
            _ => Err(stopped),
        }
    }

    /// Resets every open connection; the port stays open.
    pub fn reset_connections(&self) {
        self.shared.reset_connections();
    }

    /// Kills the simulated process: the port refuses connections and open ones are reset.
    ///
    /// # Errors
    /// The instance has stopped.
    pub async fn kill(&self) -> Result<(), SimError> {
        self.set_faults(Faults {
            refuse: true,
            ..self.faults()
        })?;
        self.settled().await
    }

    /// Starts the simulated process again on the same port: cold cache, counters from 0.
    ///
    /// # Errors
    /// The instance has stopped, or the port could not be opened.
    pub async fn restart(&self) -> Result<(), SimError> {
        self.kill().await?;
        self.set_faults(Faults {
            refuse: false,
            ..self.faults()
        })?;
        self.settled().await
    }

    /// Stops it: the port is closed, connections are reset.
    pub async fn stop(mut self) {
        self.shared.listener.send_replace(ListenerMode::Stop);
        for task in self.tasks.drain(..) {
            // A task that ended in any way has ended.
            task.await.ok();
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.shared.listener.send_replace(ListenerMode::Stop);
    }
}
