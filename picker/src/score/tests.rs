#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{
    range::Range,
    sample::{Baseline, Sample},
    *,
};
use crate::{
    endpoint::{Endpoint, EndpointId},
    freshness::Ladder,
    learn::Learned,
    policy::Round,
    request::RequestFacts,
    signal::{LoraState, Signal},
    time::Millis,
    view::{InFlight, LocalState, PoolView},
};

const NOW: Millis = Millis(100_000);

fn endpoint(host: u8) -> Endpoint {
    Endpoint::new(EndpointId {
        address: ([10, 0, 0, host], 8000).into(),
        generation: 0,
    })
}

fn gauge(value: f32) -> Option<Signal<f32>> {
    Some(Signal::new(value, NOW))
}

fn local(requests: u32) -> LocalState {
    LocalState {
        in_flight: InFlight {
            requests,
            tokens: 0,
            ..InFlight::default()
        },
        ..LocalState::default()
    }
}

fn sample(endpoint: &Endpoint, requests: u32, baseline: &mut Baseline) -> Sample {
    Sample::take(endpoint, local(requests), baseline, &Ladder::default(), NOW)
}

/// A sample of an endpoint with these signals and nothing in flight.
fn idle(waiting: Option<f32>, kv_usage: Option<f32>) -> Sample {
    let mut endpoint = endpoint(1);
    endpoint.signals.waiting = waiting.and_then(gauge);
    endpoint.signals.kv_usage = kv_usage.and_then(gauge);
    sample(&endpoint, 0, &mut Baseline::default())
}

fn values(scores: &[Reading]) -> Vec<f32> {
    scores.iter().map(|score| score.value).collect()
}

fn faded(scores: &[Reading]) -> Vec<f32> {
    let mut totals = vec![0.0; scores.len()];
    add_faded(&mut totals, scores, 1.0);
    totals
}

fn assert_close(got: &[f32], expected: &[f32]) {
    let close = got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(
        close && got.len() == expected.len(),
        "{got:?} is not {expected:?}"
    );
}

#[test]
fn the_queue_scores_as_in_the_reference() {
    let mut scores = Vec::new();
    for (waiting, expected) in [
        ([10.0, 5.0, 0.0], [0.0, 0.5, 1.0]),
        ([3.0, 3.0, 3.0], [1.0, 1.0, 1.0]),
        ([0.0, 0.0, 1.0], [1.0, 1.0, 0.0]),
    ] {
        let samples = waiting.map(|waiting| idle(Some(waiting), None));
        assert!(queue::score(
            &samples,
            &mut Vec::new(),
            &mut Vec::new(),
            &mut scores
        ));
        assert_close(&faded(&scores), &expected);
    }
}

#[test]
fn kv_cache_scores_as_in_the_reference() {
    let mut scores = Vec::new();
    let samples = [0.8, 0.5, 0.0].map(|usage| idle(None, Some(usage)));
    kv_cache::score(&samples, &mut scores);
    assert_close(&faded(&scores), &[0.2, 0.5, 1.0]);
}

#[test]
fn unknown_gets_the_mean_of_the_known() {
    let mut scores = Vec::new();
    let samples = [Some(0.8), None, Some(0.2)].map(|usage| idle(None, usage));
    kv_cache::score(&samples, &mut scores);
    assert_close(&faded(&scores), &[0.2, 0.5, 0.8]);
    let samples = [None, None].map(|usage| idle(None, usage));
    kv_cache::score(&samples, &mut scores);
    assert_close(&faded(&scores), &[NEUTRAL, NEUTRAL]);
}

#[test]
fn what_no_engine_can_mean_is_unknown() {
    for nonsense in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0] {
        let sample = idle(Some(nonsense), Some(nonsense));
        assert!(!sample.waiting.is_known(), "{nonsense}");
        assert!(!sample.kv_usage.is_known(), "{nonsense}");
        assert!(!sample.foreign.is_known(), "{nonsense}");
        assert!(!sample.unaccounted.is_known(), "{nonsense}");
    }
    assert_eq!(
        idle(None, Some(7.0)).kv_usage.value,
        1.0,
        "utilization ends at 1"
    );
}

