#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::{
    endpoint::Endpoint,
    entropy::{Entropy, SplitMix64},
    freshness::Ladder,
    learn::Learned,
    time::Millis,
    view::PoolView,
};

const KEYS: usize = 20_000;

fn pool(count: u8) -> Vec<Endpoint> {
    (0..count)
        .map(|host| EndpointId {
            address: ([10, 0, 0, host], 8000).into(),
            generation: u64::from(host) << 32,
        })
        .map(Endpoint::new)
        .collect()
}

/// Who of `endpoints` is the favourite of `key`.
fn winner(key: u64, endpoints: &[Endpoint]) -> EndpointId {
    let candidates: Vec<u32> = (0..).take(endpoints.len()).collect();
    let position = favourite_of(key, endpoints, &candidates).expect("candidates");
    endpoints[position as usize].id
}

fn favourite_of(key: u64, endpoints: &[Endpoint], candidates: &[u32]) -> Option<u32> {
    let facts = RequestFacts::default();
    favourite(
        key,
        &Round {
            facts: &facts,
            view: PoolView {
                endpoints,
                local: &[],
                now: Millis(0),
            },
            candidates,
            slots: candidates,
            matched: &[],
            ladder: &Ladder::default(),
            learned: &Learned::default(),
            choices: 3,
        },
    )
}

fn keys() -> impl Iterator<Item = u64> {
    let mut entropy = SplitMix64::new(8);
    (0..KEYS).map(move |_| entropy.next_u64())
}

#[test]
fn the_order_of_the_members_does_not_matter() {
    let endpoints = pool(13);
    let mut shuffled = endpoints.clone();
    shuffled.reverse();
    shuffled.swap(2, 9);
    for key in keys().take(2_000) {
        assert_eq!(winner(key, &endpoints), winner(key, &shuffled));
    }
}

/// Gateways of other builds and machines rely on these.
#[test]
fn the_choice_is_fixed_for_all_time() {
    let mut endpoints = pool(7);
    endpoints.extend([2, 3].map(|host| {
        Endpoint::new(EndpointId {
            address: ([0x2001, 0xdb8, 0, 0, 0, 0, 0, host], 443).into(),
            generation: u64::MAX,
        })
    }));
    let candidates: Vec<u32> = (0..9).collect();
    let chosen = |endpoints: &[Endpoint]| {
        keys()
            .take(12)
            .map(|key| favourite_of(key, endpoints, &candidates).expect("candidates"))
            .collect::<Vec<_>>()
    };
    assert_eq!(chosen(&endpoints), EQUAL);
    endpoints[4].weight = 3.0;
    assert_eq!(chosen(&endpoints), WITH_A_STRONG_FIFTH);
}

const EQUAL: [u32; 12] = [5, 5, 3, 1, 0, 7, 2, 2, 4, 4, 4, 4];
const WITH_A_STRONG_FIFTH: [u32; 12] = [5, 5, 3, 1, 0, 7, 2, 4, 4, 4, 4, 4];

#[test]
fn only_candidates_win_and_none_of_none() {
    let endpoints = pool(9);
    for key in keys().take(500) {
        let position = favourite_of(key, &endpoints, &[1, 4, 7]).expect("candidates");
        assert!([1, 4, 7].contains(&position));
        assert_eq!(favourite_of(key, &endpoints, &[]), None);
    }
}

#[test]
fn keys_spread_evenly_even_when_they_are_in_a_row() {
    let endpoints = pool(10);
    for stride in [1, 1 << 16, 1 << 32, 1 << 48, 0x9e37_79b9_7f4a_7c15] {
        let mut counts = [0usize; 10];
        for step in 0..KEYS as u64 {
            let id = winner(step.wrapping_mul(stride), &endpoints);
            let at = endpoints.iter().position(|endpoint| endpoint.id == id);
            counts[at.expect("a member")] += 1;
        }
        for count in counts {
            assert!((1_800..2_200).contains(&count), "{stride:#x}: {counts:?}");
        }
    }
}

#[test]
fn shares_follow_the_weights() {
    let mut endpoints = pool(4);
    for (endpoint, weight) in endpoints.iter_mut().zip([1.0, 2.0, 0.5, 4.5]) {
        endpoint.weight = weight;
    }
    let mut counts = [0.0; 4];
    for key in keys() {
        let id = winner(key, &endpoints);
        let at = endpoints.iter().position(|endpoint| endpoint.id == id);
        counts[at.expect("a member")] += 1.0;
    }
    for (count, weight) in counts.iter().zip([1.0, 2.0, 0.5, 4.5]) {
        let expected = KEYS as f64 * weight / 8.0;
        assert!((count / expected - 1.0).abs() < 0.08, "{counts:?}");
    }
}

#[test]
fn a_leaver_moves_its_own_keys_and_a_joiner_takes_only_its_share() {
    let mut before = pool(10);
    before[3].weight = 2.0;
    let mut after = before.clone();
    let gone = after.remove(6).id;
    let mut moved = 0;
    for key in keys() {
        let (old, new) = (winner(key, &before), winner(key, &after));
        if old == gone {
            moved += 1;
            assert_ne!(new, gone);
        } else {
            assert_eq!(old, new, "a key of an endpoint that stayed has moved");
        }
    }
    let expected = KEYS / 11;
    assert!(
        moved > expected * 8 / 10 && moved < expected * 12 / 10,
        "{moved} moved"
    );
}

#[test]
fn a_restart_is_another_endpoint() {
    let before = pool(5);
    let mut after = before.clone();
    after[2].id.generation += 1;
    let kept = keys()
        .filter(|key| winner(*key, &before) == before[2].id)
        .filter(|key| winner(*key, &after) == after[2].id)
        .count();
    assert!(kept < KEYS / 5 / 3, "{kept} keys returned by chance");
}

#[test]
fn hostile_weights_choose_somebody() {
    for weight in [f32::NAN, f32::INFINITY, 0.0, -1.0, f32::MIN_POSITIVE] {
        let mut endpoints = pool(3);
        endpoints[1].weight = weight;
        for key in [0, 1, u64::MAX] {
            assert!(favourite_of(key, &endpoints, &[0, 1, 2]).is_some());
        }
    }
}

#[test]
fn the_logarithm_is_one() {
    for draw in keys().chain([0, 1, 2, 3, u64::MAX, 1 << 63, (1 << 63) - 1]) {
        let value = minus_ln(draw);
        assert!(value.is_finite() && value >= -1e-4, "{draw}: {value}");
        if draw > 0 {
            let exact = -(draw as f64 / 2f64.powi(64)).ln();
            assert!((value - exact).abs() < 2e-5, "{draw}: {value}, not {exact}");
        }
    }
}

#[test]
fn the_key_is_the_hash_at_the_first_kib() {
    let facts = |blocks: u64| RequestFacts {
        prefix: (0..blocks).map(|block| 100 + block).collect(),
        ..RequestFacts::default()
    };
    for (blocks, block_bytes, key) in [
        (0, 256, None),
        (1, 256, Some(100)),
        (3, 256, Some(102)),
        (4, 256, Some(103)),
        (64, 256, Some(103)),
        (64, 512, Some(101)),
        (64, 4_096, Some(100)),
        (64, 100, Some(109)),
        (64, 0, Some(163)),
    ] {
        assert_eq!(
            key_of(&facts(blocks), block_bytes),
            key,
            "{blocks} of {block_bytes}"
        );
    }
}
