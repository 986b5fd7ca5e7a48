//! A pool for tests: endpoints with signals, a shared ledger, and picks that are counted in it.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "every test file uses another part of it, and a test may panic"
)]

use picker::{
    Decision, Endpoint, EndpointId, InFlight, Ledger, LocalState, LoraState, Millis, Picker,
    PickerConfig, PoolView, RequestFacts, Signal, SplitMix64, policy::PolicyName,
};

/// The moment at which pools begin.
pub const START: Millis = Millis(10_000_000);

/// Requests that an engine of a test runs at once.
pub const SLOTS: u32 = 64;

pub struct Pool {
    pub endpoints: Vec<Endpoint>,
    pub ledger: Ledger,
    pub now: Millis,
    /// Who decides in [`Pool::spread`].
    pub policy: PolicyName,
}

/// A picker of a policy that has seen nothing yet.
pub fn picker_of(policy: PolicyName) -> Picker {
    Picker::new(PickerConfig {
        policy,
        ..PickerConfig::default()
    })
}

impl Pool {
    /// Endpoints of which nothing is known.
    pub fn silent(endpoints: usize) -> Self {
        let id = |host: usize| EndpointId {
            address: ([10, 0, (host / 250) as u8, (host % 250) as u8], 8000).into(),
            generation: host as u64,
        };
        Self {
            endpoints: (0..endpoints).map(id).map(Endpoint::new).collect(),
            ledger: Ledger::new(),
            now: START,
            policy: PolicyName::default(),
        }
    }

    /// Endpoints that say to have nothing to do.
    pub fn idle(endpoints: usize) -> Self {
        let mut pool = Self::silent(endpoints);
        for at in 0..endpoints {
            pool.scrape(at, 0.0, 0.0, 0.0);
        }
        pool
    }

    /// Sets what an endpoint says now.
    pub fn scrape(&mut self, at: usize, waiting: f32, running: f32, kv_usage: f32) {
        let gauge = |value| Some(Signal::new(value, self.now));
        let signals = &mut self.endpoints[at].signals;
        signals.waiting = gauge(waiting);
        signals.running = gauge(running);
        signals.kv_usage = gauge(kv_usage);
    }

    pub fn set_lora(&mut self, at: usize, active: &[&str], registered: &[&str], max: u32) {
        let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
        let state = LoraState {
            active: names(active),
            registered: names(registered),
            max,
            ..LoraState::default()
        };
        self.endpoints[at].signals.lora = Some(Signal::new(state, self.now));
    }

    /// Counts requests that were sent before the test looks.
    pub fn begin(&mut self, at: usize, requests: u32) {
        for _ in 0..requests {
            self.count(at);
        }
    }

    /// Counts a request, which gets its first token at once if the endpoint runs fewer than
    /// [`SLOTS`].
    fn count(&mut self, at: usize) {
        let id = self.endpoints[at].id;
        self.ledger.begin(id, 100, 100);
        if self.ledger.get(id).requests <= SLOTS {
            self.ledger.first_token(id, 100);
        }
    }

    pub fn local(&self) -> Vec<LocalState> {
        let state = |endpoint: &Endpoint| LocalState {
            in_flight: self.ledger.get(endpoint.id),
            ..LocalState::default()
        };
        self.endpoints.iter().map(state).collect()
    }

    pub fn in_flight(&self, at: usize) -> InFlight {
        self.ledger.get(self.endpoints[at].id)
    }

    pub fn decide(
        &self,
        picker: &mut Picker,
        facts: &RequestFacts,
        entropy: &mut SplitMix64,
    ) -> Decision {
        let local = self.local();
        let view = PoolView {
            endpoints: &self.endpoints,
            local: &local,
            now: self.now,
        };
        picker.pick(facts, &view, entropy)
    }

    /// Picks, counts the request in the ledger and tells the picker; returns the position.
    pub fn dispatch(
        &mut self,
        picker: &mut Picker,
        facts: &RequestFacts,
        entropy: &mut SplitMix64,
    ) -> usize {
        let decision = self.decide(picker, facts, entropy);
        let at = decision.first().expect("the pool has endpoints");
        self.count(at);
        picker.dispatched(facts, self.endpoints[at].id);
        at
    }

    /// How many of `picks` sequential requests that never end each endpoint gets.
    pub fn spread(&mut self, picks: usize, facts: &RequestFacts, seed: u64) -> Vec<usize> {
        let mut picker = picker_of(self.policy);
        let mut entropy = SplitMix64::new(seed);
        let mut counts = vec![0; self.endpoints.len()];
        for _ in 0..picks {
            counts[self.dispatch(&mut picker, facts, &mut entropy)] += 1;
        }
        counts
    }
}

/// A request of which only the prompt's blocks are known.
pub fn with_prefix(blocks: &[u64]) -> RequestFacts {
    RequestFacts {
        prefix: blocks.to_vec(),
        ..RequestFacts::default()
    }
}

/// A request for a model.
pub fn for_model(model: &str) -> RequestFacts {
    RequestFacts {
        model: Some(model.to_owned()),
        ..RequestFacts::default()
    }
}