#[test]
fn scores_fade_towards_the_mean_with_age() {
    let mut aged = endpoint(1);
    aged.signals.kv_usage = Some(Signal::new(0.0, NOW.minus(3_000)));
    let aged = sample(&aged, 0, &mut Baseline::default());
    let mut scores = Vec::new();
    kv_cache::score(&[aged, idle(None, Some(1.0))], &mut scores);
    // The mean weighs the aged half: (0.5 x 1 + 1 x 0) / 1.5 = 1/3.
    assert_close(&faded(&scores), &[2.0 / 3.0, 0.0]);
}

#[test]
fn one_extreme_claim_does_not_hide_the_others() {
    let range = |values: &[f32]| Range::of(values.iter().copied(), &mut Vec::new());
    let with_liar = range(&[0.0, 1.0, 2.0, 3.0, 1e9]);
    assert!(with_liar.less_is_better(0.0) - with_liar.less_is_better(1.0) > 0.05);
    assert_eq!(with_liar.less_is_better(1e9), 0.0);
    let many: Vec<f32> = (0..1_000)
        .map(|n| if n % 10 == 0 { 1e9 } else { 5.0 })
        .collect();
    assert!(
        range(&many).less_is_better(6.0) < 0.97,
        "the sampled median holds too"
    );
}

#[test]
fn requests_since_the_scrape_count_as_waiting() {
    let mut endpoint = endpoint(1);
    endpoint.signals.waiting = gauge(1.0);
    endpoint.signals.running = gauge(4.0);
    let mut baseline = Baseline::default();
    let at_scrape = sample(&endpoint, 3, &mut baseline);
    assert_eq!(
        at_scrape.unaccounted.value, 0.0,
        "the scrape accounts for the first 3"
    );
    assert_eq!(at_scrape.foreign.value, 2.0);
    let later = sample(&endpoint, 8, &mut baseline);
    assert_eq!(later.unaccounted.value, 5.0);
    assert_eq!(later.foreign.value, 2.0, "the new ones are ours");
    let fewer = sample(&endpoint, 1, &mut baseline);
    assert_eq!(
        fewer.unaccounted.value, 0.0,
        "those that ended are not waited for"
    );
    endpoint.signals.waiting = Some(Signal::new(0.0, NOW.plus(1)));
    let rescraped = sample(&endpoint, 8, &mut baseline);
    assert_eq!(rescraped.unaccounted.value, 4.0, "8 in flight, 4 running");
}

#[test]
fn silence_counts_as_the_mean_and_more_as_its_own_load_grows() {
    let mut scores = Vec::new();
    let mut score = |requests: u32| {
        let known = [0.0, 4.0].map(|waiting| idle(Some(waiting), None));
        let silent = sample(&endpoint(3), requests, &mut Baseline::default());
        let samples = [known[0], known[1], silent];
        queue::score(&samples, &mut Vec::new(), &mut Vec::new(), &mut scores);
        scores[2].value
    };
    assert_close(&[score(0)], &[0.5]);
    assert!(score(3) < 0.5, "3 in flight against a mean of 1");
    assert_close(&[score(30)], &[0.0]);
    let silent = sample(&endpoint(3), 0, &mut Baseline::default());
    assert!(!queue::score(
        &[silent],
        &mut Vec::new(),
        &mut Vec::new(),
        &mut scores
    ));
}

#[test]
fn no_claim_about_running_requests_hides_new_ones() {
    let mut honest = endpoint(1);
    honest.signals.waiting = gauge(0.0);
    honest.signals.running = gauge(0.0);
    let mut liar = honest.clone();
    liar.signals.running = gauge(1e6);
    let (mut one, mut other) = (Baseline::default(), Baseline::default());
    sample(&honest, 0, &mut one);
    sample(&liar, 0, &mut other);
    for new in 1..100 {
        let honest = sample(&honest, new, &mut one).unaccounted.value;
        let liar = sample(&liar, new, &mut other).unaccounted.value;
        assert_eq!(honest, liar, "after {new} requests");
    }
}

#[test]
fn load_is_per_unit_of_weight_and_silence_is_not_idleness() {
    let mut scores = Vec::new();
    let mut loads = Vec::new();
    let mut busy = endpoint(1);
    busy.signals.running = gauge(10.0);
    let silent = endpoint(2);
    let mut strong = busy.clone();
    strong.weight = 2.0;
    let samples = [&busy, &silent, &strong].map(|e| sample(e, 4, &mut Baseline::default()));
    load::score(&samples, 1.0, &mut Vec::new(), &mut loads, &mut scores);
    // The silent one counts as the mean per unit of weight: (6 + 3) / 2 beyond the ledger.
    assert_close(&loads, &[11.0, 9.5, 5.5]);
    assert_close(&values(&scores), &[0.0, 1.5 / 5.5, 1.0]);
    load::score(&samples, 0.0, &mut Vec::new(), &mut loads, &mut scores);
    assert_close(&loads, &[5.0, 5.0, 2.5]);
}

