//! Capacity and speed: the default engine is the one of the scheduling study.

use super::super::{Engine, EngineConfig, EventKind, Request, SimTime};
use crate::lengths::{SHAREGPT_OUTPUT, SHAREGPT_PROMPT, mix, unit};

/// Finished requests per second of `engines` equal engines, round robin, between two times, with
/// this many arrivals per second.
fn throughput(engines: usize, arrivals_per_second: f64, from: f64, to: f64) -> f64 {
    let mut pool: Vec<Engine> = (0..engines)
        .map(|_| Engine::new(EngineConfig::default()))
        .collect();
    let mut now = 0.0;
    let mut finished = 0u32;
    let mut number = 0u64;
    while now < to {
        number += 1;
        now += -(1.0 - unit(mix(number))).ln() / arrivals_per_second;
        let request = Request {
            prompt_tokens: SHAREGPT_PROMPT.draw(mix(number ^ 1 << 40)),
            output_tokens: SHAREGPT_OUTPUT.draw(mix(number ^ 1 << 41)),
            ..Request::default()
        };
        let engine = &mut pool[number as usize % engines];
        let at = SimTime::from_seconds(now);
        engine.submit(request, at);
        for event in engine.advance(at) {
            if matches!(event.kind, EventKind::Finished(_))
                && (from..to).contains(&event.at.as_seconds())
            {
                finished += 1;
            }
        }
    }
    f64::from(finished) / (to - from)
}

#[test]
fn ten_engines_saturate_at_about_325_sharegpt_requests_per_second() {
    let saturated = throughput(10, 500.0, 60.0, 120.0);
    assert!(
        (292.0..358.0).contains(&saturated),
        "{saturated} requests/s"
    );
}

#[test]
fn below_capacity_everything_is_served() {
    let served = throughput(10, 200.0, 30.0, 90.0);
    assert!((190.0..210.0).contains(&served), "{served} requests/s");
}
