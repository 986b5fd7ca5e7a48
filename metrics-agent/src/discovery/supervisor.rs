//! Keeps index and scheduler in step with the configuration file and DNS.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use picker::Millis;
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tracing::{error, info, warn};

use super::{
    DnsTable, Targets,
    dns::{Lookup, Resolver},
    file::{ConfigFile, POLL},
    resolve,
};
use crate::{
    config::{Config, Host, Mistakes},
    hub::Hub,
    scheduler::Scheduler,
};

/// How the configuration stands, for `/debug/pools` and `/readyz`.
#[derive(Debug, Clone, Default)]
pub struct ConfigState {
    /// The file.
    pub path: PathBuf,
    /// When the configuration in force was taken.
    pub taken_at: Millis,
    /// Configurations taken since the start, the first included.
    pub taken: u64,
    /// The mistakes of the file as it is now, when it was refused; the configuration in force is
    /// an older one then.
    pub mistakes: Vec<String>,
    /// What takes effect only after a restart, when the file asks for that.
    pub needs_restart: Vec<String>,
}

/// Turns changes of the file and of DNS into memberships and scrapes.
pub struct Supervisor {
    hub: Arc<Hub>,
    state: Arc<ArcSwap<ConfigState>>,
    scheduler: Scheduler,
    resolver: Resolver,
    answers: mpsc::Receiver<(String, Vec<std::net::IpAddr>)>,
    names: DnsTable,
    targets: Targets,
    /// The configuration in force.
    config: Config,
    /// The first one, whose addresses and identity hold until the end.
    first: Config,
}

impl Supervisor {
    /// A supervisor with its first configuration in force.
    #[must_use]
    pub fn new(
        hub: Arc<Hub>,
        state: Arc<ArcSwap<ConfigState>>,
        scheduler: Scheduler,
        lookup: Lookup,
        config: Config,
    ) -> Self {
        let (resolver, answers) = Resolver::new(lookup, Arc::clone(&hub.telemetry));
        let mut supervisor = Self {
            hub,
            state,
            scheduler,
            resolver,
            answers,
            names: DnsTable::new(),
            targets: Targets::default(),
            first: config.clone(),
            config,
        };
        supervisor.follow_names();
        supervisor.apply();
        supervisor.note_taken();
        supervisor
    }

    /// Follows file and DNS for ever.
    pub async fn run(mut self, mut file: ConfigFile) {
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = poll.tick() => {
                    // Reading and parsing thousands of endpoints must not delay scrapes.
                    let polled = tokio::task::spawn_blocking(move || {
                        let change = file.poll();
                        (file, change)
                    });
                    let Ok((back, change)) = polled.await else { return };
                    file = back;
                    match change {
                        Some(Ok(config)) => self.take(config),
                        Some(Err(mistakes)) => self.refuse(&mistakes),
                        None => {}
                    }
                }
                answer = self.answers.recv() => {
                    let Some((name, addresses)) = answer else { return };
                    self.names.insert(name, addresses);
                    self.apply();
                }
            }
        }
    }

    fn take(&mut self, config: Config) {
        self.config = config;
        self.follow_names();
        self.apply();
        self.note_taken();
        let (pools, endpoints) = (self.config.pools.len(), self.targets.len());
        info!(pools, endpoints, "configuration taken");
    }

    fn refuse(&self, mistakes: &Mistakes) {
        let lines: Vec<String> = mistakes.lines().collect();
        for mistake in &lines {
            error!(mistake, "configuration refused");
        }
        warn!(
            mistakes = lines.len(),
            "the configuration before stays in force"
        );
        self.hub.telemetry.reloaded(false);
        let mut state = ConfigState::clone(&self.state.load());
        state.mistakes = lines;
        self.state.store(Arc::new(state));
    }

    fn note_taken(&self) {
        self.hub.telemetry.reloaded(true);
        let before = self.state.load();
        let mut needs_restart = Vec::new();
        if self.config.listen != self.first.listen {
            needs_restart.push("listen: takes effect after a restart".to_owned());
        }
        if self.config.agent_id != self.first.agent_id {
            needs_restart.push("agent_id: takes effect after a restart".to_owned());
        }
        for change in &needs_restart {
            warn!(change, "configuration cannot be applied as a whole");
        }
        self.state.store(Arc::new(ConfigState {
            path: before.path.clone(),
            taken_at: self.hub.clock.now(),
            taken: before.taken.saturating_add(1),
            mistakes: Vec::new(),
            needs_restart,
        }));
    }

    fn follow_names(&mut self) {
        let endpoints = self.config.pools.iter().flat_map(|pool| &pool.endpoints);
        let names: BTreeSet<String> = endpoints
            .filter_map(|endpoint| match &endpoint.host {
                Host::Name(name) => Some(name.clone()),
                Host::Ip(_) => None,
            })
            .collect();
        self.names.retain(|name, _| names.contains(name));
        self.resolver.follow(&names);
    }

    fn apply(&mut self) {
        let membership = resolve(&self.config, &self.names, &mut self.targets);
        self.hub.set_membership(&membership);
        self.hub.adapters.declare(&self.config.adapters);
        self.scheduler.sync(&self.targets, &self.config.scrape);
    }
}