fn with_round<T>(
    facts: &RequestFacts,
    endpoints: &[Endpoint],
    matched: &[u32],
    test: impl FnOnce(&Round<'_>) -> T,
) -> T {
    let positions: Vec<u32> = (0..).take(endpoints.len()).collect();
    test(&Round {
        facts,
        view: PoolView {
            endpoints,
            local: &[],
            now: NOW,
        },
        candidates: &positions,
        slots: &positions,
        matched,
        ladder: &Ladder::default(),
        learned: &Learned::default(),
        choices: 3,
    })
}

#[test]
fn prefix_is_the_matched_share_until_the_load_is_far_above_the_mean() {
    let facts = RequestFacts {
        prefix: vec![1, 2, 3, 4],
        ..RequestFacts::default()
    };
    let endpoints = [endpoint(1), endpoint(2), endpoint(3)];
    let scores = |loads: [u32; 3]| {
        let mut scores = Vec::new();
        let samples = [0, 1, 2].map(|n| sample(&endpoints[n], loads[n], &mut Baseline::default()));
        let any = with_round(&facts, &endpoints, &[1_024, 512, 0], |round| {
            prefix::score(round, 256, &samples, &mut scores)
        });
        assert!(any);
        values(&scores)
    };
    assert_close(&scores([0, 0, 0]), &[1.0, 0.5, 0.0]);
    assert_close(&scores([4, 0, 0]), &[1.0, 0.5, 0.0]);
    // Mean 4, full credit up to 8, none at 16: the first has 12, half of the way.
    assert_close(&scores([12, 0, 0]), &[0.5, 0.5, 0.0]);
    assert_close(&scores([60, 0, 0]), &[0.0, 0.5, 0.0]);
}

fn lora(active: &[&str], waiting: &[&str], registered: &[&str], max: u32) -> Endpoint {
    let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    let mut endpoint = endpoint(1);
    let state = LoraState {
        active: names(active),
        waiting: names(waiting),
        registered: names(registered),
        max,
    };
    endpoint.signals.lora = Some(Signal::new(state, NOW));
    endpoint
}

fn lora_scores(model: &str, endpoints: &[Endpoint]) -> Option<Vec<f32>> {
    let facts = RequestFacts {
        model: Some(model.to_owned()),
        ..RequestFacts::default()
    };
    let mut scores = Vec::new();
    with_round(&facts, endpoints, &[], |round| {
        lora::score(round, &mut scores)
    })
    .then(|| faded(&scores))
}

#[test]
fn adapters_score_as_in_the_reference() {
    let endpoints = [
        lora(&["sql", "x"], &[], &[], 2),
        lora(&["x"], &[], &[], 2),
        lora(&["x", "y"], &["sql"], &[], 2),
        lora(&["x", "y"], &[], &[], 2),
    ];
    let scores = lora_scores("sql", &endpoints).unwrap();
    assert_close(&scores, &[1.0, 0.8, 0.6, 0.0]);
}

#[test]
fn idle_adapters_count_and_so_does_their_absence() {
    let endpoints = [
        lora(&[], &[], &["sql", "x"], 2),
        lora(&[], &[], &["x"], 2),
        lora(&["x", "y"], &["x", "y"], &[], 3),
        endpoint(1),
        lora(&["x"], &[], &[], 0),
    ];
    let scores = lora_scores("sql", &endpoints).unwrap();
    let mean = 1.6 / 3.0;
    assert_close(&scores, &[0.8, 0.0, 0.8, mean, mean]);
}

#[test]
fn a_model_that_is_no_adapter_scores_nowhere() {
    let endpoints = [lora(&["sql"], &[], &["sql", "lqs"], 1), endpoint(2)];
    assert_eq!(lora_scores("llama", &endpoints), None);
    assert_eq!(
        lora_scores("sqz", &endpoints),
        None,
        "equal length, equal head"
    );
    assert!(lora_scores("lqs", &endpoints).is_some());
}
