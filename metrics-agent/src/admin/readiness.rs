//! Why the agent is not ready.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{discovery::ConfigState, hub::Hub, shutdown::Shutdown};

/// Knows what readiness depends on.
#[derive(Debug, Clone)]
pub struct Readiness {
    hub: Arc<Hub>,
    config: Arc<ArcSwap<ConfigState>>,
    shutdown: Shutdown,
}

impl Readiness {
    /// The readiness of this hub under this configuration.
    #[must_use]
    pub const fn new(hub: Arc<Hub>, config: Arc<ArcSwap<ConfigState>>, shutdown: Shutdown) -> Self {
        Self {
            hub,
            config,
            shutdown,
        }
    }

    /// Ready: the configuration that the file holds is in force, and every endpoint was tried, so
    /// that what gateways get is the whole picture. Each reason against that is a line; none when
    /// the agent is ready.
    #[must_use]
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.shutdown.is_requested() {
            reasons.push("the agent is stopping".to_owned());
        }
        let config = self.config.load();
        if !config.mistakes.is_empty() {
            reasons.push(format!(
                "the configuration file was refused ({} mistakes), an older one is in force",
                config.mistakes.len()
            ));
        }
        if let Some(resources) = &config.resources {
            if resources.taken == 0 {
                reasons.push("the resources were not read yet".to_owned());
            }
            if resources.strict && !resources.mistakes.is_empty() {
                let mistakes = resources.mistakes.len();
                reasons.push(format!("the resources have {mistakes} mistakes"));
            }
        }
        if !self.hub.index().all_attempted() {
            reasons.push("not every endpoint was scraped once".to_owned());
        }
        reasons
    }
}
