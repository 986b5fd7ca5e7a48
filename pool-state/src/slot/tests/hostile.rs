//! Bytes that nobody of ours wrote. Every decoder must refuse them, and none may panic or allocate
//! more than the value's own size explains.

use picker::{Entropy, SplitMix64};

use super::{SlotError, pool, reseal, samples, verdicts};
use crate::testing::{names, sample};

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn an_empty_value_is_told_apart() {
    assert_eq!(verdicts(&[]), [Err(SlotError::Empty); 6]);
}

#[test]
fn a_value_cut_anywhere_is_refused() {
    for value in samples() {
        for length in 0..value.len() {
            for verdict in verdicts(&value[..length]) {
                assert!(verdict.is_err(), "{length} of {} bytes", value.len());
            }
        }
    }
}

#[test]
fn a_value_cut_and_sealed_again_is_refused() {
    for value in samples() {
        for length in 12..value.len() - 8 {
            let mut cut = value[..length].to_vec();
            cut.extend_from_slice(&[0; 8]);
            reseal(&mut cut);
            for verdict in verdicts(&cut) {
                assert!(verdict.is_err(), "{length} of {} bytes", value.len());
            }
        }
    }
}

#[test]
fn each_flipped_bit_is_noticed() {
    for value in samples() {
        for bit in 0..value.len() * 8 {
            let mut flipped = value.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            for verdict in verdicts(&flipped) {
                assert!(verdict.is_err(), "bit {bit} of {}", value.len() * 8);
            }
        }
    }
}

/// A flipped bit under a right checksum may make another valid pool, but then exactly that pool's
/// encoding: no two byte strings mean the same.
#[test]
fn each_flipped_bit_under_a_right_checksum_is_canonical_or_refused() {
    let value = pool::encode(&sample());
    let mut read = 0;
    for bit in 12 * 8..(value.len() - 8) * 8 {
        let mut flipped = value.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        reseal(&mut flipped);
        if let Ok(pool) = pool::decode(&flipped)
            && !moves_time(bit / 8)
        {
            read += 1;
            assert_eq!(pool::encode(&pool), flipped, "bit {bit}");
        }
    }
    assert!(
        read > 100,
        "most bits of numbers make other numbers, {read} did"
    );
}

/// Whether a byte of the sample belongs to `base` or to an age: the same moments can be written
/// relative to any later base.
fn moves_time(byte: usize) -> bool {
    const RECORDS: usize = 12 + 49 + 4 + 5 + 6 + 8 + 4;
    let base = 12 + 32..12 + 40;
    let in_record = byte.wrapping_sub(RECORDS) % 136;
    let is_age = (RECORDS..RECORDS + 3 * 136).contains(&byte)
        && matches!(in_record, 44..48 | 52..56 | 60..64 | 68..76 | 100..104 | 116..120);
    base.contains(&byte) || is_age
}

#[test]
fn each_mistake_of_the_frame_has_its_name() {
    let [value, ..] = samples();
    let spoilt = |offset: usize, byte: u8| {
        let mut value = value.clone();
        value[offset] = byte;
        reseal(&mut value);
        pool::decode(&value).expect_err("a spoilt value")
    };
    assert_eq!(spoilt(0, b'Z'), SlotError::Magic);
    assert_eq!(
        spoilt(4, 3),
        SlotError::Kind {
            expected: 1,
            got: 3
        }
    );
    assert_eq!(
        spoilt(5, 1),
        SlotError::Layout {
            expected: 2,
            got: 1
        }
    );
    assert!(matches!(
        spoilt(6, 1),
        SlotError::Field { field: "frame", .. }
    ));
    let mut longer = value.clone();
    longer.push(0);
    assert!(matches!(
        pool::decode(&longer),
        Err(SlotError::Length { .. })
    ));
    let mut changed = value.clone();
    changed[20] ^= 1;
    assert_eq!(pool::decode(&changed), Err(SlotError::Checksum));
    let mut padded = value.clone();
    let end = padded.len() - 8;
    padded.splice(end..end, [0; 5]);
    reseal(&mut padded);
    assert_eq!(pool::decode(&padded), Err(SlotError::Trailing(5)));
    assert!(matches!(
        pool::decode(b"zhps"),
        Err(SlotError::Truncated { .. })
    ));
}

