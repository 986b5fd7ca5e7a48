//! The vectors of the reference's own tests: the choice of pod (its rewriting of models is not the
//! picker's work).

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::{
    config::PickerConfig, endpoint::EndpointId, entropy::SplitMix64, picker::Picker,
    policy::PolicyName, request::RequestFacts, view::PoolView,
};

const NOW: Millis = Millis(100_000);

/// Queue, KV-cache utilization, adapters (all of them active) and room for adapters.
type Row<'a> = (f32, f32, &'a [&'a str], u32);

fn pods(rows: &[Row<'_>], age_ms: u64) -> Vec<Endpoint> {
    let taken_at = NOW.minus(age_ms);
    (1..)
        .zip(rows)
        .map(|(host, (queue, kv, adapters, max))| {
            let mut pod = Endpoint::new(EndpointId {
                address: ([192, 168, 1, host], 8000).into(),
                generation: 0,
            });
            pod.signals.waiting = Some(Signal::new(*queue, taken_at));
            pod.signals.kv_usage = Some(Signal::new(*kv, taken_at));
            let lora = LoraState {
                active: adapters.iter().map(|name| (*name).into()).collect(),
                max: *max,
                ..LoraState::default()
            };
            pod.signals.lora = Some(Signal::new(lora, taken_at));
            pod
        })
        .collect()
}

fn facts(model: &str, criticality: Criticality) -> RequestFacts {
    RequestFacts {
        model: Some(model.to_owned()),
        criticality,
        ..RequestFacts::default()
    }
}

/// The first choice of many draws, which must all agree; `None` is a refusal.
fn choice(policy: PolicyName, facts: &RequestFacts, pods: &[Endpoint]) -> Option<usize> {
    let mut picker = Picker::new(PickerConfig {
        policy,
        ..PickerConfig::default()
    });
    let view = PoolView {
        endpoints: pods,
        local: &[],
        now: NOW,
    };
    let mut entropy = SplitMix64::new(1);
    let mut draw = || {
        let decision = picker.pick(facts, &view, &mut entropy);
        let refused = decision.reason() == Reason::Saturated;
        assert_eq!(refused, decision.first().is_none());
        decision.first()
    };
    let first = draw();
    for _ in 0..20 {
        assert_eq!(draw(), first, "the vector leaves no choice");
    }
    first
}

#[test]
fn vectors_a_and_b() {
    use Criticality::{Critical, Sheddable, Standard};
    let a1: &[Row<'_>] = &[(3.0, 0.2, &[], 0), (0.0, 0.1, &[], 0), (10.0, 0.2, &[], 0)];
    let a2: &[Row<'_>] = &[
        (0.0, 0.2, &["foo", "bar"], 0),
        (0.0, 0.1, &["foo", "sql-lora-1fdg2"], 0),
        (10.0, 0.2, &["foo", "bar"], 0),
    ];
    let a3: &[Row<'_>] = &[
        (10.0, 0.2, &["foo", "bar"], 0),
        (200.0, 0.1, &["foo", "sql-lora-1fdg2"], 0),
        (6.0, 0.2, &["foo"], 0),
    ];
    let a4: &[Row<'_>] = &[
        (6.0, 0.2, &["foo", "bar", "sql-lora-1fdg3"], 0),
        (0.0, 0.85, &["foo", "sql-lora-1fdg3"], 0),
        (10.0, 0.9, &["foo", "sql-lora-1fdg3"], 0),
    ];
    let a5: &[Row<'_>] = &[
        (4.0, 0.2, &["foo", "bar", "sql-lora-1fdg3"], 0),
        (0.0, 0.85, &["foo", "sql-lora-1fdg3"], 0),
        (10.0, 0.9, &["foo", "sql-lora-1fdg3"], 0),
    ];
    let b: &[Row<'_>] = &[
        (0.0, 0.2, &["foo", "bar"], 2),
        (3.0, 0.1, &["foo", "critical"], 2),
        (10.0, 0.2, &["foo"], 2),
    ];
    let b_full: &[Row<'_>] = &[
        (10.0, 0.9, &[], 0),
        (3.0, 0.85, &[], 0),
        (10.0, 0.85, &[], 0),
    ];
    type Vector<'a> = (
        &'a str,
        &'a str,
        Criticality,
        &'a [Row<'a>],
        Option<usize>,
        Option<usize>,
    );
    let vectors: [Vector<'_>; 7] = [
        ("A1", "my-model-12345", Critical, a1, Some(1), Some(1)),
        ("A2", "sql-lora-1fdg2", Critical, a2, Some(1), Some(1)),
        ("A3", "sql-lora-1fdg2", Critical, a3, Some(2), Some(2)),
        ("A4", "sql-lora-1fdg3", Standard, a4, None, None),
        ("A5", "sql-lora-1fdg3", Standard, a5, Some(0), Some(1)),
        ("A7", "direct-model", Critical, a5, Some(1), Some(1)),
        ("B3", "sheddable", Sheddable, b_full, None, None),
    ];
    for (name, model, criticality, rows, v03, june5) in vectors {
        let facts = facts(model, criticality);
        let pods = pods(rows, 0);
        assert_eq!(
            choice(PolicyName::GieV03, &facts, &pods),
            v03,
            "{name}, v0.3"
        );
        assert_eq!(
            choice(PolicyName::Gie0605, &facts, &pods),
            june5,
            "{name}, 0605"
        );
    }
    // B1 and B2 are vectors of v0.3 alone, and B1 keeps its affinity only nearly always.
    let sheddable = facts("sheddable", Sheddable);
    assert_eq!(
        choice(PolicyName::GieV03, &sheddable, &pods(b, 0)),
        Some(0),
        "B2"
    );
    assert_eq!(affinity_share(b, "critical"), (1, true), "B1");
}

/// The pod that gets nearly all of 20,000 draws, and whether its share is 0.999 within three
/// standard deviations.
fn affinity_share(rows: &[Row<'_>], model: &str) -> (usize, bool) {
    const DRAWS: u32 = 20_000;
    let pods = pods(rows, 0);
    let facts = facts(model, Criticality::Critical);
    let mut picker = Picker::new(PickerConfig {
        policy: PolicyName::GieV03,
        choices: 1,
        ..PickerConfig::default()
    });
    let mut entropy = SplitMix64::new(7);
    let mut counts = vec![0u32; pods.len()];
    for _ in 0..DRAWS {
        let view = PoolView {
            endpoints: &pods,
            local: &[],
            now: NOW,
        };
        let decision = picker.pick(&facts, &view, &mut entropy);
        counts[decision.first().unwrap()] += 1;
    }
    let favourite = (0..counts.len()).max_by_key(|pod| counts[*pod]).unwrap();
    let strays = DRAWS - counts[favourite];
    (favourite, (7..=34).contains(&strays))
}

fn tree(rows: &[Row<'_>]) -> GieTree {
    let mut tree = GieTree::new(Edition::V03);
    let pods = pods(rows, 0);
    tree.pods = (0..)
        .zip(&pods)
        .map(|(position, pod)| Pod::new(position, pod, "", Edition::V03, NOW))
        .collect();
    tree
}

fn left(tree: &GieTree) -> Vec<u32> {
    tree.pods.iter().map(|pod| pod.position).collect()
}

#[test]
fn least_queuing_divides_whole_numbers() {
    let mut tree = tree(&[(0.0, 0.0, &[], 0), (3.0, 0.0, &[], 0), (10.0, 0.0, &[], 0)]);
    tree.least_queuing();
    assert_eq!(left(&tree), [0, 1], "10 / 3 is 3");
}

#[test]
fn least_kv_divides_fractions() {
    let mut tree = tree(&[(0.0, 0.0, &[], 0), (0.0, 0.3, &[], 0), (0.0, 1.0, &[], 0)]);
    tree.least_kv();
    assert_eq!(left(&tree), [0, 1]);
}

#[test]
fn the_low_queue_limit_differs_by_one() {
    // With 128 waiting, v0.3 finds no low queue and looks at the queues before the adapter.
    let rows: &[Row<'_>] = &[
        (128.0, 0.5, &["sql"], 1),
        (129.0, 0.1, &[], 0),
        (500.0, 0.1, &[], 0),
    ];
    let critical = facts("other", Criticality::Critical);
    assert_eq!(
        choice(PolicyName::Gie0605, &critical, &pods(rows, 0)),
        Some(0)
    );
    assert_eq!(
        choice(PolicyName::GieV03, &critical, &pods(rows, 0)),
        Some(1)
    );
}

#[test]
fn only_the_later_tree_minds_stale_metrics() {
    let rows: &[Row<'_>] = &[(0.0, 0.1, &[], 0)];
    let standard = facts("m", Criticality::Standard);
    let critical = facts("m", Criticality::Critical);
    for (age_ms, june5) in [(200, Some(0)), (201, None)] {
        let pods = pods(rows, age_ms);
        assert_eq!(
            choice(PolicyName::GieV03, &standard, &pods),
            Some(0),
            "{age_ms} ms"
        );
        assert_eq!(
            choice(PolicyName::Gie0605, &standard, &pods),
            june5,
            "{age_ms} ms"
        );
        assert_eq!(
            choice(PolicyName::Gie0605, &critical, &pods),
            Some(0),
            "{age_ms} ms"
        );
    }
}

#[test]
fn slots_for_adapters_are_counted_differently() {
    let state = LoraState {
        active: vec!["a".into()],
        waiting: vec!["a".into()],
        registered: Vec::new(),
        max: 2,
    };
    assert_eq!(adapter(&state, "b", Edition::V03), (false, true), "one set");
    assert_eq!(
        adapter(&state, "b", Edition::June5),
        (false, false),
        "two sets"
    );
    assert_eq!(adapter(&state, "a", Edition::June5), (true, false));
}

#[test]
fn a_pod_never_scraped_looks_idle() {
    let mut pods = pods(
        &[(3.0, 0.5, &[], 0), (2.0, 0.5, &[], 0), (0.0, 0.0, &[], 0)],
        0,
    );
    pods[2].signals = crate::signal::Signals::default();
    let critical = facts("m", Criticality::Critical);
    assert_eq!(choice(PolicyName::GieV03, &critical, &pods), Some(2));
}
