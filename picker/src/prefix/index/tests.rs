#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::{
    endpoint::EndpointId,
    entropy::{Entropy, SplitMix64},
};

mod exact_lru;

/// Bytes of a block in these tests.
const BLOCK: u32 = 256;

fn index(slots: u32, capacity: usize) -> PrefixIndex {
    let mut index = PrefixIndex::new(PrefixConfig::default());
    for slot in 0..slots {
        index.set_capacity(slot, capacity);
    }
    index
}

/// A prompt of these blocks and of turns that end at these bytes.
fn facts(prefix: &[u64], turns: &[(u64, u32)]) -> RequestFacts {
    let turn = |(hash, end_bytes): &(u64, u32)| Turn {
        hash: *hash,
        end_bytes: *end_bytes,
    };
    RequestFacts {
        prefix: prefix.to_vec(),
        turns: turns.iter().map(turn).collect(),
        ..RequestFacts::default()
    }
}

fn matched(index: &mut PrefixIndex, facts: &RequestFacts, bound: u32) -> Vec<u32> {
    let mut matched = vec![7];
    index.match_into(facts, 0..bound, bound as usize, &mut matched);
    if matched.is_empty() {
        matched.resize(bound as usize, 0);
    }
    matched
}

/// Distinct blocks that look like hashes, in a row for each `seed`.
fn blocks(seed: u64, count: usize) -> Vec<u64> {
    let mut entropy = SplitMix64::new(seed);
    (0..count).map(|_| entropy.next_u64()).collect()
}

#[test]
fn a_match_counts_from_the_first_block_to_the_first_gap() {
    let mut index = index(3, 100);
    let [a, b, c, d, e] = [11, 22, 33, 44, 55];
    index.insert(0, &[a, b, c], None);
    index.insert(1, &[a, b, e, d], None);
    index.insert(2, &[b, c], None);
    assert_eq!(
        matched(&mut index, &facts(&[a, b, c, d], &[]), 3),
        [3 * BLOCK, 2 * BLOCK, 0]
    );
    assert_eq!(matched(&mut index, &facts(&[77], &[]), 3), [0, 0, 0]);
    assert_eq!(matched(&mut index, &facts(&[], &[]), 3), [0, 0, 0]);
}

#[test]
fn only_the_slots_that_are_asked_for_are_looked_at() {
    let mut index = index(4, 100);
    for slot in 0..4 {
        index.insert(slot, &[5], None);
    }
    let mut matched = Vec::new();
    index.match_into(&facts(&[5], &[]), [1, 3, 900].into_iter(), 4, &mut matched);
    assert_eq!(matched, [0, BLOCK, 0, BLOCK]);
}

#[test]
fn a_slot_that_is_forgotten_holds_nothing_and_takes_no_memory() {
    let mut index = index(2, 100);
    index.insert(0, &[1, 2], Some(3));
    index.insert(1, &[1], None);
    index.forget(0);
    assert_eq!(matched(&mut index, &facts(&[1, 2], &[]), 2), [0, BLOCK]);
    assert_eq!(index.slots[0].table.places(), 0);
}

#[test]
fn nothing_is_allocated_before_the_first_prompt() {
    let mut index = index(50, 30_000);
    assert!(index.slots.iter().all(|slot| slot.table.places() == 0));
    index.insert(3, &[], None);
    assert_eq!(index.slots[3].table.places(), 0);
    index.insert(3, &[1], None);
    assert_eq!(index.slots[3].table.places(), 37_504);
}

#[test]
fn an_answer_counts_where_it_was_generated() {
    let mut index = index(3, 100);
    let [a, b, c, d] = [11, 22, 33, 44];
    // System and question, 600 bytes, went to slot 1; the next question makes it 1,500.
    index.insert(1, &[a, b], Some(902));
    index.insert(2, &[a, b], None);
    let next = facts(
        &[a, b, c, d],
        &[(901, 400), (902, 600), (903, 1_400), (904, 1_500)],
    );
    assert_eq!(
        matched(&mut index, &next, 3),
        [0, 1_400, 2 * BLOCK],
        "the answer ends at 1,400"
    );
    // The request itself, sent to slot 2, makes all whole blocks of it cached there, and nobody
    // has answered it before.
    index.insert(2, &next.prefix, Some(904));
    assert_eq!(matched(&mut index, &next, 3), [0, 1_400, 4 * BLOCK]);
}

