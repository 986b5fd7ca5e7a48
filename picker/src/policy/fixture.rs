//! A pool for tests of one policy: what it would be shown, without the picker around it.

use super::{Policy, PolicyName, Round, build};
use crate::{
    config::PickerConfig,
    decision::{Decision, Estimate, Reason},
    endpoint::{Endpoint, EndpointId},
    entropy::SplitMix64,
    learn::Learned,
    request::RequestFacts,
    signal::{LoraState, Signal},
    time::Millis,
    view::{LocalState, PoolView},
};

pub(super) const NOW: Millis = Millis(100_000);

/// Endpoints, what is known of them, and a request.
pub(super) struct Pool {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) local: Vec<LocalState>,
    /// Cached bytes by position.
    pub(super) matched: Vec<u32>,
    pub(super) facts: RequestFacts,
    pub(super) choices: usize,
}

impl Pool {
    /// So many endpoints of which nothing is known.
    pub(super) fn of(size: usize) -> Self {
        let id = |port| EndpointId {
            address: ([10, 0, 0, 1], port).into(),
            generation: 0,
        };
        Self {
            endpoints: (1..).take(size).map(id).map(Endpoint::new).collect(),
            local: vec![LocalState::default(); size],
            matched: Vec::new(),
            facts: RequestFacts::default(),
            choices: 3,
        }
    }

    /// Endpoints with a scraped queue, KV-cache utilization and active adapters, as the reference's
    /// vectors have them.
    pub(super) fn scraped(rows: &[(f32, f32, &[&str])]) -> Self {
        let mut pool = Self::of(rows.len());
        for (endpoint, (queue, kv_usage, adapters)) in pool.endpoints.iter_mut().zip(rows) {
            endpoint.signals.waiting = Some(Signal::new(*queue, NOW));
            endpoint.signals.kv_usage = Some(Signal::new(*kv_usage, NOW));
            let lora = LoraState {
                active: adapters.iter().map(|name| (*name).into()).collect(),
                ..LoraState::default()
            };
            endpoint.signals.lora = Some(Signal::new(lora, NOW));
        }
        pool
    }

    /// The request's prompt fills so many blocks.
    pub(super) fn prompt_blocks(&mut self, blocks: u64) {
        self.facts.prefix = (0..blocks).collect();
        self.facts.prompt_bytes = blocks * u64::from(PickerConfig::default().prefix.block_bytes);
    }

    /// The endpoint at `position` holds so many of them.
    pub(super) fn holds(&mut self, position: usize, blocks: u32) {
        self.matched.resize(self.endpoints.len(), 0);
        self.matched[position] = blocks * PickerConfig::default().prefix.block_bytes;
    }

    fn decisions(&self, policy: PolicyName, draws: usize) -> Vec<Decision> {
        let config = PickerConfig {
            policy,
            ..PickerConfig::default()
        };
        self.decide_with(&mut *build(&config), draws)
    }

    /// So many decisions of a policy.
    pub(super) fn decide_with(&self, policy: &mut dyn Policy, draws: usize) -> Vec<Decision> {
        let config = PickerConfig::default();
        let positions: Vec<u32> = (0..).take(self.endpoints.len()).collect();
        let round = Round {
            facts: &self.facts,
            view: PoolView {
                endpoints: &self.endpoints,
                local: &self.local,
                now: NOW,
            },
            candidates: &positions,
            slots: &positions,
            matched: &self.matched,
            ladder: &config.freshness,
            learned: &Learned::default(),
            choices: self.choices,
        };
        let mut entropy = SplitMix64::new(11);
        (0..draws)
            .map(|_| {
                let decision = policy.decide(&round, &mut entropy);
                if let Some(first) = decision.first() {
                    policy.settled(&self.facts, first as u32, NOW, &decision);
                }
                decision
            })
            .collect()
    }

    /// The lists of many decisions.
    pub(super) fn lists(&self, policy: PolicyName, draws: usize) -> Vec<Vec<usize>> {
        let decisions = self.decisions(policy, draws);
        decisions
            .iter()
            .map(|decision| decision.choices().collect())
            .collect()
    }

    /// How often each endpoint came first in so many decisions.
    pub(super) fn firsts(&self, policy: PolicyName, draws: usize) -> Vec<u32> {
        let mut counts = vec![0; self.endpoints.len()];
        for list in self.lists(policy, draws) {
            assert!(list.len() <= self.choices, "{list:?}");
            counts[list[0]] += 1;
        }
        counts
    }

    /// What the first decision expects.
    pub(super) fn estimate(&self, policy: PolicyName) -> Estimate {
        self.decisions(policy, 1)[0].estimate()
    }

    /// Why the first decision was made.
    pub(super) fn reason(&self, policy: PolicyName) -> Reason {
        self.decisions(policy, 1)[0].reason()
    }
}
