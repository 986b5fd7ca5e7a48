//! Round trips, hostile bytes and speed of every layout.

use std::sync::Arc;

use picker::{
    Endpoint, EndpointId, Health, LoraState, Millis, PoolSnapshot, Signal, SnapshotVersion,
};

use super::pool;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn id(address: &str, generation: u64) -> EndpointId {
    EndpointId {
        address: address.parse().expect("an address"),
        generation,
    }
}

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

/// Every field used at least once, every signal once known and once unknown.
fn sample() -> PoolSnapshot {
    let mut full = Endpoint::new(id("10.0.0.1:8000", 7));
    full.health = Health::Draining;
    full.weight = 2.5;
    full.signals.waiting = Some(Signal::new(3.0, Millis(9_000)));
    full.signals.running = Some(Signal::new(11.0, Millis(9_001)));
    full.signals.kv_usage = Some(Signal::new(0.25, Millis(8_500)));
    full.signals.tokens_per_second = Some(Signal::new(512.5, Millis(1)));
    full.signals.others_in_flight = Some(Signal::new(4, Millis(9_100)));
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
        version: SnapshotVersion {
            agent_id: 1,
            epoch: 2,
            sequence: 3,
            taken_at_unix_ms: 4,
        },
        endpoints: vec![full, Endpoint::new(id("10.0.0.2:8000", 0)), suspect],
    }
}

#[test]
fn a_pool_survives_the_round_trip() {
    let sample = sample();
    assert_eq!(pool::decode(&pool::encode(&sample)), Ok(sample));
}
