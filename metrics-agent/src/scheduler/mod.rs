//! When which endpoint is scraped.
//!
//! ```text
//!   Targets --sync--> one task a target:  pause (jitter) -> lane -> client -> watcher -> Hub
//! ```
//!
//! Every target has a task of its own, so that a slow endpoint delays only itself. The number of
//! scrapes at work is limited by two lanes: endpoints that answered in time last time, and the
//! others. A hundred hanging endpoints queue in the second lane and the living ones do not notice.

mod endpoint;
mod judge;
mod lanes;
mod models;
mod notices;

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
};

use arc_swap::ArcSwap;
use tokio::task::AbortHandle;

use crate::{
    api_key::ApiKey,
    config::ScrapeSettings,
    discovery::Targets,
    hub::Hub,
    index::TargetId,
    scrape::{ClientConfig, ScrapeClient, exposition::PageLimits},
};
use lanes::Lanes;
use notices::Notices;

/// What all scrapes share; replaced as a whole when the settings change.
#[derive(Debug)]
struct Shared {
    settings: ScrapeSettings,
    client: ScrapeClient,
    lanes: Lanes,
}

impl Shared {
    fn new(settings: &ScrapeSettings, api_key: &ApiKey) -> Self {
        let limits = PageLimits {
            body_bytes: settings.max_bytes,
            lines: u32::try_from(settings.max_lines).unwrap_or(u32::MAX),
            ..PageLimits::default()
        };
        let config = ClientConfig {
            connect_timeout: settings.connect_timeout,
            timeout: settings.timeout,
            limits,
            ..ClientConfig::default()
        };
        Self {
            settings: settings.clone(),
            client: ScrapeClient::new(config).with_api_key(api_key.clone()),
            lanes: Lanes::new(settings.concurrency),
        }
    }
}

#[derive(Debug)]
struct Running {
    task: AbortHandle,
    address: SocketAddr,
}

/// Scrapes the targets it was given last.
#[derive(Debug)]
pub struct Scheduler {
    hub: Arc<Hub>,
    shared: Arc<ArcSwap<Shared>>,
    notices: Arc<Notices>,
    running: HashMap<TargetId, Running>,
}

impl Scheduler {
    /// A scheduler without targets; must be made inside a tokio runtime.
    #[must_use]
    pub fn new(hub: Arc<Hub>, settings: &ScrapeSettings) -> Self {
        let shared = Shared::new(settings, &hub.api_key);
        Self {
            hub,
            shared: Arc::new(ArcSwap::from_pointee(shared)),
            notices: Arc::default(),
            running: HashMap::new(),
        }
    }

    /// Scrapes exactly these targets from now on, with these settings. Targets that stay keep their
    /// rhythm, their connection and what their watcher knows.
    pub fn sync(&mut self, targets: &Targets, settings: &ScrapeSettings) {
        if self.shared.load().settings != *settings {
            let shared = Shared::new(settings, &self.hub.api_key);
            self.shared.store(Arc::new(shared));
        }
        let wanted: HashMap<TargetId, _> = targets.iter().collect();
        let mut gone = Vec::new();
        self.running.retain(|id, running| {
            let stays = wanted.contains_key(id);
            if !stays {
                running.task.abort();
                gone.push(running.address);
            }
            stays
        });
        for (id, target) in wanted {
            self.running.entry(id).or_insert_with(|| {
                let task = endpoint::Task::new(
                    id,
                    Arc::clone(target),
                    Arc::clone(&self.hub),
                    Arc::clone(&self.shared),
                    Arc::clone(&self.notices),
                );
                Running {
                    task: tokio::spawn(task.run()).abort_handle(),
                    address: target.address,
                }
            });
        }
        let addresses: HashSet<SocketAddr> = self.running.values().map(|r| r.address).collect();
        for address in gone
            .into_iter()
            .filter(|address| !addresses.contains(address))
        {
            self.hub.telemetry.forget_endpoint(address);
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.running
            .values()
            .for_each(|running| running.task.abort());
    }
}
