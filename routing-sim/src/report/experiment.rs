//! One experiment of the benchmark by what distinguishes it, and how it is run.

use std::time::Duration;

use picker::policy::PolicyName;

use super::{capacity, scores::Scores};
use crate::{PolicyUnderTest, Scenario, profile::Profile, simulate, workload::WorkloadName};

/// How much arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Load {
    /// Percent of the pool's capacity for the workload (see [`super::capacity`]).
    Percent(u32),
    /// Requests per second for the whole pool.
    Qps(u32),
}

/// One experiment but for its seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Experiment {
    /// The engines.
    pub profile: Profile,
    /// The requests.
    pub workload: WorkloadName,
    /// Who decides.
    pub policy: PolicyUnderTest,
    /// How much arrives.
    pub load: Load,
    /// Pods.
    pub pods: u32,
    /// Gateways.
    pub gateways: u32,
    /// Workers of each.
    pub workers: u32,
    /// Milliseconds between two scrapes of a pod; 0 when there is no agent at all.
    pub scrape_ms: u32,
    /// Whether a conversation keeps to one connection, and so to one gateway and worker.
    pub conversations_stay: bool,
    /// Whether the agent dies halfway through the warm-up.
    pub agent_dies: bool,
}

/// How often Higress' plugin looks at the metrics, whatever the other gateways do.
const HIGRESS_SCRAPE_MS: u32 = 2_000;

impl Experiment {
    /// The usual circumstances: 10 pods, 1 gateway with 1 worker, 50 ms signals (2 s for
    /// Higress, as it ships).
    pub fn new(
        profile: Profile,
        workload: WorkloadName,
        policy: PolicyUnderTest,
        load: Load,
    ) -> Self {
        let higress = policy == PolicyUnderTest::Picker(PolicyName::Higress);
        Experiment {
            profile,
            workload,
            policy,
            load,
            pods: 10,
            gateways: 1,
            workers: 1,
            scrape_ms: if higress { HIGRESS_SCRAPE_MS } else { 50 },
            conversations_stay: false,
            agent_dies: false,
        }
    }

    /// Requests per second.
    pub fn requests_per_second(&self) -> f64 {
        match self.load {
            Load::Qps(qps) => f64::from(qps),
            Load::Percent(percent) => {
                let pool = capacity::of_ten(self.profile, self.workload);
                pool * f64::from(self.pods) / 10.0 * f64::from(percent) / 100.0
            }
        }
    }

    /// The simulator's scenario.
    pub fn scenario(&self, seed: u64, seconds: Seconds) -> Scenario {
        let mut scenario = Scenario {
            seed,
            endpoints: vec![self.profile.engine(); self.pods as usize],
            gateways: self.gateways as usize,
            workers: self.workers as usize,
            conversations_stay: self.conversations_stay,
            scrape_interval: Duration::from_millis(u64::from(self.scrape_ms.max(1))),
            agent_alive: self.scrape_ms > 0,
            agent_dies_at: self
                .agent_dies
                .then(|| Duration::from_secs(u64::from(seconds.warm_up)) / 2),
            policy: self.policy,
            warm_up: Duration::from_secs(u64::from(seconds.warm_up)),
            duration: Duration::from_secs(u64::from(seconds.measured)),
            cool_down: Duration::from_secs(u64::from(seconds.measured) / 6),
            ..Scenario::default()
        };
        self.workload.prepare(&mut scenario);
        scenario
    }

    /// Runs it.
    pub fn run(&self, seed: u64, seconds: Seconds) -> Scores {
        let mut requests = self.workload.requests(seed, self.requests_per_second());
        Scores::of(&simulate(&self.scenario(seed, seconds), requests.as_mut()))
    }

    /// The name of the load in ids: `0.9` of the capacity, or `400qps`.
    pub fn load_name(&self) -> String {
        match self.load {
            Load::Percent(percent) => format!("{}", f64::from(percent) / 100.0),
            Load::Qps(qps) => format!("{qps}qps"),
        }
    }
}

/// How long experiments take, in simulated seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Seconds {
    /// Served but not measured.
    pub warm_up: u32,
    /// Measured.
    pub measured: u32,
}
