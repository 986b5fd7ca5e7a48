//! What every workload must be: deterministic, in order, with the lengths it claims, and with one
//! identity of tokens for engines and gateways.

use std::collections::HashMap;

use model_sim::engine::SimTime;
use picker::Criticality;

use super::{ADAPTERS, Arrival, WorkloadName, adapter_name};

/// The first `count` requests of a workload whose answers take 3 s each, in order of arrival.
fn played(name: WorkloadName, seed: u64, count: usize) -> Vec<Arrival> {
    let mut workload = name.requests(seed, 100.0);
    let mut ends: Vec<(SimTime, Arrival)> = Vec::new();
    let mut follow_ups: Vec<Arrival> = Vec::new();
    let mut next = workload.next_arrival();
    let mut played = Vec::new();
    while played.len() < count {
        let follow_up = follow_ups.iter().map(|arrival| arrival.at).min();
        let end = ends.first().map(|(at, _)| *at);
        let fresh = next.as_ref().map(|arrival| arrival.at);
        let soonest = [end, follow_up, fresh].into_iter().flatten().min().unwrap();
        if end == Some(soonest) {
            let (at, ended) = ends.remove(0);
            let further = workload.on_ended(ended.conversation, true, at);
            assert!(further.iter().all(|further| further.at >= at));
            follow_ups.extend(further);
            continue;
        }
        let arrival = if follow_up == Some(soonest) {
            let at = follow_ups.iter().position(|one| one.at == soonest).unwrap();
            follow_ups.remove(at)
        } else {
            let arrival = next.take().unwrap();
            next = workload.next_arrival();
            assert!(
                next.iter().all(|next| next.at >= arrival.at),
                "in order of time"
            );
            arrival
        };
        let end = SimTime::from_seconds(arrival.at.as_seconds() + 3.0);
        ends.push((end, arrival.clone()));
        played.push(arrival);
    }
    played
}

fn median_and_mean(values: impl Iterator<Item = u32>) -> (f64, f64) {
    let mut values: Vec<f64> = values.map(f64::from).collect();
    values.sort_unstable_by(f64::total_cmp);
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values[values.len() / 2], mean)
}

