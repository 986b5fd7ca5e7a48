//! What arrives is what was sent, or it is refused, or it is unknown.

use std::sync::Arc;

use picker::{Endpoint, Health, InFlight, Millis, PoolSnapshot};

use super::*;
use crate::{
    error::{ContractError, Problem},
    proto,
    testing::{id, sample},
};

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// The agent's clock and the gateway's: they differ, ages must not.
const SENT: Millis = Millis(10_000);
const RECEIVED: Millis = Millis(777_000);

fn sent() -> proto::Endpoint {
    endpoint_to_proto(&sample().endpoints[0], SENT)
}

#[test]
fn an_endpoint_arrives_as_it_was_sent_on_the_receivers_clock() {
    for before in sample().endpoints {
        let after = endpoint_from_proto(endpoint_to_proto(&before, SENT), RECEIVED)
            .expect("a sound endpoint");
        let again = endpoint_from_proto(endpoint_to_proto(&after, RECEIVED), SENT)
            .expect("a sound endpoint");
        assert_eq!(again, before, "and back on the sender's clock");
        if let (Some(sent), Some(received)) = (before.signals.waiting, after.signals.waiting) {
            assert_eq!(received.age_ms(RECEIVED), sent.age_ms(SENT));
        }
    }
}

#[test]
fn ages_saturate_at_both_ends() {
    let mut raw = sent();
    let waiting = raw.waiting.as_mut().expect("waiting");
    waiting.age_ms = u32::MAX;
    let endpoint = endpoint_from_proto(raw, Millis(5)).expect("sound");
    assert_eq!(
        endpoint.signals.waiting.expect("waiting").taken_at,
        Millis(0)
    );

    let mut old = sample().endpoints.remove(0);
    old.signals.waiting.as_mut().expect("waiting").taken_at = Millis(0);
    let raw = endpoint_to_proto(&old, Millis(u64::MAX));
    assert_eq!(raw.waiting.expect("waiting").age_ms, u32::MAX);
    old.signals.waiting.as_mut().expect("waiting").taken_at = Millis(50);
    let raw = endpoint_to_proto(&old, Millis(20));
    assert_eq!(
        raw.waiting.expect("waiting").age_ms,
        0,
        "a clock that stepped back"
    );
}

#[test]
fn a_lying_gauge_becomes_unknown_and_is_counted() {
    type Gauge = fn(&mut proto::Endpoint) -> &mut Option<proto::Gauge>;
    type Known = fn(&Endpoint) -> bool;
    let gauges: [(&str, Gauge, Known); 4] = [
        (
            "waiting",
            |e| &mut e.waiting,
            |e| e.signals.waiting.is_some(),
        ),
        (
            "running",
            |e| &mut e.running,
            |e| e.signals.running.is_some(),
        ),
        (
            "kv_usage",
            |e| &mut e.kv_usage,
            |e| e.signals.kv_usage.is_some(),
        ),
        (
            "mean_output_tokens",
            |e| &mut e.mean_output_tokens,
            |e| e.signals.mean_output_tokens.is_some(),
        ),
    ];
    for (name, gauge, known) in gauges {
        for lie in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.5, 3.0e38] {
            let mut raw = sent();
            gauge(&mut raw).as_mut().expect("a gauge").value = lie;
            let mut intake = Intake::new(RECEIVED);
            let endpoint = intake.endpoint(raw).expect("the identity is sound");
            assert!(!known(&endpoint), "{name} {lie} must become unknown");
            assert_eq!(intake.refused_signals(), 1, "{name} {lie}");
        }
        let mut raw = sent();
        *gauge(&mut raw) = None;
        let mut intake = Intake::new(RECEIVED);
        let endpoint = intake.endpoint(raw).expect("sound");
        assert!(!known(&endpoint), "an absent {name} is unknown, not zero");
        assert_eq!(
            intake.refused_signals(),
            0,
            "and nothing is wrong with that"
        );
    }
}