#[test]
fn the_last_turn_that_is_known_counts() {
    let mut index = index(1, 100);
    let prefix = blocks(1, 8);
    index.insert(0, &prefix[..1], Some(901));
    index.insert(0, &prefix[..3], Some(903));
    let turns = [
        (901, 300),
        (902, 700),
        (903, 900),
        (904, 1_700),
        (905, 2_000),
    ];
    assert_eq!(matched(&mut index, &facts(&prefix, &turns), 1), [1_700]);
    assert_eq!(
        matched(&mut index, &facts(&prefix, &turns[..3]), 1),
        [3 * BLOCK],
        "the last turn of a request has no answer yet"
    );
    assert_eq!(
        matched(&mut index, &facts(&prefix, &turns[..2]), 1),
        [3 * BLOCK],
        "an answer that ends within the blocks adds nothing"
    );
}

#[test]
fn a_chat_shorter_than_a_block_is_known_by_its_turns() {
    let mut index = index(2, 100);
    index.insert(1, &[], Some(901));
    let next = facts(&[], &[(901, 90), (902, 190), (903, 240)]);
    assert_eq!(matched(&mut index, &next, 2), [0, 190]);
}

#[test]
fn a_turn_whose_blocks_are_gone_does_not_count() {
    let mut index = index(1, 100);
    index.insert(0, &[11, 22, 33], Some(901));
    let next = facts(&[11, 22, 33, 44], &[(901, 800), (902, 1_050)]);
    assert_eq!(matched(&mut index, &next, 1), [1_050]);
    index.slots[0].table.forget(33);
    assert_eq!(matched(&mut index, &next, 1), [2 * BLOCK]);
}

#[test]
fn the_prefix_of_one_endpoint_and_the_turn_of_another_do_not_mix() {
    let mut index = index(2, 100);
    index.insert(0, &[11, 22], None);
    index.insert(1, &[], Some(901));
    let next = facts(&[11, 22, 33], &[(901, 600), (902, 800)]);
    assert_eq!(matched(&mut index, &next, 2), [2 * BLOCK, 0]);
}

fn note(prefix: &[u64], turn: Option<u64>, cached_blocks: u32) -> PrefixNote {
    PrefixNote {
        endpoint: EndpointId {
            address: ([10, 0, 0, 1], 1).into(),
            generation: 0,
        },
        prefix: prefix.to_vec(),
        turn,
        cached_blocks,
    }
}

#[test]
fn a_note_of_a_dispatch_is_a_dispatch() {
    let mut index = index(2, 100);
    index.apply(1, &note(&[11, 22], Some(901), 2));
    let next = facts(&[11, 22, 33], &[(901, 600), (902, 800)]);
    assert_eq!(matched(&mut index, &next, 2), [0, 800]);
    index.apply(1, &note(&[], Some(905), 0));
    index.apply(7, &note(&[1], None, 1));
    assert_eq!(index.len(), 4, "a chat without a whole block has a turn");
}

#[test]
fn a_correction_forgets_what_lies_beyond_and_the_turn() {
    let mut index = index(2, 100);
    let sent = note(&[11, 22, 33, 44], Some(901), 4);
    index.apply(0, &sent);
    index.apply(1, &sent);
    let next = facts(&[11, 22, 33, 44], &[(901, 1_100), (902, 1_200)]);
    assert_eq!(matched(&mut index, &next, 2), [1_200, 1_200]);
    index.apply(0, &sent.clone().corrected(2 * 256 - 10, 256));
    assert_eq!(matched(&mut index, &next, 2), [2 * BLOCK, 1_200]);
    assert_eq!(index.slots[0].table.len(), 2, "the turn is gone too");
    index.apply(0, &sent.clone().corrected(0, 256));
    assert_eq!(index.slots[0].table.len(), 0);
    let confirmed = sent.clone().corrected(u64::MAX, 0);
    assert_eq!(confirmed, sent, "more than all is all");
}

