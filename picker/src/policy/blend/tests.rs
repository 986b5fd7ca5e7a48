//! The reference's vectors, its scorers' units, and what the blend does not look at.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::{
    config::PickerConfig,
    policy::{PolicyName, fixture::Pool},
    time::Millis,
};

/// The configuration of the vectors C: every scorer counts the same.
const EQUAL: Weights = Weights {
    queue: 1.0,
    kv_cache: 1.0,
    prefix: 1.0,
    lora: 1.0,
    in_flight: 0.0,
};

/// The totals that a blend gives the endpoints of a pool.
fn totals(weights: Weights, pool: &Pool) -> Vec<f32> {
    let mut blend = Blend::weighted(weights, &PickerConfig::default().prefix);
    pool.decide_with(&mut blend, 1);
    blend.totals
}

fn winner(weights: Weights, pool: &Pool) -> usize {
    let mut blend = Blend::weighted(weights, &PickerConfig::default().prefix);
    let decisions = pool.decide_with(&mut blend, 20);
    let first = decisions[0].first().unwrap();
    assert!(
        decisions
            .iter()
            .all(|decision| decision.first() == Some(first))
    );
    first
}

fn only(scorer: fn(&mut Weights) -> &mut f32) -> Weights {
    let mut weights = Weights {
        queue: 0.0,
        kv_cache: 0.0,
        prefix: 0.0,
        lora: 0.0,
        in_flight: 0.0,
    };
    *scorer(&mut weights) = 1.0;
    weights
}

fn close(got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len());
    for (one, other) in got.iter().zip(expected) {
        assert!((one - other).abs() < 1e-6, "{got:?}, expected {expected:?}");
    }
}