#[test]
fn a_lying_load_or_step_becomes_unknown_and_is_counted() {
    type Lie = fn(&mut proto::Endpoint);
    let lies: [(&str, Lie); 6] = [
        ("requests", |e| load(e).requests = u32::MAX),
        ("prefilling", |e| load(e).prefilling = 5),
        ("tokens", |e| load(e).tokens = u64::MAX),
        ("base", |e| step(e).base_us = f32::NAN),
        ("token", |e| step(e).token_us = f32::INFINITY),
        ("kv token", |e| step(e).kv_token_us = -1.0),
    ];
    fn load(raw: &mut proto::Endpoint) -> &mut proto::InFlight {
        let others = raw.others_in_flight.as_mut().expect("others");
        others.load.as_mut().expect("a load")
    }
    fn step(raw: &mut proto::Endpoint) -> &mut proto::StepModel {
        raw.step_model.as_mut().expect("a step model")
    }
    for (place, (name, lie)) in lies.into_iter().enumerate() {
        let mut raw = sent();
        lie(&mut raw);
        let mut intake = Intake::new(RECEIVED);
        let signals = intake.endpoint(raw).expect("sound").signals;
        assert_eq!(signals.others_in_flight.is_none(), place < 3, "{name}");
        assert_eq!(signals.step_model.is_none(), place >= 3, "{name}");
        assert_eq!(intake.refused_signals(), 1, "{name}");
    }
}

#[test]
fn a_full_cache_may_be_rounded_up() {
    for (sent_value, expected) in [
        (1.004, Some(1.0)),
        (0.0, Some(0.0)),
        (1.2, None),
        (85.0, None),
    ] {
        let mut raw = sent();
        raw.kv_usage.as_mut().expect("usage").value = sent_value;
        let endpoint = endpoint_from_proto(raw, RECEIVED).expect("sound");
        assert_eq!(endpoint.signals.kv_usage.map(|usage| usage.value), expected);
    }
}

#[test]
fn constants_out_of_range_are_unknown() {
    for lie in [0, u32::MAX] {
        let mut raw = sent();
        raw.kv_block_size = Some(lie);
        raw.kv_blocks = Some(lie);
        raw.max_model_len = Some(lie);
        let mut intake = Intake::new(RECEIVED);
        let endpoint = intake.endpoint(raw).expect("sound");
        assert_eq!(endpoint.signals.kv_block_size, None);
        assert_eq!(endpoint.signals.kv_blocks, None);
        assert_eq!(endpoint.signals.max_model_len, None);
        assert_eq!(intake.refused_signals(), 3);
    }
}

#[test]
fn weights_and_prices_are_the_operators_or_one() {
    for (sent_value, expected, refused) in [
        (0.0, 1.0, 0),
        (0.5, 0.5, 0),
        (f32::NAN, 1.0, 1),
        (-3.0, 1.0, 1),
        (1e9, 1.0, 1),
        (1e-9, 1.0, 1),
    ] {
        let mut raw = sent();
        raw.weight = sent_value;
        raw.price = sent_value;
        let mut intake = Intake::new(RECEIVED);
        let endpoint = intake.endpoint(raw).expect("sound");
        for value in [endpoint.weight, endpoint.price] {
            assert!(
                (value - expected).abs() < f32::EPSILON,
                "{sent_value} was read as {value}"
            );
        }
        assert_eq!(intake.refused_signals(), 2 * refused);
    }
}

#[test]
fn an_unknown_health_attracts_nothing() {
    for (raw_health, expected) in [
        (0, Health::Ready),
        (1, Health::Ready),
        (2, Health::Draining),
        (3, Health::Suspect),
        (4, Health::Suspect),
        (-1, Health::Suspect),
    ] {
        let mut raw = sent();
        raw.health = raw_health;
        let endpoint = endpoint_from_proto(raw, RECEIVED).expect("sound");
        assert_eq!(endpoint.health, expected, "health {raw_health}");
    }
}

#[test]
fn bad_adapter_lists_make_the_adapters_unknown() {
    let bad: [Vec<String>; 5] = [
        vec![String::new()],
        vec!["a b".to_owned()],
        vec!["m\r\nSet-Cookie: x".to_owned()],
        vec!["a".repeat(257)],
        vec!["a".to_owned(); 513],
    ];
    for list in bad {
        for place in 0..3 {
            let mut raw = sent();
            let lora = raw.lora.as_mut().expect("lora");
            *[&mut lora.active, &mut lora.waiting, &mut lora.registered][place] = list.clone();
            let mut intake = Intake::new(RECEIVED);
            assert_eq!(intake.endpoint(raw).expect("sound").signals.lora, None);
            assert_eq!(intake.refused_signals(), 1);
        }
    }
}

