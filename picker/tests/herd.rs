//! The thundering herd: many workers see one snapshot, all of them the same idle engine.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

mod pool;

use std::collections::VecDeque;

use picker::{Entropy, RequestFacts, SplitMix64, policy::PolicyName};
use pool::{Pool, picker_of};

const WORKERS: u64 = 16;
const ENGINES: usize = 8;
/// Picks on one snapshot: 1 s of traffic, in ten windows.
const PICKS: usize = 800;
const WINDOW: usize = 80;
/// The greatest load over the mean that is no herd, over the whole second and in 100 ms.
const LIMIT: f64 = 1.3;
const WINDOW_LIMIT: f64 = 2.0;

/// Engines with equally many requests and different queues and caches, all seen 1 s ago.
///
/// Scores know no cause and effect, so for them the caches are anything. A cost does: to an engine whose
/// cache is emptier by half it sends some hundred requests more, as it should. For it the caches are
/// those of ten requests, of 250 to 400 tokens each, and one of the ten waits or none.
fn engines(policy: PolicyName, seed: u64) -> Pool {
    let mut entropy = SplitMix64::new(seed);
    let mut pool = Pool::silent(ENGINES);
    for at in 0..ENGINES {
        let (most, unit) = (entropy.below(3), entropy.unit() as f32);
        let (waiting, kv_usage) = match policy {
            PolicyName::Cost => ((most / 2) as f32, 0.022 + 0.014 * unit),
            _ => (most as f32, unit),
        };
        pool.scrape(at, waiting, 10.0 - waiting, kv_usage);
    }
    pool.now = pool.now.plus(1_000);
    pool
}

/// Where each of the picks on one snapshot goes.
fn run(policy: PolicyName, seed: u64, mut choose: impl FnMut(&mut Pool) -> usize) -> Vec<usize> {
    let mut pool = engines(policy, seed);
    (0..PICKS).map(|_| choose(&mut pool)).collect()
}

/// The greatest share of the picks over the mean share.
fn crowding(picks: &[usize]) -> f64 {
    let count = |engine: usize| picks.iter().filter(|at| **at == engine).count();
    let most = (0..ENGINES).map(count).max().unwrap_or(0);
    (most * ENGINES) as f64 / picks.len() as f64
}

/// Where the picks of 16 workers go that share a ledger.
fn run_with_workers(policy: PolicyName, seed: u64) -> Vec<usize> {
    let mut workers: VecDeque<_> = (0..WORKERS)
        .map(|worker| (picker_of(policy), SplitMix64::new(seed * 100 + worker)))
        .collect();
    run(policy, seed, |pool| {
        workers.rotate_left(1);
        let worker = workers.front_mut();
        worker.map_or(0, |(picker, entropy)| {
            pool.dispatch(picker, &RequestFacts::default(), entropy)
        })
    })
}

/// The most crowded of the windows of 100 ms.
fn worst_window(picks: &[usize]) -> f64 {
    let windows = picks.chunks(WINDOW).map(crowding);
    windows.fold(0.0, f64::max)
}

#[test]
fn a_shared_ledger_keeps_the_herd_apart() {
    for seed in 0..20 {
        for policy in [PolicyName::Cost, PolicyName::Scored] {
            let picks = run_with_workers(policy, seed);
            let worst = worst_window(&picks);
            assert!(
                worst <= WINDOW_LIMIT,
                "{policy:?}, seed {seed}: max/mean is {worst:.2} in 100 ms"
            );
            let whole = crowding(&picks);
            assert!(
                whole <= LIMIT,
                "{policy:?}, seed {seed}: max/mean is {whole:.2}"
            );
        }
    }
}

#[test]
fn a_plain_choice_of_the_least_without_a_ledger_fails_the_same_limit() {
    for seed in 0..20 {
        let picks = run(PolicyName::Cost, seed, |pool| {
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
        let worst = worst_window(&picks);
        assert!(worst > WINDOW_LIMIT, "seed {seed}: only {worst:.2}");
    }
}

#[test]
fn the_policies_themselves_fail_it_when_they_are_not_shown_the_ledger() {
    for seed in 0..20 {
        for policy in [PolicyName::Cost, PolicyName::Scored] {
            let mut picker = picker_of(policy);
            let mut entropy = SplitMix64::new(seed);
            let picks = run(policy, seed, |pool| {
                let decision = pool.decide(&mut picker, &RequestFacts::default(), &mut entropy);
                decision.first().unwrap()
            });
            let worst = worst_window(&picks);
            assert!(
                worst > WINDOW_LIMIT,
                "{policy:?}, seed {seed}: only {worst:.2}"
            );
        }
    }
}
