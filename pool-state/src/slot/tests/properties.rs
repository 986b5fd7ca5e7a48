//! Properties over many generated values; natively only, proptest is not built for wasm here.

use picker::{EndpointId, InFlight, Millis, SplitMix64};
use proptest::prelude::*;

use super::{
    hostile::keeps_the_contract,
    in_flight,
    in_flight::{InFlightTable, TableWriter},
    lease,
    lease::Lease,
    pool, reseal, samples, verdicts, version,
};
use crate::testing::{cases, random_pool};

fn any_id() -> impl Strategy<Value = EndpointId> {
    (any::<std::net::IpAddr>(), 1u16.., any::<u64>()).prop_map(|(ip, port, generation)| {
        EndpointId {
            address: (ip, port).into(),
            generation,
        }
    })
}

fn any_load() -> impl Strategy<Value = InFlight> {
    (any::<u32>(), any::<u64>(), any::<u32>(), any::<u64>()).prop_map(
        |(requests, tokens, prefilling, prefill_tokens)| InFlight {
            requests,
            tokens,
            prefilling,
            prefill_tokens,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(2_000)))]

    #[test]
    fn any_pool_survives_the_round_trip(
        seed: u64,
        count in 0usize..40,
        now in 0u64..u64::MAX,
    ) {
        let pool = random_pool(count, Millis(now), &mut SplitMix64::new(seed));
        prop_assert_eq!(pool::decode(&pool::encode(&pool)), Ok(pool));
    }

    #[test]
    fn any_table_survives_the_round_trip(
        owner: u64,
        beat: u64,
        loads in prop::collection::vec((any_id(), any_load()), 0..20),
    ) {
        let table = InFlightTable { owner, beat: Millis(beat), loads };
        let mut writer = TableWriter::new(vec![0xff; 300], owner, table.beat, 3);
        for (endpoint, load) in &table.loads {
            writer.push(*endpoint, *load);
        }
        prop_assert_eq!(writer.seal(), in_flight::encode(&table), "and into used memory");
        prop_assert_eq!(in_flight::decode(&in_flight::encode(&table)), Ok(table));
    }

    #[test]
    fn any_lease_and_version_survive_the_round_trip(owner: u64, expires: u64) {
        let lease = Lease { owner, expires: Millis(expires) };
        prop_assert_eq!(lease::decode(&lease::encode(&lease)), Ok(lease));
        prop_assert_eq!(version::decode(&version::encode(owner)), Ok(owner));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(20_000)))]

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for verdict in verdicts(&bytes) {
            prop_assert!(verdict.is_err());
        }
    }

    /// A right frame round random content: the content checks stand alone.
    #[test]
    fn framed_random_bytes_never_panic(
        kind in 1u8..=4,
        content in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut value = vec![b'z', b'h', b'p', b's', kind, 2, 0, 0, 0, 0, 0, 0];
        value.extend_from_slice(&content);
        value.extend_from_slice(&[0; 8]);
        reseal(&mut value);
        prop_assert!(verdicts(&value).iter().filter(|verdict| verdict.is_ok()).count() <= 1);
        if let Ok(pool) = pool::decode(&value) {
            prop_assert!(keeps_the_contract(&pool));
        }
    }

    /// Words that matter to a length-prefixed format, written over a right value.
    #[test]
    fn overwritten_words_never_let_a_lie_through(
        which in 0usize..4,
        at in any::<prop::sample::Index>(),
        word in prop::sample::select(vec![
            0u32, 1, 2, 0xff, 0x100, 0xffff, 0x1_0000, 10_000, 10_001, u32::MAX / 136, u32::MAX,
            f32::NAN.to_bits(), f32::INFINITY.to_bits(), (-1.0f32).to_bits(), 1.005f32.to_bits(),
            (-0.0f32).to_bits(), 1e30f32.to_bits(), f32::MIN_POSITIVE.to_bits() - 1,
        ]),
    ) {
        let mut value = samples()[which].clone();
        let at = 12 + at.index(value.len() - 12 - 4);
        value[at..at + 4].copy_from_slice(&word.to_le_bytes());
        reseal(&mut value);
        prop_assert!(verdicts(&value).iter().filter(|verdict| verdict.is_ok()).count() <= 1);
        if let Ok(pool) = pool::decode(&value) {
            prop_assert!(keeps_the_contract(&pool));
        }
    }
}
