//! Keeps index and scheduler in step with the configuration file and DNS.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use inference_api::Compiled;
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
    resources::{self, Update},
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
    /// How the resources stand; `None` when there is no source of them.
    pub resources: Option<ResourceState>,
}

/// How the resources of the inference APIs stand.
#[derive(Debug, Clone, Default)]
pub struct ResourceState {
    /// Where they come from.
    pub source: String,
    /// Whether mistakes in them make the agent unready.
    pub strict: bool,
    /// When those in force were taken.
    pub taken_at: Millis,
    /// How often they were taken since the start.
    pub taken: u64,
    /// The mistakes in them as they are now.
    pub mistakes: Vec<String>,
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
    /// The resources in force.
    resources: Arc<Compiled>,
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
            resources: Arc::default(),
        };
        supervisor.follow_names();
        supervisor.apply();
        supervisor.note_taken();
        supervisor
    }

    /// Follows file, DNS and resources for ever.
    pub async fn run(mut self, mut file: ConfigFile, mut updates: mpsc::Receiver<Update>) {
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
                // Without a source the channel is closed, and this branch never taken.
                Some(update) = updates.recv() => self.take_resources(update),
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
        if self.config.api_key != self.first.api_key {
            needs_restart.push("api_key: takes effect after a restart".to_owned());
        }
        if self.config.resources != self.first.resources {
            needs_restart.push("resources: takes effect after a restart".to_owned());
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
            resources: before.resources.clone(),
        }));
    }

    /// Takes what a source of resources says.
    pub fn take_resources(&mut self, update: Update) {
        let taken = update.compiled.is_some();
        let mut mistakes = update.mistakes;
        if let Some(compiled) = update.compiled {
            self.resources = compiled;
            let (combined, refused) = resources::combined(&self.config, &self.resources);
            mistakes.extend(refused);
            self.follow_names_of(&combined);
            self.apply();
            info!(pools = self.resources.pools.len(), "resources taken");
        }
        for mistake in &mistakes {
            error!(mistake, "mistake in the resources");
        }
        if !taken {
            warn!(
                mistakes = mistakes.len(),
                "the resources before stay in force"
            );
        }
        self.hub.telemetry.resources_read(taken, mistakes.len());
        let mut state = ConfigState::clone(&self.state.load());
        let resources = state.resources.get_or_insert_default();
        resources.mistakes = mistakes;
        if taken {
            resources.taken = resources.taken.saturating_add(1);
            resources.taken_at = self.hub.clock.now();
        }
        self.state.store(Arc::new(state));
    }

    fn follow_names(&mut self) {
        let (combined, _) = resources::combined(&self.config, &self.resources);
        self.follow_names_of(&combined);
    }

    fn follow_names_of(&mut self, combined: &Config) {
        let endpoints = combined.pools.iter().flat_map(|pool| &pool.endpoints);
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
        let (combined, _) = resources::combined(&self.config, &self.resources);
        let membership = resolve(&combined, &self.names, &mut self.targets);
        self.hub.set_membership(&membership);
        self.hub.adapters.declare(&self.config.adapters);
        // A pool that the file has too is the file's, and has no policy.
        let ours = |name: &str| self.config.pools.iter().any(|pool| &*pool.name == name);
        let pools = self.resources.pools.iter().filter(|pool| !ours(&pool.name));
        self.hub.set_policies(pools.map(|pool| &pool.policy));
        self.scheduler.sync(&self.targets, &self.config.scrape);
    }
}
