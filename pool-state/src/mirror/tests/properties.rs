//! Messages that no agent of ours sends, natively only. Whatever the copy takes keeps the contract
//! and fits the slot, so that the stream's holder never writes what the workers refuse.

use picker::{Endpoint, Millis, SplitMix64};
use proptest::prelude::*;
use prost::Message;

use super::{PoolMirror, proto, snapshot_to_proto};
use crate::{
    convert::delta_to_proto,
    slot,
    testing::{cases, random_pool, version},
};

const NOW: Millis = Millis(1 << 40);

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{1,8}",
        1 => any::<String>(),
        1 => "[ -~]{250,260}",
    ]
}

fn any_gauge() -> impl Strategy<Value = Option<proto::Gauge>> {
    let value = prop_oneof![
        3 => 0.0f32..2.0,
        1 => any::<f32>(),
        1 => prop::sample::select(vec![f32::NAN, f32::INFINITY, -0.0, -1.0, 1e6, 1.01, 1e7]),
    ];
    prop::option::of(
        (value, any::<u32>()).prop_map(|(value, age_ms)| proto::Gauge { value, age_ms }),
    )
}

fn any_others() -> impl Strategy<Value = Option<proto::OthersInFlight>> {
    let count = || prop_oneof![3 => 0u32..100, 1 => any::<u32>()];
    let tokens = || prop_oneof![3 => 0u64..100_000, 1 => any::<u64>()];
    let load = (count(), tokens(), count(), tokens()).prop_map(
        |(requests, tokens, prefilling, prefill_tokens)| proto::InFlight {
            requests,
            tokens,
            prefilling,
            prefill_tokens,
        },
    );
    let others = (prop::option::weighted(0.9, load), any::<u32>())
        .prop_map(|(load, age_ms)| proto::OthersInFlight { load, age_ms });
    prop::option::of(others)
}

fn any_step_model() -> impl Strategy<Value = Option<proto::StepModel>> {
    let coefficient = || {
        prop_oneof![
            6 => 0.0f32..10_000.0,
            1 => any::<f32>(),
            1 => prop::sample::select(vec![f32::NAN, f32::INFINITY, -0.0, 0.0, -1.0, 1e9]),
        ]
    };
    let model = (coefficient(), coefficient(), coefficient(), any::<u32>()).prop_map(
        |(base_us, token_us, kv_token_us, age_ms)| proto::StepModel {
            base_us,
            token_us,
            kv_token_us,
            age_ms,
        },
    );
    prop::option::of(model)
}

fn any_lora() -> impl Strategy<Value = Option<proto::Lora>> {
    let list = || prop::collection::vec(any_name(), 0..4);
    let lora = (list(), list(), list(), any::<u32>(), any::<u32>()).prop_map(
        |(active, waiting, registered, max, age_ms)| proto::Lora {
            active,
            waiting,
            registered,
            max,
            age_ms,
        },
    );
    prop::option::of(lora)
}

fn any_id() -> impl Strategy<Value = Option<proto::EndpointId>> {
    let ip = prop_oneof![
        20 => prop::collection::vec(any::<u8>(), 4),
        20 => prop::collection::vec(any::<u8>(), 16),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ];
    let port = prop_oneof![40 => 1u32..65_536, 1 => any::<u32>()];
    let id = (ip, port, any::<u64>()).prop_map(|(ip, port, generation)| proto::EndpointId {
        ip,
        port,
        generation,
    });
    prop::option::weighted(0.98, id)
}

fn any_endpoint() -> impl Strategy<Value = proto::Endpoint> {
    let gauges = prop::array::uniform4(any_gauge());
    let learned = (any_others(), any_step_model());
    let health = prop_oneof![3 => 0i32..4, 1 => any::<i32>()];
    let factor = || prop_oneof![3 => 0.01f32..100.0, 1 => any::<f32>(), 1 => Just(0.0)];
    let factors = (factor(), factor());
    let constants = prop::array::uniform3(any::<Option<u32>>());
    (
        any_id(),
        health,
        factors,
        gauges,
        learned,
        any_lora(),
        constants,
    )
        .prop_map(
            |(id, health, (weight, price), gauges, learned, lora, constants)| {
                let [waiting, running, kv_usage, mean_output_tokens] = gauges;
                let (others_in_flight, step_model) = learned;
                let [kv_block_size, kv_blocks, max_model_len] = constants;
                proto::Endpoint {
                    id,
                    health,
                    weight,
                    price,
                    waiting,
                    running,
                    kv_usage,
                    lora,
                    others_in_flight,
                    step_model,
                    mean_output_tokens,
                    kv_block_size,
                    kv_blocks,
                    max_model_len,
                }
            },
        )
}

