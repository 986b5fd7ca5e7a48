//! Time per pick, printed as `endpoints pick_us pick_and_dispatch_us`, one line per pool size.
//!
//! Built for wasm32-wasip1 with the filter's own profile and run in V8 by `make bench-pick`; runs
//! natively too, for comparison.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench is a program of its own; a broken scene should stop it"
)]

mod scene;

use std::{hint::black_box, time::Instant};

use scene::Scene;

/// Timed rounds of which the fastest counts.
const ROUNDS: usize = 41;
/// The length of a round, long against the clock's resolution and short against a time slice.
const ROUND_MS: f64 = 4.0;

fn main() {
    for endpoints in [10, 100, 1_000] {
        let mut scene = Scene::new(endpoints);
        let pick = best_us(|| scene.pick());
        let with_dispatch = best_us(|| scene.pick_and_dispatch());
        println!("{endpoints} {pick:.3} {with_dispatch:.3}");
    }
}

/// Microseconds per call in the fastest round: neighbours on the machine only ever add time.
fn best_us(mut call: impl FnMut() -> usize) -> f64 {
    let mut calls = 16;
    while time_ms(calls, &mut call) < ROUND_MS {
        calls *= 2;
    }
    let rounds = (0..ROUNDS).map(|_| time_ms(calls, &mut call) * 1_000.0 / f64::from(calls));
    rounds.fold(f64::INFINITY, f64::min)
}

fn time_ms(calls: u32, call: &mut impl FnMut() -> usize) -> f64 {
    let start = Instant::now();
    for _ in 0..calls {
        black_box(call());
    }
    start.elapsed().as_secs_f64() * 1_000.0
}