#[test]
fn equal_adapter_names_of_a_message_are_shared() {
    let mut intake = Intake::new(RECEIVED);
    let [a, b] = [(); 2].map(|()| intake.endpoint(sent()).expect("sound").signals.lora);
    let (a, b) = (a.expect("lora").value, b.expect("lora").value);
    assert!(Arc::ptr_eq(&a.active[0], &b.registered[1]), "both are sql");
}

#[test]
fn a_bad_identity_is_refused_with_its_place() {
    let refusal = |spoil: fn(&mut proto::EndpointId)| {
        let mut raw = sent();
        spoil(raw.id.as_mut().expect("id"));
        endpoint_from_proto(raw, RECEIVED)
            .expect_err("a bad identity")
            .to_string()
    };
    assert_eq!(
        refusal(|id| id.ip = vec![1, 2, 3]),
        "id.ip: an address has 4 or 16 bytes, got 3"
    );
    assert_eq!(
        refusal(|id| id.ip.clear()),
        "id.ip: an address has 4 or 16 bytes, got 0"
    );
    assert_eq!(
        refusal(|id| id.port = 0),
        "id.port: a port is 1..65535, got 0"
    );
    assert_eq!(
        refusal(|id| id.port = 65_536),
        "id.port: a port is 1..65535, got 65536"
    );
    let mut raw = sent();
    raw.id = None;
    assert_eq!(
        endpoint_from_proto(raw, RECEIVED),
        Err(Problem::Missing.at("id"))
    );
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_ipv4() {
    let mapped = id_to_proto(id("[::ffff:127.0.0.1]:80", 1));
    assert_eq!(mapped.ip.len(), 16);
    assert_eq!(id_from_proto(&mapped), Ok(id("127.0.0.1:80", 1)));
}

fn pool(endpoints: Vec<Endpoint>) -> PoolSnapshot {
    PoolSnapshot {
        endpoints,
        ..sample()
    }
}

fn changes(old: &PoolSnapshot, new: &PoolSnapshot) -> (Vec<u32>, Vec<u32>) {
    let delta = delta_to_proto(old, new, SENT);
    let ports = |ids: Vec<proto::EndpointId>| ids.into_iter().map(|id| id.port).collect();
    let upserts = delta.upserts.into_iter().filter_map(|e| e.id).collect();
    (ports(upserts), ports(delta.removals))
}

#[test]
fn a_delta_names_only_what_changed() {
    let endpoint = |port: u16| Endpoint::new(id(&format!("10.0.0.1:{port}"), 1));
    let old = pool(vec![endpoint(1), endpoint(2), endpoint(4)]);
    assert_eq!(changes(&old, &old), (vec![], vec![]), "nothing changed");

    let mut new = pool(vec![endpoint(2), endpoint(3), endpoint(4), endpoint(5)]);
    new.endpoints[2].health = Health::Draining;
    assert_eq!(changes(&old, &new), (vec![3, 4, 5], vec![1]));
    assert_eq!(changes(&new, &old), (vec![1, 4], vec![3, 5]));
    assert_eq!(changes(&pool(vec![]), &old), (vec![1, 2, 4], vec![]));
    assert_eq!(changes(&old, &pool(vec![])), (vec![], vec![1, 2, 4]));
}

#[test]
fn a_measurement_with_the_same_result_is_a_change() {
    let old = sample();
    let mut new = sample();
    new.endpoints[0]
        .signals
        .waiting
        .as_mut()
        .expect("waiting")
        .taken_at = Millis(9_200);
    assert_eq!(
        changes(&old, &new),
        (vec![8_000], vec![]),
        "its age must be refreshed"
    );
}

#[test]
fn a_delta_carries_where_it_starts_and_where_it_ends() {
    let old = sample();
    let mut new = sample();
    new.version.sequence += 5;
    let delta = delta_to_proto(&old, &new, SENT);
    assert_eq!(delta.base_sequence, old.version.sequence);
    assert_eq!(delta.version, Some(version_to_proto(new.version)));
    assert_eq!(delta.pool, "default");
}

#[test]
fn a_report_arrives_as_it_was_sent() {
    let load = InFlight {
        requests: 3,
        tokens: 1 << 39,
        prefilling: 2,
        prefill_tokens: 7_000,
    };
    let loads = vec![(id("10.0.0.1:80", 1), load), (id("[::1]:80", 2), load)];
    let report = report_from_proto(report_to_proto("default", loads.clone())).expect("sound");
    assert_eq!(report.pool, "default");
    assert_eq!(report.loads, loads);
}

#[test]
fn a_load_that_cannot_be_true_is_left_out_of_its_report() {
    let load = InFlight {
        requests: 3,
        ..InFlight::default()
    };
    let lie = InFlight {
        requests: 2_000_000,
        ..load
    };
    let (one, other) = (id("10.0.0.1:80", 1), id("10.0.0.2:80", 1));
    let report = report_from_proto(report_to_proto("p", [(one, lie), (other, load)]));
    assert_eq!(report.expect("sound").loads, [(other, load)]);
}

#[test]
fn bad_reports_are_refused_with_their_place() {
    let load = InFlight::default();
    let one = (id("10.0.0.1:80", 1), load);
    let refusal = |raw| {
        report_from_proto(raw)
            .expect_err("a bad report")
            .to_string()
    };
    assert_eq!(
        refusal(report_to_proto("default", [one, one])),
        "in_flight.loads[1].id: 10.0.0.1:80 occurs twice"
    );
    assert_eq!(
        refusal(report_to_proto("a b", [one])),
        "in_flight.pool: a name is 1..128 bytes of visible ASCII, got \"a b\""
    );
    let many = (0..10_001).map(|generation| (id("10.0.0.1:80", generation), load));
    assert_eq!(
        refusal(report_to_proto("p", many)),
        "in_flight.loads: at most 10000 elements are allowed, got 10001"
    );
    let mut raw = report_to_proto("p", [one, one]);
    raw.loads[1].id = None;
    assert_eq!(refusal(raw), "in_flight.loads[1].id: missing");
}

#[test]
fn refusals_arrive_as_they_were_sent_or_are_refused() {
    for total in [0, 3, u64::MAX] {
        let sheds = sheds_from_proto(sheds_to_proto("default", total)).expect("sound");
        assert_eq!((sheds.pool.as_str(), sheds.total), ("default", total));
    }
    assert_eq!(
        sheds_from_proto(sheds_to_proto("a b", 1))
            .expect_err("no name")
            .to_string(),
        "sheds.pool: a name is 1..128 bytes of visible ASCII, got \"a b\""
    );
}

#[test]
fn a_greeting_arrives_as_it_was_sent_or_is_refused() {
    let hello = Hello {
        gateway_id: "envoy-1".to_owned(),
        pools: vec!["b".to_owned(), "a".to_owned()],
    };
    assert_eq!(hello_from_proto(hello_to_proto(&hello)), Ok(hello.clone()));
    let refusal = |spoil: fn(&mut Hello)| {
        let mut spoilt = hello.clone();
        spoil(&mut spoilt);
        hello_from_proto(hello_to_proto(&spoilt))
            .expect_err("a bad greeting")
            .to_string()
    };
    assert_eq!(
        refusal(|hello| hello.gateway_id = "x\ny".to_owned()),
        "hello.gateway_id: a name is 1..128 bytes of visible ASCII, got \"x\\ny\""
    );
    assert_eq!(
        refusal(|hello| hello.pools.clear()),
        "hello.pools: at least one element is needed"
    );
    assert_eq!(
        refusal(|hello| hello.pools.push("b".to_owned())),
        "hello.pools[2]: \"b\" occurs twice"
    );
    assert_eq!(
        refusal(|hello| hello.pools = (0..65).map(|pool| pool.to_string()).collect()),
        "hello.pools: at most 64 elements are allowed, got 65"
    );
    let long = refusal(|hello| hello.pools[1] = "\u{1b}".repeat(5_000));
    assert!(
        long.len() < 600 && !long.contains('\u{1b}'),
        "fit for a log line: {long}"
    );
}

#[test]
fn errors_say_where_in_the_message() {
    let error = Problem::Port(0)
        .at("id.port")
        .within("upserts[3]")
        .within("delta");
    assert_eq!(
        error.to_string(),
        "delta.upserts[3].id.port: a port is 1..65535, got 0"
    );
    let gap = ContractError::Gap {
        pool: "p".to_owned(),
        base: 4,
        held: Some(2),
    };
    assert_eq!(
        gap.to_string(),
        "delta for pool p follows sequence 4, held is 2"
    );
    assert_eq!(gap.clone().within("delta"), gap);
}
