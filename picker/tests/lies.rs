//! No lie makes a magnet: whatever an endpoint says of itself, or does not say, the ledger bounds
//! what it attracts.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

mod pool;

use std::collections::VecDeque;

use picker::{Entropy, RequestFacts, Signal, SplitMix64, policy::PolicyName};
use pool::{Pool, picker_of};

const PICKS: usize = 1_000;
const LIAR: usize = 0;
const HONEST_IDLE: usize = 1;
/// Those that look at both, signals and ledger.
const POLICIES: [PolicyName; 2] = [PolicyName::Cost, PolicyName::Scored];
/// The KV cache that one request of these tests takes, of the cache that the cost policy assumes.
const KV_OF_ONE: f32 = 212.0 / 112_000.0;

/// A liar, an honest idle endpoint and `busy` honest busy ones.
fn pool(policy: PolicyName, busy: usize, entropy: &mut SplitMix64) -> Pool {
    let mut pool = Pool::idle(busy + 2);
    pool.policy = policy;
    for at in 2..busy + 2 {
        let kv_usage = 0.2 + 0.8 * entropy.unit() as f32;
        let running = 5.0 + entropy.below(40) as f32;
        pool.scrape(at, entropy.below(8) as f32, running, kv_usage);
    }
    pool
}

fn assert_no_magnet(counts: &[usize], what: &str) {
    let share = |at: usize| counts.get(at).map_or(0.0, |count| *count as f64);
    let (liar, honest) = (share(LIAR), share(HONEST_IDLE));
    // One request more is no magnet, however small the shares.
    let limit = 1.5 * honest + 1.0;
    assert!(
        liar <= limit,
        "{what}: {liar} picks against {honest} of an honest idle one: {counts:?}"
    );
}

#[test]
fn a_claim_of_idleness_attracts_no_more_than_idleness() {
    for policy in POLICIES {
        let mut entropy = SplitMix64::new(5);
        for busy in 0..30 {
            let counts = pool(policy, busy, &mut entropy).spread(
                PICKS,
                &RequestFacts::default(),
                busy as u64,
            );
            assert_no_magnet(&counts, &format!("{policy:?}, {busy} busy endpoints"));
        }
    }
}

#[test]
fn it_does_not_while_the_others_tell_the_truth_about_their_growing_load() {
    for policy in POLICIES {
        let mut entropy = SplitMix64::new(6);
        for busy in 0..15 {
            let mut pool = pool(policy, busy, &mut entropy);
            let mut picker = picker_of(policy);
            let mut counts = vec![0; busy + 2];
            for pick in 0..PICKS {
                if pick % 16 == 0 {
                    pool.now = pool.now.plus(200);
                    for at in 0..busy + 2 {
                        let there = pool.in_flight(at).requests as f32;
                        match at {
                            LIAR => pool.scrape(at, 0.0, 0.0, 0.0),
                            _ => {
                                let kv_usage = (there * KV_OF_ONE).min(1.0);
                                pool.scrape(at, (there - 64.0).max(0.0), there.min(64.0), kv_usage);
                            }
                        }
                    }
                }
                counts[pool.dispatch(&mut picker, &RequestFacts::default(), &mut entropy)] += 1;
            }
            assert_no_magnet(&counts, &format!("{policy:?}, {busy} others"));
        }
    }
}

#[test]
fn no_other_claim_attracts_either() {
    for policy in POLICIES {
        let mut entropy = SplitMix64::new(7);
        let numbers = [
            0.0,
            1.0,
            7.0,
            1e3,
            1e9,
            f32::MAX,
            f32::INFINITY,
            f32::NAN,
            -1.0,
            -1e9,
        ];
        for waiting in numbers {
            for running in numbers {
                for kv_usage in [0.0, 0.5, 1.0, 1e9, -1.0, f32::NAN] {
                    let mut pool = pool(policy, 6, &mut entropy);
                    pool.scrape(LIAR, waiting, running, kv_usage);
                    let counts = pool.spread(100, &RequestFacts::default(), 1);
                    assert_no_magnet(
                        &counts,
                        &format!("{policy:?}, {waiting} {running} {kv_usage}"),
                    );
                }
            }
        }
    }
}

