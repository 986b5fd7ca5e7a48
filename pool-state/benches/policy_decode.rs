//! The policy of a pool with 1,000 models as a slot's value, printed as `kib decode_us lookup_us`.
//!
//! Built for wasm32-wasip1 with the filter's own profile and run in V8 by `make bench-policy`; runs
//! natively too, for comparison.

#![allow(
    missing_docs,
    clippy::expect_used,
    reason = "a bench is a program of its own; a broken scene should stop it"
)]

use std::{hint::black_box, time::Instant};

use pool_state::{
    policy::{ModelRule, Policy, PolicyParts, Target},
    slot::policy::{decode, encode},
};

const MODELS: usize = 1_000;
/// Timed rounds of which the fastest counts.
const ROUNDS: usize = 41;
/// The length of a round, long against the clock's resolution and short against a time slice.
const ROUND_MS: f64 = 4.0;

fn main() {
    let value = encode(&policy());
    let view = decode(&value).expect("what was encoded is read");
    let names: Vec<String> = (0..MODELS).map(name).collect();
    let decoding = best_us(|| decode(black_box(&value)).is_ok().into());
    let mut next = 0;
    let lookup = best_us(|| {
        next = (next + 7) % MODELS;
        let rule = names.get(next).and_then(|name| view.rule(name));
        rule.and_then(|rule| rule.draw(next as u64))
            .map_or(0, str::len)
    });
    let kib = value.len() as f64 / 1_024.0;
    println!("{kib:.1} {decoding:.1} {lookup:.3}");
}

/// Every model has a rule with two targets, and an objective of its own; pods list 1,000 adapters.
fn policy() -> Policy {
    let rules = (0..MODELS).map(|index| ModelRule {
        model: Some(name(index)),
        source: "models-of-team-a".to_owned(),
        priority: None,
        targets: ["v1", "v2"]
            .map(|version| Target::new(&format!("{}-{version}", name(index)), Some(50)))
            .into(),
    });
    let adapters =
        (0..MODELS).map(|index| (format!("{}-v1", name(index)), Some("base".to_owned())));
    let parts = PolicyParts {
        pool: "default/llama".to_owned(),
        rules: rules.collect(),
        objectives: (0..MODELS)
            .map(|index| (format!("objective-{index:04}"), 1))
            .collect(),
        models: adapters.collect(),
        fail_open: false,
    };
    Policy::new(parts).expect("a sound policy")
}

fn name(index: usize) -> String {
    format!("meta-llama/Llama-3.1-8B-{index:04}")
}

/// Microseconds per call in the fastest round: neighbours on the machine only ever add time.
fn best_us(mut call: impl FnMut() -> usize) -> f64 {
    let mut calls = 4;
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
