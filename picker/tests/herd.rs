//! The thundering herd: many workers see one snapshot, all of them the same idle engine.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

mod pool;

use picker::{Entropy, RequestFacts, SplitMix64, policy::PolicyName};
use pool::{Pool, picker_of};

const WORKERS: u64 = 16;
const ENGINES: usize = 8;
/// Picks on one snapshot: 1 s of traffic, in ten windows.
const PICKS: usize = 800;
const WINDOW: usize = 80;
/// The greatest load over the mean that is no herd.
const LIMIT: f64 = 1.3;

/// Engines with equally many requests and different caches, all seen 1 s ago.
fn engines(seed: u64) -> Pool {
    let mut entropy = SplitMix64::new(seed);
    let mut pool = Pool::silent(ENGINES);
    for at in 0..ENGINES {
        let waiting = entropy.below(3) as f32;
        pool.scrape(at, waiting, 10.0 - waiting, entropy.unit() as f32);
    }
    pool.now = pool.now.plus(1_000);
    pool
}

/// Where each of the picks on one snapshot goes.
fn run(seed: u64, mut choose: impl FnMut(&mut Pool, u64) -> usize) -> Vec<usize> {
    let mut pool = engines(seed);
    (0..PICKS)
        .map(|pick| choose(&mut pool, pick as u64 % WORKERS))
        .collect()
}

/// The greatest share of the picks over the mean share.
fn crowding(picks: &[usize]) -> f64 {
    let count = |engine: usize| picks.iter().filter(|at| **at == engine).count();
    let most = (0..ENGINES).map(count).max().unwrap_or(0);
    (most * ENGINES) as f64 / picks.len() as f64
}

#[test]
fn a_shared_ledger_keeps_the_herd_apart() {
    for seed in 0..20 {
        let mut workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let picker = picker_of(PolicyName::Scored);
                (picker, SplitMix64::new(seed * 100 + worker))
            })
            .collect();
        let picks = run(seed, |pool, worker| {
            let (picker, entropy) = &mut workers[worker as usize];
            pool.dispatch(picker, &RequestFacts::default(), entropy)
        });
        let whole = crowding(&picks);
        assert!(whole <= LIMIT, "seed {seed}: max/mean is {whole:.2}");
        for (at, window) in picks.chunks(WINDOW).enumerate() {
            let short = crowding(window);
            assert!(
                short <= 2.0,
                "seed {seed}, window {at}: max/mean is {short:.2}"
            );
        }
    }
}

#[test]
fn a_plain_choice_of_the_least_without_a_ledger_fails_the_same_limit() {
    for seed in 0..20 {
        let picks = run(seed, |pool, _| {
            let load = |at: usize| {
                let signals = &pool.endpoints[at].signals;
                let waiting = signals.waiting.map_or(0.0, |signal| signal.value);
                waiting + signals.kv_usage.map_or(0.0, |signal| signal.value)
            };
            let least = (0..ENGINES).min_by(|one, other| load(*one).total_cmp(&load(*other)));
            least.unwrap()
        });
        let whole = crowding(&picks);
        assert!(whole > LIMIT, "seed {seed}: max/mean is only {whole:.2}");
    }
}

#[test]
fn the_policy_itself_fails_it_when_it_is_not_shown_the_ledger() {
    for seed in 0..20 {
        let mut picker = picker_of(PolicyName::Scored);
        let mut entropy = SplitMix64::new(seed);
        let picks = run(seed, |pool, _| {
            let decision = pool.decide(&mut picker, &RequestFacts::default(), &mut entropy);
            decision.first().unwrap()
        });
        let whole = crowding(&picks);
        assert!(whole > LIMIT, "seed {seed}: max/mean is only {whole:.2}");
    }
}