/// Checks that what the mirror holds goes through the slot unchanged.
fn fits_the_slot(mirror: &PoolMirror) -> Result<(), TestCaseError> {
    if let Some(held) = mirror.snapshot() {
        let read = slot::pool::decode(&slot::pool::encode(held));
        prop_assert_eq!(read.as_ref(), Ok(held));
    }
    Ok(())
}

fn published(sequence: u64) -> Option<proto::Version> {
    Some(crate::convert::version_to_proto(version(1, 1, sequence)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(3_000)))]

    #[test]
    fn whatever_is_taken_fits_the_slot(
        endpoints in prop::collection::vec(any_endpoint(), 0..6),
        upserts in prop::collection::vec(any_endpoint(), 0..4),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let ids: Vec<_> = endpoints.iter().filter_map(|endpoint| endpoint.id.clone()).collect();
        let mut mirror = PoolMirror::new("pool");
        let snapshot = proto::Snapshot { pool: "pool".to_owned(), version: published(1), endpoints };
        let taken = mirror.apply_snapshot(snapshot, NOW).is_ok();
        prop_assert_eq!(mirror.snapshot().is_some(), taken);
        fits_the_slot(&mirror)?;
        let delta = proto::Delta {
            pool: "pool".to_owned(),
            version: published(2),
            base_sequence: 1,
            upserts,
            removals: removed
                .iter()
                .filter(|_| !ids.is_empty())
                .map(|index| index.get(&ids).clone())
                .collect(),
        };
        let before = mirror.snapshot().cloned();
        if mirror.apply_delta(delta, NOW).is_err() {
            prop_assert_eq!(mirror.snapshot(), before.as_ref(), "a refusal changes nothing");
        }
        fits_the_slot(&mirror)?;
    }

    /// Real messages with some bytes changed, as a broken or hostile peer would send them.
    #[test]
    fn mutated_messages_never_panic(
        seed: u64,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut random = SplitMix64::new(seed);
        let mut old = random_pool(4, NOW, &mut random);
        old.version = version(1, 1, 1);
        let mut new = random_pool(5, NOW, &mut random);
        new.version = version(1, 1, 2);
        let snapshot = snapshot_to_proto(&old, NOW).encode_to_vec();
        let delta = delta_to_proto(&old, &new, NOW).encode_to_vec();
        let spoil = |mut bytes: Vec<u8>| {
            for (index, byte) in &edits {
                let at = index.index(bytes.len());
                bytes[at] = *byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            bytes
        };
        let mut mirror = PoolMirror::new("pool");
        if let Ok(raw) = proto::Snapshot::decode(spoil(snapshot.clone()).as_slice()) {
            let _refused = mirror.apply_snapshot(raw, NOW).is_err();
        }
        fits_the_slot(&mirror)?;
        let mut mirror = PoolMirror::new("pool");
        let sound = proto::Snapshot::decode(snapshot.as_slice());
        prop_assert!(mirror.apply_snapshot(sound.expect("sound bytes"), NOW).is_ok());
        if let Ok(raw) = proto::Delta::decode(spoil(delta).as_slice()) {
            let _refused = mirror.apply_delta(raw, NOW).is_err();
        }
        fits_the_slot(&mirror)?;
    }

    #[test]
    fn a_delta_leads_from_any_pool_to_any_other(seed: u64, from in 0usize..30, to in 0usize..30) {
        let mut random = SplitMix64::new(seed);
        let mut old = random_pool(from, NOW, &mut random);
        old.version = version(1, 1, 1);
        let mut new = random_pool(to, NOW, &mut random);
        // Some endpoints stay as they were, others change under the same id.
        for (index, endpoint) in new.endpoints.iter_mut().enumerate() {
            let same: Option<&Endpoint> = old.endpoints.get(index);
            if let Some(same) = same.filter(|same| same.id.address == endpoint.id.address) {
                match index % 3 {
                    0 => *endpoint = same.clone(),
                    1 => endpoint.id = same.id,
                    _ => {}
                }
            }
        }
        new.version = version(1, 1, 2);
        let mut mirror = PoolMirror::new("pool");
        prop_assert!(mirror.apply_snapshot(snapshot_to_proto(&old, NOW), NOW).is_ok());
        prop_assert!(mirror.apply_delta(delta_to_proto(&old, &new, NOW), NOW).is_ok());
        prop_assert_eq!(mirror.snapshot(), Some(&new));
    }
}
