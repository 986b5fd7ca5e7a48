//! What must hold of the cost policy on whole pools, natively and in V8.

#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "helpers of tests may panic"
)]

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

mod pool;

use picker::{
    Endpoint, Entropy, InFlight, Ledger, LocalState, Picker, PickerConfig, PoolView, PrefixNote,
    RequestFacts, Signal, SplitMix64, StepModel, policy::PolicyName,
};
use pool::{Pool, START, picker_of};

/// Draws nothing: the least cost alone decides.
fn strict() -> Picker {
    let mut config = PickerConfig {
        policy: PolicyName::Cost,
        ..PickerConfig::default()
    };
    config.cost.near_tie = 0.0;
    Picker::new(config)
}

/// One endpoint's signals and what is in flight there.
fn random_load(endpoint: &mut Endpoint, entropy: &mut SplitMix64) -> LocalState {
    let gauge = |value: f32| Some(Signal::new(value, START));
    let signals = &mut endpoint.signals;
    signals.waiting = gauge(entropy.below(6) as f32);
    signals.running = gauge(entropy.below(60) as f32);
    signals.kv_usage = gauge(entropy.unit() as f32);
    LocalState {
        in_flight: random_in_flight(entropy),
        ..LocalState::default()
    }
}

fn random_in_flight(entropy: &mut SplitMix64) -> InFlight {
    let requests = entropy.below(60) as u32;
    let prefilling = entropy.below(requests as usize / 4 + 1) as u32;
    let prefill_tokens = u64::from(prefilling) * entropy.below(500) as u64;
    InFlight {
        requests,
        tokens: prefill_tokens + u64::from(requests) * entropy.below(800) as u64,
        prefilling,
        prefill_tokens,
    }
}

fn first(endpoints: &[Endpoint], local: &[LocalState], facts: &RequestFacts) -> usize {
    first_of(&mut strict(), endpoints, local, facts)
}

fn first_of(
    picker: &mut Picker,
    endpoints: &[Endpoint],
    local: &[LocalState],
    facts: &RequestFacts,
) -> usize {
    let view = PoolView {
        endpoints,
        local,
        now: START,
    };
    let decision = picker.pick(facts, &view, &mut SplitMix64::new(1));
    let expected = decision.estimate();
    assert!(
        expected.ttft_ms.is_finite() && expected.total_ms >= expected.ttft_ms,
        "{expected:?}"
    );
    decision.first().expect("the pool has endpoints")
}

#[test]
fn it_matters_who_has_what_and_not_where_it_stands() {
    let mut entropy = SplitMix64::new(21);
    for round in 0..300 {
        let size = 2 + entropy.below(12);
        let mut pool = Pool::silent(size);
        let mut local: Vec<_> = pool
            .endpoints
            .iter_mut()
            .map(|endpoint| random_load(endpoint, &mut entropy))
            .collect();
        let chosen = first(&pool.endpoints, &local, &RequestFacts::default());
        let (signals, load) = (pool.endpoints[chosen].signals.clone(), local[chosen]);
        for at in (1..size).rev() {
            let other = entropy.below(at + 1);
            local.swap(at, other);
            let moved = pool.endpoints[at].signals.clone();
            pool.endpoints[at].signals = pool.endpoints[other].signals.clone();
            pool.endpoints[other].signals = moved;
        }
        let chosen = first(&pool.endpoints, &local, &RequestFacts::default());
        assert_eq!(pool.endpoints[chosen].signals, signals, "round {round}");
        assert_eq!(local[chosen], load, "round {round}");
    }
}

#[test]
fn equals_share_evenly() {
    let pool = Pool::idle(7);
    let mut picker = picker_of(PolicyName::Cost);
    let mut entropy = SplitMix64::new(22);
    let mut counts = [0u32; 7];
    for _ in 0..7_000 {
        let decision = pool.decide(&mut picker, &RequestFacts::default(), &mut entropy);
        counts[decision.first().unwrap()] += 1;
    }
    for count in counts {
        assert!(count.abs_diff(1_000) < 150, "{counts:?}");
    }
}

