#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::{
    endpoint::EndpointId,
    entropy::{Entropy, SplitMix64},
};

fn index(slots: u32, capacity: usize) -> PrefixIndex {
    let mut index = PrefixIndex::new(PrefixConfig::default());
    for slot in 0..slots {
        index.set_capacity(slot, capacity);
    }
    index
}

fn matched(index: &mut PrefixIndex, hashes: &[u64], bound: usize) -> Vec<u32> {
    let mut matched = Vec::new();
    if !index.match_into(hashes, bound, &mut matched) {
        assert!(matched.is_empty());
        matched.resize(bound, 0);
    }
    matched
}

#[test]
fn a_match_counts_from_the_first_block_to_the_first_gap() {
    let mut index = index(3, 10);
    index.insert(0, &[1, 2, 3]);
    index.insert(1, &[1, 2, 9, 4]);
    index.insert(2, &[2, 3]);
    assert_eq!(matched(&mut index, &[1, 2, 3, 4], 3), [3, 2, 0]);
    assert_eq!(matched(&mut index, &[7], 3), [0, 0, 0]);
    assert_eq!(matched(&mut index, &[], 3), [0, 0, 0]);
}

#[test]
fn the_tail_is_forgotten_before_the_head() {
    let mut index = index(1, 4);
    index.insert(0, &[1, 2, 3, 4]);
    index.insert(0, &[9]);
    assert_eq!(matched(&mut index, &[1, 2, 3, 4], 1), [3]);
    index.insert(0, &[21, 22, 23, 24, 25, 26]);
    assert_eq!(matched(&mut index, &[21, 22, 23, 24, 25, 26], 1), [4]);
}

#[test]
fn a_slot_that_is_forgotten_holds_nothing_and_takes_no_memory() {
    let mut index = index(2, 10);
    index.insert(0, &[1, 2]);
    index.insert(1, &[1]);
    index.forget(0);
    assert_eq!(matched(&mut index, &[1, 2], 2), [0, 1]);
    index.forget(1);
    assert_eq!(index.holders.len(), 0);
}

#[test]
fn capacity_follows_the_engine_within_the_bounds() {
    let index = PrefixIndex::new(PrefixConfig {
        block_bytes: 256,
        max_bytes: 16_384,
        capacity_blocks: 1_000,
        total_blocks: 4_000,
    });
    let mut endpoint = Endpoint::new(EndpointId {
        address: ([10, 0, 0, 1], 1).into(),
        generation: 0,
    });
    assert_eq!(
        index.capacity_of(&endpoint, 1),
        1_000,
        "unknown: the configured bound"
    );
    assert_eq!(
        index.capacity_of(&endpoint, 8),
        500,
        "its share of the total"
    );
    assert_eq!(index.capacity_of(&endpoint, 4_000), 64, "but never nothing");
    endpoint.signals.kv_blocks = Some(1_000);
    assert_eq!(
        index.capacity_of(&endpoint, 1),
        1_000,
        "half known is unknown"
    );
    endpoint.signals.kv_block_size = Some(16);
    assert_eq!(
        index.capacity_of(&endpoint, 1),
        250,
        "1,000 x 16 tokens x 4 / 256"
    );
    endpoint.signals.kv_blocks = Some(u32::MAX);
    endpoint.signals.kv_block_size = Some(u32::MAX);
    assert_eq!(
        index.capacity_of(&endpoint, 1),
        1_000,
        "no claim exceeds the bound"
    );
    endpoint.signals.kv_blocks = Some(0);
    assert_eq!(index.capacity_of(&endpoint, 1), 1);
}

/// Against the plain reading of the rules: a list of blocks per slot, most recent last.
#[test]
fn it_agrees_with_plain_lists_over_many_steps() {
    const SLOTS: u32 = 70;
    let mut entropy = SplitMix64::new(5);
    let mut index = index(SLOTS, 12);
    let mut model: Vec<(usize, Vec<u64>)> = vec![(12, Vec::new()); SLOTS as usize];
    for step in 0..20_000 {
        let at = entropy.below(SLOTS as usize);
        let (capacity, held) = &mut model[at];
        let slot = at as u32;
        match entropy.below(40) {
            0 => {
                index.forget(slot);
                held.clear();
            }
            1 => {
                *capacity = 1 + entropy.below(20);
                index.set_capacity(slot, *capacity);
                held.drain(..held.len().saturating_sub(*capacity));
            }
            _ => {
                let prompt = prompt(&mut entropy);
                index.insert(slot, &prompt);
                for hash in prompt.iter().take(*capacity).rev() {
                    held.retain(|other| other != hash);
                    held.drain(..(held.len() + 1).saturating_sub(*capacity));
                    held.push(*hash);
                }
            }
        }
        if step % 10 == 0 {
            let prompt = prompt(&mut entropy);
            let expected: Vec<u32> = model
                .iter()
                .map(|(_, held)| {
                    prompt.iter().take_while(|hash| held.contains(hash)).count() as u32
                })
                .collect();
            assert_eq!(
                matched(&mut index, &prompt, SLOTS as usize),
                expected,
                "step {step}"
            );
        }
        let total: usize = model.iter().map(|(_, held)| held.len()).sum();
        assert_eq!(index.len(), total, "step {step}");
    }
    for slot in 0..SLOTS {
        index.forget(slot);
    }
    assert_eq!(index.holders.len(), 0, "holders leak");
}

/// A prompt out of a small tree of prompts, so that heads are shared.
fn prompt(entropy: &mut SplitMix64) -> Vec<u64> {
    let mut hash = 1;
    (0..1 + entropy.below(8))
        .map(|_| {
            hash = hash * 3 + entropy.below(2) as u64;
            hash
        })
        .collect()
}
