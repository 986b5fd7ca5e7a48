//! What all tasks of one instance share.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use super::config::InstanceConfig;
use super::error::SimError;
use super::faults::{Dice, Faults, MetricsFault, Reset};
use super::locked;
use super::metrics::Page;
use super::overrides::MetricsOverride;
use super::process::Process;
use super::stats::StatsCounter;

/// What the listener should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenerMode {
    Open,
    Refuse,
    Stop,
}

/// What all tasks of one instance share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: InstanceConfig,
    pub(crate) address: SocketAddr,
    pub(crate) process: Mutex<Process>,
    /// Wakes the driver when the engine's next event may have changed.
    pub(crate) wake: Notify,
    pub(crate) stats: StatsCounter,
    pub(crate) dice: Dice,
    pub(crate) page: Page,
    /// Asks the listener; it answers in `listening`.
    pub(crate) listener: watch::Sender<ListenerMode>,
    pub(crate) listening: watch::Sender<ListenerMode>,
    /// Its change resets every connection.
    pub(crate) kill: watch::Sender<u64>,
    faults: Mutex<Arc<Faults>>,
    overrides: Mutex<Arc<MetricsOverride>>,
    frozen_page: Mutex<Option<Bytes>>,
}

impl Shared {
    pub(crate) fn new(config: InstanceConfig, address: SocketAddr) -> Result<Self, SimError> {
        let process = Process::start(config.engine_config(), &config.loras, 0);
        let page = Page::new(&config)?;
        Ok(Shared {
            address,
            process: Mutex::new(process),
            wake: Notify::new(),
            stats: StatsCounter::default(),
            dice: Dice::new(config.seed ^ u64::from(address.port())),
            page,
            listener: watch::Sender::new(ListenerMode::Open),
            listening: watch::Sender::new(ListenerMode::Open),
            kill: watch::Sender::new(0),
            faults: Mutex::new(Arc::new(Faults::default())),
            overrides: Mutex::new(Arc::default()),
            frozen_page: Mutex::new(None),
            config,
        })
    }

    pub(crate) fn faults(&self) -> Arc<Faults> {
        Arc::clone(&locked(&self.faults))
    }

    pub(crate) fn overrides(&self) -> Arc<MetricsOverride> {
        Arc::clone(&locked(&self.overrides))
    }

    pub(crate) fn override_metrics(&self, overrides: MetricsOverride) {
        *locked(&self.overrides) = Arc::new(overrides);
    }

    pub(crate) fn set_faults(&self, faults: Faults) -> Result<(), SimError> {
        let mistakes = faults.mistakes();
        if !mistakes.is_empty() {
            return Err(SimError::Config { mistakes });
        }
        if faults.metrics == MetricsFault::Frozen {
            let mut frozen = locked(&self.frozen_page);
            if frozen.is_none() {
                *frozen = Some(self.metrics_page());
            }
        } else {
            *locked(&self.frozen_page) = None;
        }
        let mode = if faults.refuse {
            ListenerMode::Refuse
        } else {
            ListenerMode::Open
        };
        {
            let mut process = locked(&self.process);
            process.advance();
            apply_to_engine(&mut process, &faults, self.config.engine.speed);
        }
        *locked(&self.faults) = Arc::new(faults);
        self.listener.send_if_modified(|now| {
            let change = *now != mode && *now != ListenerMode::Stop;
            if change {
                *now = mode;
            }
            change
        });
        self.wake.notify_one();
        Ok(())
    }

    /// Throws the process away: requests end, the cache is cold, counters start from 0.
    pub(crate) fn restart_process(&self) {
        let faults = self.faults();
        let mut process = locked(&self.process);
        let life = process.life + 1;
        *process = Process::start(self.config.engine_config(), &self.config.loras, life);
        apply_to_engine(&mut process, &faults, self.config.engine.speed);
        drop(process);
        self.wake.notify_one();
    }

    /// Resets every open connection.
    pub(crate) fn reset_connections(&self) {
        self.kill.send_modify(|count| *count += 1);
    }

    /// The text of `/metrics` as it is now, lies included.
    pub(crate) fn metrics_page(&self) -> Bytes {
        let overrides = self.overrides();
        let process = locked(&self.process);
        self.page.render(&process, &overrides)
    }

    pub(crate) fn frozen_page(&self) -> Option<Bytes> {
        locked(&self.frozen_page).clone()
    }

    pub(crate) fn resets_at_accept(&self) -> bool {
        let faults = self.faults();
        faults.reset == Reset::Accept && self.dice.hits(faults.reset_probability)
    }

    /// Differs between the instances of a process.
    pub(crate) fn instance_seed(&self) -> u64 {
        self.config.seed ^ u64::from(self.address.port()) << 32
    }

    /// Whether this request's connection is to be reset at this place.
    pub(crate) fn resets(&self, place: Reset, faults: &Faults) -> bool {
        faults.reset == place && self.dice.hits(faults.reset_probability)
    }
}

fn apply_to_engine(process: &mut Process, faults: &Faults, speed: f64) {
    process.engine.set_speed(speed / faults.slow_factor);
    if faults.hang {
        process.clock.stop();
    } else {
        process.clock.go_on();
    }
}