/// Whoever is not chosen is not chosen with more load either, where the rest of the pool stays as it is
/// and the scrape had been seen before.
#[test]
fn more_load_is_never_more_attractive() {
    let mut entropy = SplitMix64::new(23);
    let mut changes = [0; 6];
    for round in 0..3_000 {
        let size = 2 + entropy.below(6);
        let mut pool = Pool::silent(size);
        let mut local: Vec<_> = pool
            .endpoints
            .iter_mut()
            .map(|endpoint| random_load(endpoint, &mut entropy))
            .collect();
        let facts = RequestFacts {
            prompt_bytes: entropy.below(20_000) as u64,
            ..RequestFacts::default()
        };
        // Both have seen one request and the scrape.
        let (mut picker, mut again) = (strict(), strict());
        first_of(&mut picker, &pool.endpoints, &local, &facts);
        first_of(&mut again, &pool.endpoints, &local, &facts);
        let before = first_of(&mut picker, &pool.endpoints, &local, &facts);
        let at = entropy.below(size);
        let more = 1 + entropy.below(30) as u32;
        let change = entropy.below(changes.len());
        let endpoint = &mut pool.endpoints[at];
        let add = |gauge: &mut Option<Signal<f32>>, more: f32| {
            if let Some(gauge) = gauge {
                gauge.value += more;
            }
        };
        let load = &mut local[at].in_flight;
        match change {
            0 => add(&mut endpoint.signals.waiting, more as f32),
            1 => add(&mut endpoint.signals.running, more as f32),
            2 => add(&mut endpoint.signals.kv_usage, more as f32 / 30.0),
            3 => load.requests += more,
            4 => load.tokens += u64::from(more) * 100,
            _ => {
                load.requests += more;
                load.prefilling += more;
                load.tokens += u64::from(more) * 100;
                load.prefill_tokens += u64::from(more) * 100;
            }
        }
        let after = first_of(&mut again, &pool.endpoints, &local, &facts);
        assert!(
            at == before || at != after,
            "round {round}: change {change} by {more} made {at} of {size} attractive"
        );
        changes[change] += usize::from(at == before && at != after);
    }
    assert!(
        changes.iter().all(|count| *count > 5),
        "each change moves some requests away: {changes:?}"
    );
}

/// One endpoint says nonsense of everything that can be said; it gets no more than an honest idle one.
#[test]
fn no_number_makes_a_magnet() {
    let mut entropy = SplitMix64::new(24);
    let numbers = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        1e20,
        -1.0,
    ];
    let mut total = 0;
    for round in 0..200 {
        let mut pool = Pool::idle(6);
        let mut number = || numbers[entropy.below(numbers.len())];
        let gauge = |value| Some(Signal::new(value, START));
        let liar = &mut pool.endpoints[0];
        liar.price = number();
        liar.signals.waiting = gauge(number());
        liar.signals.running = gauge(number());
        liar.signals.kv_usage = gauge(number());
        liar.signals.mean_output_tokens = gauge(number());
        let model = StepModel {
            base_us: number().max(5_500.0),
            token_us: number().max(20.0),
            kv_token_us: number().max(0.15),
        };
        liar.signals.step_model = Some(Signal::new(model, START));
        if round % 2 == 0 {
            liar.weight = f32::NAN;
            liar.signals.kv_blocks = Some(u32::MAX);
            liar.signals.kv_block_size = Some(u32::MAX);
        }
        let facts = RequestFacts {
            prompt_bytes: if round % 4 == 1 { u64::MAX } else { 400 },
            max_tokens: (round % 5 == 0).then_some(u64::MAX),
            ..RequestFacts::default()
        };
        let counts = pool.spread(60, &facts, round);
        assert!(counts[0] <= 18, "round {round}: {counts:?}");
        total += counts[0];
    }
    assert!(
        total <= 200 * 11,
        "{total} of 12,000, a fair share is 2,000"
    );
}

/// Gateways that know nothing of each other, with workers that tell each other what they sent.
struct Gateway {
    ledger: Ledger,
    workers: Vec<(Picker, SplitMix64)>,
}

impl Gateway {
    fn new(config: PickerConfig, workers: u64, seed: u64) -> Self {
        let worker = |number| (Picker::new(config), SplitMix64::new(100 * seed + number));
        Self {
            ledger: Ledger::new(),
            workers: (0..workers).map(worker).collect(),
        }
    }