#[test]
fn one_extreme_claim_leaves_the_balance_of_the_others() {
    for policy in POLICIES {
        let mut pool = Pool::idle(6);
        pool.policy = policy;
        pool.scrape(LIAR, 1e9, 1e9, 1.0);
        for at in 1..6 {
            pool.scrape(at, 0.0, 0.0, 0.1 * at as f32);
        }
        let counts = pool.spread(PICKS, &RequestFacts::default(), 2);
        // A cache half full costs the cost policy more than a point of score.
        let least = match policy {
            PolicyName::Cost => 125,
            _ => 150,
        };
        for at in 1..6 {
            let balanced = (least..=400 - least).contains(&counts[at]);
            assert!(balanced, "{policy:?}: {counts:?}");
        }
    }
}

/// The share that silence may have: the mean, and for the cost policy, which gives the busy ones less
/// because they are, as much as an honest idle one.
fn fair(policy: PolicyName, counts: &[usize]) -> usize {
    match policy {
        PolicyName::Cost => counts.get(HONEST_IDLE).copied().unwrap_or(0),
        _ => PICKS / counts.len(),
    }
}

#[test]
fn silence_never_gets_more_than_its_share() {
    for policy in POLICIES {
        let mut entropy = SplitMix64::new(8);
        for others in 1..20 {
            let mut pool = pool(policy, others, &mut entropy);
            pool.endpoints[LIAR].signals = picker::Signals::default();
            let counts = pool.spread(PICKS, &RequestFacts::default(), others as u64);
            let fair = fair(policy, &counts);
            assert!(
                counts[LIAR] <= fair + 3,
                "{policy:?}: fair is {fair}: {counts:?}"
            );
        }
    }
}

#[test]
fn half_silence_never_gets_more_than_its_share() {
    for policy in POLICIES {
        let mut entropy = SplitMix64::new(9);
        for others in 1..20 {
            for kept in 0..3 {
                let mut pool = pool(policy, others, &mut entropy);
                let now = pool.now;
                let signals = &mut pool.endpoints[LIAR].signals;
                *signals = picker::Signals::default();
                match kept {
                    0 => signals.waiting = Some(Signal::new(3.0, now)),
                    1 => signals.running = Some(Signal::new(20.0, now)),
                    _ => signals.kv_usage = Some(Signal::new(0.5, now)),
                }
                let counts = pool.spread(PICKS, &RequestFacts::default(), others as u64);
                let fair = fair(policy, &counts);
                assert!(
                    counts[LIAR] <= fair * 6 / 5 + 3,
                    "{policy:?}: fair is {fair}, kept {kept}: {counts:?}"
                );
            }
        }
    }
}

/// 16 workers with one pick a scrape each: none of them ever sees the ledger grow between two of its
/// own picks, the others tell the truth, and requests end.
#[test]
fn it_does_not_where_every_worker_sees_every_scrape_once() {
    for policy in POLICIES {
        const WORKERS: usize = 16;
        for claimed in [0.0, 5.0, 20.0, 100.0, 1e6] {
            let mut pool = Pool::idle(6);
            pool.policy = policy;
            let mut workers: Vec<_> = (0..WORKERS as u64)
                .map(|seed| (picker_of(policy), SplitMix64::new(seed)))
                .collect();
            let mut counts = vec![0; 6];
            let mut open = VecDeque::new();
            for _ in 0..100 {
                pool.now = pool.now.plus(200);
                pool.scrape(LIAR, 0.0, claimed, 0.0);
                for at in 1..6 {
                    let there = pool.in_flight(at).requests as f32;
                    let waiting = (there - 64.0).max(0.0);
                    pool.scrape(at, waiting, there.min(64.0), (there * KV_OF_ONE).min(1.0));
                }
                for (picker, entropy) in &mut workers {
                    let at = pool.dispatch(picker, &RequestFacts::default(), entropy);
                    counts[at] += 1;
                    open.push_back(at);
                    if open.len() > 120 {
                        let ended = open.pop_front().unwrap();
                        pool.ledger.end(pool.endpoints[ended].id, 100, Some(100));
                    }
                }
            }
            assert_no_magnet(&counts, &format!("{policy:?}, {claimed} claimed to run"));
        }
    }
}