#[test]
fn hostile_counts_allocate_nothing() {
    const NAMES: usize = 12 + 49;
    const ENDPOINTS: usize = NAMES + 4 + 5 + 6 + 8;
    let [value, table, ..] = samples();
    for count in [4, 10_001, 1 << 20, u32::MAX / 136, u32::MAX / 2, u32::MAX] {
        for offset in [NAMES, ENDPOINTS] {
            let mut value = value.clone();
            value[offset..offset + 4].copy_from_slice(&count.to_le_bytes());
            reseal(&mut value);
            assert!(
                pool::decode(&value).is_err(),
                "{count} elements at {offset}"
            );
        }
        let mut table = table.clone();
        table[12 + 16..12 + 20].copy_from_slice(&count.to_le_bytes());
        reseal(&mut table);
        assert!(super::in_flight::decode(&table).is_err(), "{count} loads");
    }
    for (offset, list) in [(0, "active"), (2, "waiting"), (4, "registered")] {
        let mut value = value.clone();
        let at = ENDPOINTS + 4 + 3 * 136 + offset;
        value[at..at + 2].copy_from_slice(&u16::MAX.to_le_bytes());
        reseal(&mut value);
        assert!(pool::decode(&value).is_err(), "65,535 adapters {list}");
    }
}

#[test]
fn a_table_that_names_an_adapter_twice_is_refused() {
    let mut pool = sample();
    pool.endpoints.truncate(1);
    let lora = pool.endpoints[0].signals.lora.as_mut().expect("lora");
    lora.value.active = names(&["first", "other"]);
    lora.value.waiting.clear();
    lora.value.registered.clear();
    let mut value = pool::encode(&pool);
    let at = value
        .windows(5)
        .position(|bytes| bytes == b"other")
        .expect("the name");
    value[at..at + 5].copy_from_slice(b"first");
    reseal(&mut value);
    let refusal = SlotError::Field {
        field: "adapter name",
        index: 1,
    };
    assert_eq!(pool::decode(&value), Err(refusal));
}

/// Random edits under a right checksum: the content checks alone stand between a hostile writer and
/// the picker.
#[test]
fn random_edits_never_panic_and_never_let_a_lie_through() {
    let mut random = SplitMix64::new(12);
    let samples = samples();
    let (mut refused, mut read) = (0, 0);
    for _ in 0..30_000 {
        let mut value = samples[random.below(samples.len())].clone();
        for _ in 0..=random.below(4) {
            let at = 4 + random.below(value.len() - 4);
            match random.below(5) {
                0 => value[at] = random.next_u64() as u8,
                1 => value[at] ^= 1 << random.below(8),
                2 => value.insert(at, [0, 0xff, 1][random.below(3)]),
                3 if value.len() > 24 => {
                    value.remove(at);
                }
                _ => value.truncate(20.max(at)),
            }
        }
        reseal(&mut value);
        let verdicts = verdicts(&value);
        refused += verdicts.iter().filter(|verdict| verdict.is_err()).count();
        if let Ok(pool) = pool::decode(&value) {
            read += 1;
            assert!(keeps_the_contract(&pool), "{pool:?}");
        }
    }
    assert!(
        read > 100 && refused > 10_000,
        "read {read}, refused {refused}"
    );
}

/// Written without the decoder's own checks.
pub(super) fn keeps_the_contract(pool: &picker::PoolSnapshot) -> bool {
    let sorted = pool
        .endpoints
        .windows(2)
        .all(|pair| pair[0].id < pair[1].id);
    let credible = pool.endpoints.iter().all(|endpoint| {
        let signals = &endpoint.signals;
        let load = |value: f32| value.is_finite() && (0.0..=1e6).contains(&value);
        endpoint.id.address.port() != 0
            && (0.01..=100.0).contains(&endpoint.weight)
            && signals.waiting.is_none_or(|waiting| load(waiting.value))
            && signals.running.is_none_or(|running| load(running.value))
            && signals
                .kv_usage
                .is_none_or(|usage| (0.0..=1.0).contains(&usage.value))
            && (0.01..=100.0).contains(&endpoint.price)
            && signals
                .mean_output_tokens
                .is_none_or(|mean| (1.0..=1e6).contains(&mean.value))
            && signals.others_in_flight.is_none_or(|others| {
                let load = others.value;
                load.requests <= 1_000_000
                    && load.prefilling <= load.requests
                    && load.tokens.max(load.prefill_tokens) <= 1_000_000_000_000
            })
            && signals.step_model.is_none_or(|model| {
                let model = model.value;
                let coefficients = [model.base_us, model.token_us, model.kv_token_us];
                coefficients.iter().all(|one| (0.0..=1e7).contains(one))
                    && model.base_us + model.token_us >= 1.0
            })
            && signals.max_model_len != Some(0)
            && signals.kv_block_size != Some(0)
            && signals.kv_blocks != Some(0)
            && signals.lora.as_ref().is_none_or(|lora| {
                let lists = [
                    &lora.value.active,
                    &lora.value.waiting,
                    &lora.value.registered,
                ];
                lists.iter().all(|list| {
                    list.len() <= 512 && list.iter().all(|name| (1..=1_024).contains(&name.len()))
                })
            })
    });
    !pool.pool.is_empty() && pool.pool.len() <= 128 && sorted && credible
}