    /// Sends one request; its prefill is not done within the test.
    fn send(&mut self, worker: usize, endpoints: &[Endpoint], facts: &RequestFacts) -> usize {
        let local: Vec<_> = endpoints
            .iter()
            .map(|endpoint| LocalState {
                in_flight: self.ledger.get(endpoint.id),
                ..LocalState::default()
            })
            .collect();
        let view = PoolView {
            endpoints,
            local: &local,
            now: START,
        };
        let (picker, entropy) = &mut self.workers[worker];
        let decision = picker.pick(facts, &view, entropy);
        let at = decision.first().expect("the pool has endpoints");
        let expected = decision.estimate();
        let id = endpoints[at].id;
        self.ledger
            .begin(id, expected.prompt_tokens, expected.uncached_tokens);
        picker.dispatched(facts, id);
        let note = PrefixNote::dispatched(facts, id);
        for (other, (picker, _)) in self.workers.iter_mut().enumerate() {
            if other != worker {
                picker.dispatched_elsewhere(&note);
            }
        }
        at
    }
}

/// A prompt of 8 KiB that nobody has seen, told by `number`.
fn prompt(number: u64) -> RequestFacts {
    RequestFacts {
        prefix: (0..32).map(|block| number * 1_000 + block + 1).collect(),
        prompt_bytes: 8_192,
        ..RequestFacts::default()
    }
}

/// Eight endpoints that decode 20 requests each.
fn busy() -> Pool {
    let mut pool = Pool::idle(8);
    for at in 0..8 {
        pool.scrape(at, 0.0, 20.0, 0.1);
    }
    pool
}

/// On how many endpoints the first burst of each of some prompts meets, on average: three gateways of
/// four workers send it once a worker.
fn scatter(discount: f32) -> f64 {
    let pool = busy();
    let mut config = PickerConfig::default();
    config.cost.rendezvous_discount = discount;
    let mut places = 0;
    for number in 0..40 {
        let mut seen = [false; 8];
        for gateway in 0..3 {
            let mut gateway = Gateway::new(config, 4, 3 * number + gateway);
            for (picker, _) in &mut gateway.workers {
                // So that it knows the endpoints of whom the others tell.
                picker.retain(&pool.endpoints);
            }
            for worker in 0..4 {
                seen[gateway.send(worker, &pool.endpoints, &prompt(number))] = true;
            }
        }
        places += seen.iter().filter(|seen| **seen).count();
    }
    f64::from(places as u32) / 40.0
}

#[test]
fn a_burst_of_one_new_prompt_meets_at_one_endpoint() {
    let with = scatter(0.5);
    assert!(with <= 1.2, "on {with} endpoints");
    let without = scatter(0.0);
    assert!(
        without > 2.0,
        "on {without} endpoints only, without rendezvous"
    );
}

#[test]
fn a_hot_prompt_melts_nobody() {
    for seed in 0..5 {
        let mut pool = busy();
        let mut picker = picker_of(PolicyName::Cost);
        let mut entropy = SplitMix64::new(seed);
        let mut counts = [0u32; 8];
        let facts = prompt(1);
        for _ in 0..640 {
            counts[pool.dispatch(&mut picker, &facts, &mut entropy)] += 1;
        }
        let most = counts.iter().max().unwrap();
        assert!(*most <= 160, "one took too much: {counts:?}");
    }
}

#[test]
fn a_prompt_that_is_cached_is_followed_until_it_would_wait_longer_than_it_saves() {
    let mut pool = busy();
    let mut picker = picker_of(PolicyName::Cost);
    let mut entropy = SplitMix64::new(4);
    let facts = prompt(1);
    pool.decide(&mut picker, &facts, &mut entropy);
    picker.dispatched(&facts, pool.endpoints[3].id);
    let choose = |pool: &Pool, picker: &mut Picker| {
        let decision = pool.decide(picker, &facts, &mut SplitMix64::new(1));
        decision.first().unwrap()
    };
    assert_eq!(choose(&pool, &mut picker), 3);
    // A queue that the 2,048 tokens are worth.
    pool.scrape(3, 3.0, 20.0, 0.1);
    assert_eq!(choose(&pool, &mut picker), 3);
    pool.scrape(3, 60.0, 256.0, 0.97);
    assert_ne!(choose(&pool, &mut picker), 3);
}