fn shared<T: PartialEq>(one: &[T], other: &[T]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

#[test]
fn equal_seeds_give_equal_requests_and_other_seeds_others() {
    for name in WorkloadName::ALL {
        assert_eq!(played(name, 3, 500), played(name, 3, 500), "{name:?}");
        assert_ne!(played(name, 3, 500), played(name, 4, 500), "{name:?}");
    }
}

#[test]
fn requests_come_at_the_asked_rate_from_the_first_second_on() {
    for name in WorkloadName::ALL {
        let arrivals = played(name, 11, 8_000);
        let last = arrivals.last().unwrap().at.as_seconds();
        assert!((70.0..92.0).contains(&last), "{name:?}: 8,000 in {last} s");
        let first_ten = arrivals.iter().filter(|one| one.at.as_seconds() < 10.0);
        let first_ten = first_ten.count();
        assert!(
            (700..1_350).contains(&first_ten),
            "{name:?}: {first_ten} in 10 s"
        );
    }
}

#[test]
fn chats_have_the_lengths_of_the_sharegpt_sample() {
    for name in [
        WorkloadName::W1,
        WorkloadName::W4,
        WorkloadName::W5,
        WorkloadName::W7,
    ] {
        let arrivals = played(name, 11, 20_000);
        let (median, mean) = median_and_mean(arrivals.iter().map(|one| one.prompt_tokens));
        assert!((105.0..113.0).contains(&median), "{name:?} {median}");
        assert!((240.0..262.0).contains(&mean), "{name:?} {mean}");
        let (median, mean) = median_and_mean(arrivals.iter().map(|one| one.output_tokens));
        assert!((140.0..148.0).contains(&median), "{name:?} {median}");
        assert!((218.0..232.0).contains(&mean), "{name:?} {mean}");
    }
}

#[test]
fn hashes_cover_the_prompt_and_the_answer_and_prefixes_the_prompt_alone() {
    for name in WorkloadName::ALL {
        for one in played(name, 5, 2_000) {
            let tokens = one.prompt_tokens + one.output_tokens;
            assert_eq!(one.block_hashes.len(), (tokens / 16) as usize, "{name:?}");
            let whole = (one.prompt_tokens / 64) as usize;
            assert_eq!(one.facts.prefix.len(), whole.min(64), "{name:?}");
            let told = one.facts.prompt_bytes as f64 / 4.0 / f64::from(one.prompt_tokens);
            assert!((0.7..1.3).contains(&told), "{name:?}: {told} of the tokens");
            let end = one.facts.turns.last().unwrap().end_bytes;
            assert_eq!(end, one.prompt_tokens * 4, "{name:?}");
        }
    }
}

#[test]
fn the_next_turn_goes_on_from_the_prompt_and_its_answer() {
    for name in [WorkloadName::W2, WorkloadName::W2s] {
        let mut last: HashMap<_, Arrival> = HashMap::new();
        let mut follow_ups = 0;
        for one in played(name, 5, 4_000) {
            if let Some(before) = last.get(&one.conversation) {
                follow_ups += 1;
                let said = before.prompt_tokens + before.output_tokens;
                assert!(one.prompt_tokens > said);
                assert_eq!(
                    shared(&before.block_hashes, &one.block_hashes),
                    (said / 16) as usize,
                    "every whole block, the answer's too"
                );
                assert_eq!(
                    shared(&before.facts.prefix, &one.facts.prefix),
                    before.facts.prefix.len()
                );
                let turns = before.facts.turns.len();
                assert_eq!(shared(&before.facts.turns, &one.facts.turns), turns);
                assert_eq!(
                    one.facts.turns.len(),
                    turns + 2,
                    "the answer and a question"
                );
                assert_eq!(one.facts.turns[turns].end_bytes, said * 4);
            }
            last.insert(one.conversation, one);
        }
        assert!(follow_ups > 1_000, "{name:?}: {follow_ups}");
    }
}

#[test]
fn conversations_share_their_system_prompt_and_nothing_else() {
    let arrivals = played(WorkloadName::W2s, 5, 2_000);
    let mut some_share = false;
    for pair in arrivals.windows(2) {
        if pair[0].conversation != pair[1].conversation {
            let blocks = shared(&pair[0].block_hashes, &pair[1].block_hashes);
            // 3,000 tokens are 187.5 blocks of 16.
            assert!(blocks == 0 || blocks == 187, "{blocks}");
            some_share |= blocks > 0;
        }
    }
    assert!(some_share);
}

#[test]
fn a_conversation_without_an_answer_ends() {
    let mut workload = WorkloadName::W2.requests(5, 100.0);
    for _ in 0..200 {
        let arrival = workload.next_arrival().unwrap();
        assert_eq!(
            workload.on_ended(arrival.conversation, false, arrival.at),
            None
        );
        assert_eq!(
            workload.on_ended(arrival.conversation, true, arrival.at),
            None
        );
    }
}

#[test]
fn one_request_in_seven_of_w3_is_long() {
    let arrivals = played(WorkloadName::W3, 11, 10_000);
    let (long, short): (Vec<_>, Vec<_>) =
        arrivals.iter().partition(|one| one.prompt_tokens > 1_024);
    assert!((1_400..1_600).contains(&long.len()), "{}", long.len());
    let (median, _) = median_and_mean(long.iter().map(|one| one.prompt_tokens));
    assert!((8_000.0..8_400.0).contains(&median), "{median}");
    let (median, _) = median_and_mean(short.iter().map(|one| one.prompt_tokens));
    assert!((104.0..114.0).contains(&median), "{median}");
    let blocks = shared(&long[0].block_hashes, &long[1].block_hashes);
    assert_eq!(blocks, 200 / 16, "the instruction");
}

#[test]
fn adapters_are_named_as_the_engines_name_them() {
    let arrivals = played(WorkloadName::W4, 11, 10_000);
    let mut counts = [0; ADAPTERS as usize];
    for one in &arrivals {
        let adapter = one.lora.unwrap();
        assert_eq!(one.facts.model, Some(adapter_name(adapter)));
        counts[adapter.0 as usize] += 1;
    }
    assert!(
        counts.is_sorted_by(|one, next| one * 6 > next * 5),
        "{counts:?}"
    );
    assert!((2_850..3_200).contains(&counts[0]), "{counts:?}");
}

#[test]
fn priorities_are_halves() {
    let arrivals = played(WorkloadName::W5, 11, 10_000);
    let critical = arrivals.iter().filter(|one| one.priority == 1);
    assert!((4_850..5_150).contains(&critical.clone().count()));
    assert!(
        critical
            .into_iter()
            .all(|one| one.facts.criticality == Criticality::Critical)
    );
}