#[test]
fn capacity_follows_the_engine_within_the_bounds() {
    let mut index = PrefixIndex::new(PrefixConfig {
        block_bytes: 256,
        max_bytes: 16_384,
        capacity_blocks: 1_000,
        total_blocks: 4_000,
    });
    let mut endpoint = Endpoint::new(note(&[], None, 0).endpoint);
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
    for _ in 0..1_000 {
        index.learn(2_000, 1_000);
    }
    let learned = index.capacity_of(&endpoint, 1);
    assert!(
        (125..=143).contains(&learned),
        "2 bytes a token, within an eighth: {learned}"
    );
    endpoint.signals.kv_blocks = Some(u32::MAX);
    endpoint.signals.kv_block_size = Some(u32::MAX);
    assert_eq!(
        index.capacity_of(&endpoint, 1),
        1_000,
        "no claim exceeds the bound"
    );
    endpoint.signals.kv_blocks = Some(0);
    assert_eq!(index.capacity_of(&endpoint, 1), 64);
}

#[test]
fn no_answer_makes_tokens_absurd() {
    let mut index = index(1, 100);
    for (bytes, tokens) in [
        (u64::MAX, u32::MAX),
        (0, 64),
        (u64::MAX, 64),
        (0, 0),
        (u64::MAX, 0),
    ] {
        for _ in 0..2_000 {
            index.learn(bytes, tokens);
        }
        assert!(
            (1.0..=16.0).contains(&index.bytes_per_token),
            "{bytes} / {tokens}"
        );
    }
    let before = index.bytes_per_token;
    index.learn(1, u32::MAX);
    assert_eq!(
        index.bytes_per_token.to_bits(),
        before.to_bits(),
        "one answer changes little"
    );
}

#[test]
fn a_table_follows_its_capacity_and_keeps_what_fits() {
    let mut index = index(1, 30_000);
    let prompt = blocks(4, 150);
    index.insert(0, &prompt, None);
    index.set_capacity(0, 20_000);
    assert_eq!(
        index.slots[0].table.places(),
        37_504,
        "not before the next prompt"
    );
    index.insert(0, &[1], None);
    assert_eq!(index.slots[0].table.places(), TagTable::places_for(20_000));
    index.set_capacity(0, 1_000);
    assert_eq!(
        index.slots[0].table.places(),
        TagTable::places_for(1_000),
        "at once"
    );
    assert_eq!(matched(&mut index, &facts(&prompt, &[]), 1), [150 * BLOCK]);
    index.set_capacity(0, 30_000);
    index.insert(0, &[2], None);
    assert_eq!(index.slots[0].table.places(), 37_504);
    assert_eq!(matched(&mut index, &facts(&prompt, &[]), 1), [150 * BLOCK]);
}

#[test]
fn a_prompt_longer_than_the_capacity_keeps_its_head() {
    let mut index = index(1, 64);
    let prompt = blocks(6, 100_000);
    index.insert(0, &prompt, Some(1));
    let bytes = matched(&mut index, &facts(&prompt, &[]), 1)[0];
    assert!((20 * BLOCK..=128 * BLOCK).contains(&bytes), "{bytes}");
    assert_eq!(index.slots[0].table.places(), 128);
}

#[test]
fn the_tail_is_forgotten_before_the_head() {
    let mut index = index(1, 1_000);
    let prompt = blocks(6, 900);
    index.insert(0, &prompt, None);
    index.insert(0, &blocks(7, 900), None);
    let held = |some: &[u64]| {
        let table = &index.slots[0].table;
        some.iter().filter(|hash| table.contains(**hash)).count()
    };
    let (head, tail) = (held(&prompt[..300]), held(&prompt[600..]));
    assert!(head > tail + 60, "{head} of the head, {tail} of the tail");
}

#[test]
fn hostile_hashes_and_turns_do_no_harm() {
    let mut index = index(2, 64);
    let same = vec![0; 10_000];
    index.insert(0, &same, Some(0));
    index.insert(0, &vec![u64::MAX; 10_000], Some(u64::MAX));
    assert_eq!(index.len(), 2, "equal hashes are one block");
    let long = facts(
        &same,
        &[(0, u32::MAX), (0, 0), (u64::MAX, u32::MAX), (0, 5)],
    );
    assert!(matched(&mut index, &long, 2)[0] >= 10_000 * BLOCK);
    for low in [0u64, 1, 0xffff_ffff] {
        for high in [0u64, 1, 0xffff_ffff] {
            index.insert(1, &[high << 32 | low], None);
            assert_eq!(
                matched(&mut index, &facts(&[high << 32 | low], &[]), 2)[1],
                BLOCK
            );
        }
    }
    index.insert(u32::MAX, &[1], None);
    index.apply(u32::MAX, &note(&[1], None, 0));
}
