#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

fn check(text: &str) -> Result<AdmissionConfig, Vec<String>> {
    let raw: RawAdmissionConfig = serde_json::from_str(text).unwrap();
    let mut mistakes = Vec::new();
    raw.check("admission.limits", &mut mistakes).ok_or(mistakes)
}

#[test]
fn nothing_and_the_documented_defaults_are_the_same() {
    assert_eq!(check("{}"), Ok(AdmissionConfig::default()));
    let documented = r#"{
        "measure": "predicted_ttft",
        "ttft_target_ms": 150,
        "room": {"waiting": 8, "prefill_tokens": 4096, "kv_usage": 0.97},
        "unclaimed_share": 0.5,
        "spare_share": 0.05, "hold_back": {"share": 0, "below": 0},
        "order": "fcfs",
        "ttl_ms": 60000,
        "sheddable_hold_ms": 500,
        "queue": {"requests": 8192, "bytes": 268435456,
                  "priority_requests": 4096, "priority_bytes": 134217728,
                  "flow_requests": 4096, "flow_bytes": 134217728}
    }"#;
    assert_eq!(check(documented), Ok(AdmissionConfig::default()));
}

#[test]
fn what_is_given_is_taken() {
    let config = check(
        r#"{"measure": "utilization", "order": "deadline", "ttl_ms": 5,
            "hold_back": {"share": 0.25, "below": -3}, "room": {"waiting": 3},
            "queue": {"flow_bytes": 7}}"#,
    )
    .unwrap();
    assert_eq!(config.measure, Measure::Utilization);
    assert_eq!(config.order, Order::Deadline);
    assert_eq!(config.hold_back.below, Priority(-3));
    assert_eq!(
        (config.room.waiting, config.ttl_ms, config.flow.bytes),
        (3.0, 5, 7)
    );
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let mistakes = check(
        r#"{"measure": "guess", "room": {"waiting": 0, "kv": 1}, "ttl_ms": 0,
            "hold_back": {"below": 0.5}, "queue": {"bytes": -1}, "typo": 1}"#,
    )
    .unwrap_err();
    for part in [
        "admission.limits.measure: must be one of predicted_ttft, utilization, got \"guess\"",
        "admission.limits.room.waiting: must be a number from 1 to 100000, got 0",
        "admission.limits.room.kv: unknown field",
        "admission.limits.ttl_ms: must be a whole number",
        "admission.limits.hold_back.below: must be a whole number, got 0.5",
        "admission.limits.queue.bytes: must be a whole number",
        "admission.limits.typo: unknown field",
    ] {
        assert!(
            mistakes.iter().any(|mistake| mistake.starts_with(part)),
            "{part} is not in {mistakes:#?}"
        );
    }
    assert_eq!(mistakes.len(), 7, "{mistakes:#?}");
}
