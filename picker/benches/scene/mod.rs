//! The pool that both benches pick from, with everything a real one has: signals up to one scrape
//! interval old, load of this and of other gateways, LoRA on every second endpoint, a system prompt
//! that many endpoints hold and conversations that few hold.

use std::sync::Arc;

use picker::{
    Endpoint, EndpointId, Entropy, InFlight, LocalState, LoraState, Millis, Picker, PickerConfig,
    PoolView, RequestFacts, Signal, SplitMix64,
};

/// Blocks of prefix that every request of the scene has.
const BLOCKS: usize = 16;
/// Blocks of them that are the common system prompt.
const SHARED_BLOCKS: usize = 4;
/// Distinct requests and in-flight tables that picks rotate through, so that no branch is learned by
/// heart.
const VARIANTS: usize = 32;
const ADAPTERS: usize = 16;
const NOW: Millis = Millis(100_000);

/// A pool, requests for it and a picker that has seen traffic.
pub struct Scene {
    endpoints: Vec<Endpoint>,
    locals: Vec<Vec<LocalState>>,
    requests: Vec<RequestFacts>,
    picker: Picker,
    entropy: SplitMix64,
    turn: usize,
}

impl Scene {
    /// A scene with so many endpoints.
    pub fn new(endpoints: usize) -> Self {
        let mut entropy = SplitMix64::new(42);
        let adapters: Vec<Arc<str>> = (0..ADAPTERS)
            .map(|number| Arc::from(format!("team-{number:02}-sql-adapter")))
            .collect();
        let endpoints: Vec<Endpoint> = (0..endpoints)
            .map(|number| endpoint(number, &adapters, &mut entropy))
            .collect();
        let locals = (0..VARIANTS)
            .map(|_| endpoints.iter().map(|_| local(&mut entropy)).collect())
            .collect();
        let requests: Vec<RequestFacts> = (0..VARIANTS)
            .map(|number| request(number, &adapters))
            .collect();
        let mut scene = Self {
            endpoints,
            locals,
            requests,
            picker: Picker::new(PickerConfig::default()),
            entropy,
            turn: 0,
        };
        scene.warm_up();
        scene
    }

    /// Every conversation has been on some endpoints, the system prompt thereby on many.
    fn warm_up(&mut self) {
        self.pick();
        for _ in 0..self.endpoints.len() {
            let facts = &self.requests[self.entropy.below(VARIANTS)];
            let endpoint = &self.endpoints[self.entropy.below(self.endpoints.len())];
            self.picker.dispatched(facts, endpoint.id);
        }
    }

    /// One pick; returns the place of the choice.
    pub fn pick(&mut self) -> usize {
        self.turn = (self.turn + 1) % VARIANTS;
        let view = PoolView {
            endpoints: &self.endpoints,
            local: &self.locals[self.turn],
            now: NOW,
        };
        let facts = &self.requests[self.turn];
        let decision = self.picker.pick(facts, &view, &mut self.entropy);
        decision.first().expect("the pool is not empty")
    }

    /// One pick with the note of where it went.
    pub fn pick_and_dispatch(&mut self) -> usize {
        let choice = self.pick();
        let facts = &self.requests[self.turn];
        self.picker.dispatched(facts, self.endpoints[choice].id);
        choice
    }
}

fn endpoint(number: usize, adapters: &[Arc<str>], entropy: &mut SplitMix64) -> Endpoint {
    let [high, low] = u16::try_from(number)
        .expect("a scene is small")
        .to_be_bytes();
    let mut endpoint = Endpoint::new(EndpointId {
        address: ([10, 0, high, low], 8000).into(),
        generation: entropy.next_u64(),
    });
    let taken_at = NOW.minus(entropy.below(200) as u64);
    let gauge = |value: f32| Some(Signal::new(value, taken_at));
    let signals = &mut endpoint.signals;
    signals.waiting = gauge(entropy.below(4) as f32);
    signals.running = gauge(entropy.below(40) as f32);
    signals.kv_usage = gauge(entropy.unit() as f32);
    let others = InFlight {
        requests: entropy.below(10) as u32,
        ..InFlight::default()
    };
    signals.others_in_flight = Some(Signal::new(others, taken_at));
    signals.kv_block_size = Some(16);
    signals.kv_blocks = Some(30_000);
    if number.is_multiple_of(2) {
        let first = entropy.below(ADAPTERS - 4);
        let active = adapters[first..first + 3].to_vec();
        let lora = LoraState {
            waiting: active.clone(),
            active,
            registered: adapters.to_vec(),
            max: 4,
        };
        signals.lora = Some(Signal::new(lora, taken_at));
    }
    endpoint
}

fn local(entropy: &mut SplitMix64) -> LocalState {
    let requests = entropy.below(40) as u32;
    LocalState {
        in_flight: InFlight {
            requests,
            tokens: u64::from(requests) * 500,
            ..InFlight::default()
        },
        ..LocalState::default()
    }
}

/// Every second request is for an adapter, the others are for the base model.
fn request(number: usize, adapters: &[Arc<str>]) -> RequestFacts {
    let mut conversation = SplitMix64::new(number as u64);
    let prefix = (0..BLOCKS)
        .map(|block| match block {
            0..SHARED_BLOCKS => 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(block as u64 + 1),
            _ => conversation.next_u64(),
        })
        .collect();
    let model = match number.is_multiple_of(2) {
        true => adapters[number / 2 % ADAPTERS].to_string(),
        false => "llama-2-7b-chat-base-model".to_owned(),
    };
    RequestFacts {
        model: Some(model),
        prefix,
        prompt_bytes: 6_000,
        stream: true,
        max_tokens: Some(256),
        ..RequestFacts::default()
    }
}
