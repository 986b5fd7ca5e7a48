//! Values that the tests of several modules share.

use std::sync::Arc;

use picker::{
    Endpoint, EndpointId, Entropy, Health, InFlight, LoraState, Millis, PoolSnapshot, Signal,
    SnapshotVersion, SplitMix64, StepModel,
};

/// How many cases a property gets: `default`, or what `PROPTEST_CASES` says (before a release,
/// millions).
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn cases(default: u32) -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(default)
}

pub(crate) fn id(address: &str, generation: u64) -> EndpointId {
    EndpointId {
        address: address.parse().expect("an address"),
        generation,
    }
}

pub(crate) fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

/// Every field used at least once, every signal once known and once unknown.
pub(crate) fn sample() -> PoolSnapshot {
    let mut full = Endpoint::new(id("10.0.0.1:8000", 7));
    full.health = Health::Draining;
    full.weight = 2.5;
    full.signals.waiting = Some(Signal::new(3.0, Millis(9_000)));
    full.signals.running = Some(Signal::new(11.0, Millis(9_001)));
    full.signals.kv_usage = Some(Signal::new(0.25, Millis(8_500)));
    full.price = 0.5;
    full.signals.mean_output_tokens = Some(Signal::new(225.5, Millis(1)));
    full.signals.others_in_flight = Some(Signal::new(
        InFlight {
            requests: 4,
            tokens: 5_000_000_000,
            prefilling: 3,
            prefill_tokens: 700,
        },
        Millis(9_100),
    ));
    full.signals.step_model = Some(Signal::new(
        StepModel {
            base_us: 5_500.0,
            token_us: 20.5,
            kv_token_us: 0.15,
        },
        Millis(8_000),
    ));
    full.signals.max_model_len = Some(4_096);
    full.signals.kv_block_size = Some(16);
    full.signals.kv_blocks = Some(27_000);
    full.signals.lora = Some(Signal::new(
        LoraState {
            active: names(&["sql", "chat"]),
            waiting: names(&["\u{6a21}\u{578b}"]),
            registered: names(&["chat", "sql", "\u{6a21}\u{578b}"]),
            max: 2,
        },
        Millis(9_000),
    ));
    let mut suspect = Endpoint::new(id("[2001:db8::1]:443", u64::MAX));
    suspect.health = Health::Suspect;
    suspect.signals.lora = Some(Signal::new(
        LoraState {
            registered: names(&["sql"]),
            ..LoraState::default()
        },
        Millis(9_000),
    ));
    PoolSnapshot {
        pool: "default".to_owned(),
        version: version(1, 2, 3),
        endpoints: vec![full, Endpoint::new(id("10.0.0.2:8000", 0)), suspect],
    }
}

pub(crate) const fn version(agent_id: u64, epoch: u64, sequence: u64) -> SnapshotVersion {
    SnapshotVersion {
        agent_id,
        epoch,
        sequence,
        taken_at_unix_ms: 1_700_000_000_000,
    }
}

/// A pool of `count` endpoints with some signals known, all drawn from `random`; none older than 49
/// days before `now`.
pub(crate) fn random_pool(count: usize, now: Millis, random: &mut SplitMix64) -> PoolSnapshot {
    let mut endpoints: Vec<Endpoint> = (0..count)
        .map(|index| random_endpoint(index, now, random))
        .collect();
    endpoints.sort_by_key(|endpoint| endpoint.id);
    PoolSnapshot {
        pool: "pool".to_owned(),
        version: version(random.next_u64(), random.next_u64(), random.next_u64()),
        endpoints,
    }
}

/// One endpoint whose address is a function of `index`.
pub(crate) fn random_endpoint(index: usize, now: Millis, random: &mut SplitMix64) -> Endpoint {
    let [.., a, b] = u32::try_from(index).expect("a small index").to_be_bytes();
    let address = if index.is_multiple_of(3) {
        format!("[2001:db8::{a:x}:{b:x}]:8000")
    } else {
        format!("10.1.{a}.{b}:8000")
    };
    let mut endpoint = Endpoint::new(id(&address, random.next_u64()));
    endpoint.health = [Health::Ready, Health::Draining, Health::Suspect][random.below(3)];
    endpoint.weight = 0.01 + random.unit() as f32 * 99.0;
    endpoint.price = 0.01 + random.unit() as f32 * 99.0;
    let signals = &mut endpoint.signals;
    signals.waiting = maybe(random, |random| gauge(random, 1_000.0, now));
    signals.running = maybe(random, |random| gauge(random, 256.0, now));
    signals.kv_usage = maybe(random, |random| gauge(random, 1.0, now));
    signals.mean_output_tokens =
        maybe(random, |random| gauge(random, 5_000.0, now)).filter(|mean| mean.value >= 1.0);
    signals.others_in_flight = maybe(random, |random| {
        let requests = random.below(1_000) as u32;
        let load = InFlight {
            requests,
            tokens: random.below(1 << 30) as u64 * 900,
            prefilling: requests / 2,
            prefill_tokens: random.below(1 << 20) as u64,
        };
        Signal::new(load, past(random, now))
    });
    signals.step_model = maybe(random, |random| {
        let model = StepModel {
            base_us: 1.0 + random.unit() as f32 * 50_000.0,
            token_us: random.unit() as f32 * 500.0,
            kv_token_us: random.unit() as f32,
        };
        Signal::new(model, past(random, now))
    });
    signals.max_model_len = maybe(random, |random| 1 + random.below(1_000_000) as u32);
    signals.kv_block_size = maybe(random, |random| 1 + random.below(65_536) as u32);
    signals.kv_blocks = maybe(random, |random| 1 + random.below(1_000_000) as u32);
    signals.lora = maybe(random, |random| {
        let state = LoraState {
            active: adapters(random, 4),
            waiting: adapters(random, 2),
            registered: adapters(random, 8),
            max: random.below(16) as u32,
        };
        Signal::new(state, past(random, now))
    });
    endpoint
}

fn maybe<T>(random: &mut SplitMix64, value: impl FnOnce(&mut SplitMix64) -> T) -> Option<T> {
    (random.below(4) != 0).then(|| value(random))
}

fn gauge(random: &mut SplitMix64, max: f32, now: Millis) -> Signal<f32> {
    Signal::new(random.unit() as f32 * max, past(random, now))
}

fn past(random: &mut SplitMix64, now: Millis) -> Millis {
    now.minus(random.below(4_000_000_000) as u64 / 1_000)
}

fn adapters(random: &mut SplitMix64, up_to: usize) -> Vec<Arc<str>> {
    let count = random.below(up_to + 1);
    (0..count)
        .map(|_| Arc::from(format!("adapter-{}", random.below(12))))
        .collect()
}

/// A clock that works natively and in node.
pub(crate) mod clock {
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn micros(work: impl FnOnce()) -> f64 {
        let start = std::time::Instant::now();
        work();
        start.elapsed().as_secs_f64() * 1e6
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn report(line: &str) {
        println!("{line}");
    }

    #[cfg(target_arch = "wasm32")]
    pub(crate) fn micros(work: impl FnOnce()) -> f64 {
        let start = js_sys::Date::now();
        work();
        (js_sys::Date::now() - start) * 1e3
    }

    #[cfg(target_arch = "wasm32")]
    pub(crate) fn report(line: &str) {
        wasm_bindgen_test::console_log!("{line}");
    }
}
