//! The workloads of the benchmark by name: which requests, and what is special about the pool.

use std::time::Duration;

use super::{ADAPTERS, Adapters, Chat, Classes, Conversations, Pace, Rag, W2, W2S, Workload};
use crate::scenario::{PodEvent, PodEventKind, Scenario};

/// A workload of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkloadName {
    /// Single-turn chat with ShareGPT's lengths.
    W1,
    /// Multi-turn chat under small system prompts.
    W2,
    /// Chat under a few big system prompts.
    W2s,
    /// Prompts of 8k tokens among chat.
    W3,
    /// Fifteen LoRA adapters, four slots a pod.
    W4,
    /// Two priorities.
    W5,
    /// W1 on a pool of which every second pod runs at half speed.
    W6,
    /// W1's requests in bursts.
    W7,
    /// W1 while pods fail and come back.
    W8,
}

/// From one failure of W8 to the next.
const BETWEEN_FAILURES: Duration = Duration::from_secs(15);
/// How long a failed pod is away.
const AWAY: Duration = Duration::from_secs(10);

impl WorkloadName {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 9] = [
        Self::W1,
        Self::W2,
        Self::W2s,
        Self::W3,
        Self::W4,
        Self::W5,
        Self::W6,
        Self::W7,
        Self::W8,
    ];

    /// Its name in figures.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::W1 => "w1",
            Self::W2 => "w2",
            Self::W2s => "w2s",
            Self::W3 => "w3",
            Self::W4 => "w4",
            Self::W5 => "w5",
            Self::W6 => "w6",
            Self::W7 => "w7",
            Self::W8 => "w8",
        }
    }

    /// What it is, for headings.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::W1 => "W1: chat",
            Self::W2 => "W2: multi-turn chat",
            Self::W2s => "W2s: big system prompts",
            Self::W3 => "W3: 8k-token prompts among chat",
            Self::W4 => "W4: 15 LoRA adapters, 4 slots",
            Self::W5 => "W5: two priorities",
            Self::W6 => "W6: half of the pods at half speed",
            Self::W7 => "W7: bursts",
            Self::W8 => "W8: pods failing and coming back",
        }
    }

    /// The workload of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }

    /// Its requests: `requests_per_second` (above 0) on average, drawn from `seed`.
    #[must_use]
    pub fn requests(self, seed: u64, requests_per_second: f64) -> Box<dyn Workload> {
        let chat = || Chat::new(seed, requests_per_second);
        match self {
            Self::W1 | Self::W6 | Self::W8 => Box::new(chat()),
            Self::W2 => Box::new(Conversations::new(seed, requests_per_second, W2)),
            Self::W2s => Box::new(Conversations::new(seed, requests_per_second, W2S)),
            Self::W3 => Box::new(Rag::new(seed, requests_per_second)),
            Self::W4 => Box::new(Adapters::new(seed, chat())),
            Self::W5 => Box::new(Classes::new(seed, chat())),
            Self::W7 => Box::new(Chat::paced(seed, Pace::bursty(seed, requests_per_second))),
        }
    }

    /// Makes the pool of `scenario` the one that this workload runs on. Call it last: W8 spreads its
    /// failures over the times that the scenario has.
    pub fn prepare(self, scenario: &mut Scenario) {
        match self {
            Self::W6 => {
                for endpoint in scenario.endpoints.iter_mut().skip(1).step_by(2) {
                    endpoint.speed *= 0.5;
                }
            }
            Self::W8 => scenario.events.extend(failures(scenario)),
            Self::W4 => scenario.adapters = ADAPTERS,
            Self::W1 | Self::W2 | Self::W2s | Self::W3 | Self::W5 | Self::W7 => {}
        }
    }
}

/// One pod after the other fails, every 15 s from the middle of the warm-up on, and is back 10 s
/// later: of ten pods nine or ten are there. The one-in-three stride makes neighbours in time no
/// neighbours in the list.
fn failures(scenario: &Scenario) -> Vec<PodEvent> {
    let end = scenario.warm_up + scenario.duration;
    let pods = scenario.endpoints.len().max(1);
    let mut events = Vec::new();
    let mut at = scenario.warm_up / 2;
    let mut pod = scenario.seed as usize % pods;
    while at < end {
        for (at, kind) in [
            (at, PodEventKind::Fails),
            (at + AWAY, PodEventKind::Returns),
        ] {
            events.push(PodEvent { at, pod, kind });
        }
        at += BETWEEN_FAILURES;
        pod = (pod + 3) % pods;
    }
    events
}

#[cfg(test)]
mod tests {
    use super::{PodEventKind, Scenario, WorkloadName};

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in WorkloadName::ALL {
            assert_eq!(WorkloadName::parse(name.as_str()), Some(name));
        }
        assert_eq!(WorkloadName::parse("w10"), None);
    }

    #[test]
    fn half_of_the_pods_of_w6_run_at_half_speed() {
        let mut scenario = Scenario::default();
        WorkloadName::W6.prepare(&mut scenario);
        let slow = scenario.endpoints.iter().filter(|pod| pod.speed == 0.5);
        assert_eq!((slow.count(), scenario.endpoints.len()), (5, 10));
    }

    #[test]
    fn in_w8_never_more_than_one_pod_is_away_and_several_go_in_a_run() {
        let mut scenario = Scenario::default();
        WorkloadName::W8.prepare(&mut scenario);
        let mut away = 0;
        let mut events = scenario.events.clone();
        events.sort_by_key(|event| event.at);
        for event in &events {
            away += if event.kind == PodEventKind::Fails {
                1
            } else {
                -1
            };
            assert!((0..=1).contains(&away));
        }
        assert_eq!((away, events.len()), (0, 10));
    }
}
