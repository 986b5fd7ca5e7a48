//! One experiment: the pool, who routes to it and by what, and when.

use std::time::Duration;

use admission::AdmissionConfig;
use model_sim::engine::EngineConfig;
use picker::{PickerConfig, policy::PolicyName};

/// Who decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyUnderTest {
    /// A policy of the picker; overrides the one of [`Scenario::picker`].
    Picker(PolicyName),
    /// The simulator's own: sees the exact state of every engine and the true length of the answer,
    /// and minimizes the cost of the cost policy.
    Oracle,
}

impl PolicyUnderTest {
    /// Its name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Picker(PolicyName::RoundRobin) => "rr",
            Self::Picker(PolicyName::LeastInFlight) => "lor",
            Self::Picker(PolicyName::PowerOfTwo) => "p2c",
            Self::Picker(PolicyName::GieV03) => "gie-v0.3",
            Self::Picker(PolicyName::Gie0605) => "gie-0605",
            Self::Picker(name) => name.as_str(),
            Self::Oracle => "oracle",
        }
    }
}

/// Who waits and who is refused under overload.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum AdmissionUnderTest {
    /// Nobody, but what the policy itself refuses.
    #[default]
    Off,
    /// The reference's rule: sheddable requests are refused while the mean over the pods of
    /// `max(waiting / 5, KV-cache utilization / 0.8)` is at least 1, metrics older than 200 ms counting
    /// as full.
    Reference,
    /// The `admission` crate.
    Ours(AdmissionConfig),
}

/// What happens to a pod.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PodEventKind {
    /// It dies: its requests are lost, its connections are reset, its cache is gone.
    Fails,
    /// It is back at the same address, as another generation with an empty cache.
    Returns,
    /// Its speed factor becomes this, above 0.
    Speed(f64),
}

/// Something that happens to a pod at some time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PodEvent {
    /// When, since the start.
    pub at: Duration,
    /// Index of the pod in [`Scenario::endpoints`].
    pub pod: usize,
    /// What.
    pub kind: PodEventKind,
}

/// One experiment.
///
/// ```text
///   0 ........ warm_up ............................ + duration ......... + cool_down
///   arrivals, not measured   arrivals, measured       arrivals, not measured   no arrivals: the
///                                                                              rest is served
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Seed of everything but the workload: phases of the scrapes, ties, dealing.
    pub seed: u64,
    /// The pods, each with its own engine.
    pub endpoints: Vec<EngineConfig>,
    /// Gateways (Envoys), at least 1.
    pub gateways: usize,
    /// Workers of each gateway, at least 1.
    pub workers: usize,
    /// Whether all turns of a conversation come to the same gateway and worker, as over one kept
    /// connection. Else every request is dealt at random, as by a client's pool of connections: the
    /// harder case, because a gateway then knows little of what a pod has cached.
    pub conversations_stay: bool,
    /// How often the agent looks at a pod, and gateways report their load to it.
    pub scrape_interval: Duration,
    /// From the scrape to the moment when a gateway's workers can see it.
    pub push_delay: Duration,
    /// Whether there is an agent. Without one the gateways know the members' addresses, and nothing
    /// else that they did not see themselves.
    pub agent_alive: bool,
    /// When the agent dies for good; what it told until then stays and ages.
    pub agent_dies_at: Option<Duration>,
    /// Whether the agent tells a gateway what the others have in flight.
    pub share_between_gateways: bool,
    /// Whether the answers are streamed, so that the gateway sees the first token.
    pub streamed: bool,
    /// Whether the answers tell how many prompt tokens were cached (vLLM does when asked to at its
    /// start).
    pub tells_cached_tokens: bool,
    /// LoRA adapters `0..adapters` that every pod can serve.
    pub adapters: u32,
    /// Who decides.
    pub policy: PolicyUnderTest,
    /// Who waits and who is refused.
    pub admission: AdmissionUnderTest,
    /// The picker's configuration.
    pub picker: PickerConfig,
    /// Arrivals before this are served but not measured.
    pub warm_up: Duration,
    /// Arrivals from [`Scenario::warm_up`] on for so long are measured.
    pub duration: Duration,
    /// Arrivals go on for so long, so that the measured ones end under the same load.
    pub cool_down: Duration,
    /// What happens to pods, in any order.
    pub events: Vec<PodEvent>,
}

impl Default for Scenario {
    /// Ten default engines, one gateway with one worker, 50 ms signals pushed within 2 ms, a minute
    /// measured after half a minute.
    fn default() -> Self {
        Self {
            seed: 1,
            endpoints: vec![EngineConfig::default(); 10],
            gateways: 1,
            workers: 1,
            conversations_stay: false,
            scrape_interval: Duration::from_millis(50),
            push_delay: Duration::from_millis(2),
            agent_alive: true,
            agent_dies_at: None,
            share_between_gateways: true,
            streamed: true,
            tells_cached_tokens: false,
            adapters: 0,
            policy: PolicyUnderTest::Picker(PolicyName::Cost),
            admission: AdmissionUnderTest::Off,
            picker: PickerConfig::default(),
            warm_up: Duration::from_secs(30),
            duration: Duration::from_secs(60),
            cool_down: Duration::from_secs(10),
            events: Vec::new(),
        }
    }
}