#[test]
fn vectors_c() {
    type Row<'a> = (f32, f32, &'a [&'a str]);
    let vectors: [(&str, &str, [Row<'_>; 3], usize); 4] = [
        (
            "C1, A1",
            "my-model-12345",
            [(3.0, 0.2, &[]), (0.0, 0.1, &[]), (10.0, 0.2, &[])],
            1,
        ),
        (
            "C1, A2",
            "sql-lora-1fdg2",
            [
                (0.0, 0.2, &["foo", "bar"]),
                (0.0, 0.1, &["foo", "sql-lora-1fdg2"]),
                (10.0, 0.2, &["foo", "bar"]),
            ],
            1,
        ),
        (
            "C2",
            "sql-lora-1fdg2",
            [
                (10.0, 0.2, &["foo", "bar"]),
                (10.0, 0.4, &["foo", "sql-lora-1fdg2"]),
                (10.0, 0.3, &["foo"]),
            ],
            1,
        ),
        (
            "C3",
            "sql-lora-1fdg3",
            [
                (6.0, 0.2, &["foo", "bar", "sql-lora-1fdg3"]),
                (0.0, 0.85, &["foo"]),
                (10.0, 0.9, &["foo"]),
            ],
            0,
        ),
    ];
    for (name, model, rows, expected) in vectors {
        let mut pool = Pool::scraped(&rows);
        pool.facts.model = Some(model.to_owned());
        assert_eq!(winner(EQUAL, &pool), expected, "{name}");
    }
}

#[test]
fn vectors_d_queue_kv_and_running() {
    let pool = Pool::scraped(&[(10.0, 0.8, &[]), (5.0, 0.5, &[]), (0.0, 0.0, &[])]);
    close(&totals(only(|w| &mut w.queue), &pool), &[0.0, 0.5, 1.0]);
    close(&totals(only(|w| &mut w.kv_cache), &pool), &[0.2, 0.5, 1.0]);
    let equal = Pool::scraped(&[(5.0, 0.0, &[]), (5.0, 0.0, &[])]);
    close(&totals(only(|w| &mut w.queue), &equal), &[1.0, 1.0]);
    // The reference scores running requests like the queue; here those are the gateway's own.
    let mut pool = Pool::of(3);
    for (local, requests) in pool.local.iter_mut().zip([10, 5, 0]) {
        local.in_flight.requests = requests;
    }
    close(&totals(only(|w| &mut w.in_flight), &pool), &[0.0, 0.5, 1.0]);
}

#[test]
fn vectors_d_lora() {
    type State = (&'static [&'static str], &'static [&'static str], u32, f32);
    let states: [State; 7] = [
        (&["sql"], &[], 2, 1.0),
        (&["other"], &[], 2, 0.8),
        (&["other"], &["sql"], 3, 0.8),
        (&["other"], &["sql"], 2, 0.6),
        (&["a", "b"], &[], 2, 0.0),
        (&["a"], &["a"], 2, 0.0),
        (&[], &[], 0, 0.0),
    ];
    let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    let mut pool = Pool::of(states.len());
    pool.facts.model = Some("sql".to_owned());
    for (endpoint, (active, waiting, max, _)) in pool.endpoints.iter_mut().zip(states) {
        let lora = LoraState {
            active: names(active),
            waiting: names(waiting),
            registered: Vec::new(),
            max,
        };
        endpoint.signals.lora = Some(Signal::new(lora, Millis(0)));
    }
    let expected = states.map(|(_, _, _, score)| score);
    close(&totals(only(|w| &mut w.lora), &pool), &expected);

    pool.facts.model = Some("base".to_owned());
    close(&totals(only(|w| &mut w.lora), &pool), &[0.0; 7]);
    // Registered somewhere, active nowhere: an adapter all the same.
    if let Some(lora) = &mut pool.endpoints[6].signals.lora {
        lora.value.registered = names(&["base"]);
    }
    close(&totals(only(|w| &mut w.lora), &pool)[..2], &[0.8, 0.8]);
}

#[test]
fn the_cached_share_counts_three() {
    let mut pool = Pool::scraped(&[(10.0, 0.0, &[]), (0.0, 0.0, &[]), (0.0, 0.0, &[])]);
    pool.prompt_blocks(10);
    pool.holds(0, 7);
    pool.holds(1, 1);
    close(&totals(BUILT_IN, &pool), &[2.0 + 2.1, 4.0 + 0.3, 4.0]);
    assert_eq!(winner(BUILT_IN, &pool), 1);
    pool.holds(0, 8);
    assert_eq!(winner(BUILT_IN, &pool), 0, "2 + 2.4 against 4.3");
    assert_eq!(pool.reason(PolicyName::Blend), Reason::PrefixHit);
}

#[test]
fn equal_totals_are_drawn_evenly() {
    let pool = Pool::scraped(&[(1.0, 0.5, &[]), (9.0, 0.5, &[]), (1.0, 0.5, &[])]);
    let counts = pool.firsts(PolicyName::Blend, 4_000);
    assert_eq!(counts[1], 0);
    assert!(counts[0].abs_diff(2_000) < 150, "{counts:?}");
}

#[test]
fn what_was_never_scraped_looks_idle() {
    let mut pool = Pool::scraped(&[(1.0, 0.1, &[]), (0.0, 0.0, &[])]);
    pool.endpoints[1].signals = crate::signal::Signals::default();
    assert_eq!(winner(BUILT_IN, &pool), 1);
    for nonsense in [f32::NAN, f32::INFINITY, -5.0] {
        let gauge = Some(Signal::new(nonsense, Millis(0)));
        pool.endpoints[1].signals.waiting = gauge;
        pool.endpoints[1].signals.kv_usage = gauge;
        close(&totals(BUILT_IN, &pool), &[1.8, 4.0]);
    }
}

#[test]
fn only_higress_counts_its_own_requests() {
    let mut pool = Pool::scraped(&[(3.0, 0.5, &[]), (3.0, 0.5, &[]), (3.0, 0.5, &[])]);
    pool.local[0].in_flight.requests = 50;
    pool.local[1].in_flight.requests = 20;
    let blend = pool.firsts(PolicyName::Blend, 3_000);
    assert!(
        blend.iter().all(|count| count.abs_diff(1_000) < 130),
        "{blend:?}"
    );
    assert_eq!(pool.firsts(PolicyName::Higress, 100), [0, 0, 100]);
    // The own counts give 0.6 and 1 of the sum of 8, so that 0.4 / 2 of KV cache is worth as much.
    for (kv_usage, expected) in [(0.69, [0, 0, 100]), (0.71, [0, 100, 0])] {
        pool.endpoints[2].signals.kv_usage = Some(Signal::new(kv_usage, Millis(0)));
        assert_eq!(
            pool.firsts(PolicyName::Higress, 100),
            expected,
            "{kv_usage}"
        );
    }
}
