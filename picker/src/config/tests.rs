#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

fn check(json: &str) -> Result<PickerConfig, Vec<String>> {
    let raw: RawPickerConfig = serde_json::from_str(json).unwrap();
    let mut mistakes = Vec::new();
    match raw.check("picker", &mut mistakes) {
        Some(config) => {
            assert!(mistakes.is_empty(), "accepted in spite of {mistakes:?}");
            Ok(config)
        }
        None => Err(mistakes),
    }
}

#[test]
fn nothing_given_is_the_default() {
    for json in ["{}", "null", r#"{"weights": null, "policy": null}"#] {
        assert_eq!(check(json), Ok(PickerConfig::default()), "{json}");
    }
    let mut mistakes = Vec::new();
    let config = RawPickerConfig::default().check("picker", &mut mistakes);
    assert_eq!(config, Some(PickerConfig::default()));
}

#[test]
fn the_documented_example_is_the_default() {
    let json = r#"{
        "policy": "scored",
        "weights": {"queue": 2, "kv_cache": 2, "prefix": 3, "lora": 2, "load": 1},
        "freshness": {"fresh_ms": 1000, "expired_ms": 5000},
        "prefix": {"block_bytes": 256, "max_bytes": 16384,
                   "capacity_blocks": 32768, "total_blocks": 4194304},
        "retries": {"choices": 3}
    }"#;
    assert_eq!(check(json), Ok(PickerConfig::default()));
}

#[test]
fn every_field_is_read() {
    let config = check(
        r#"{
        "policy": "gie_v0_3",
        "weights": {"queue": 0.5, "kv_cache": 0, "prefix": 4, "lora": 100, "load": 7},
        "freshness": {"fresh_ms": 10, "expired_ms": 20},
        "prefix": {"block_bytes": 64, "max_bytes": 640, "capacity_blocks": 90, "total_blocks": 99},
        "retries": {"choices": 1}
    }"#,
    );
    let expected = PickerConfig {
        policy: PolicyName::GieV03,
        weights: Weights {
            queue: 0.5,
            kv_cache: 0.0,
            prefix: 4.0,
            lora: 100.0,
            load: 7.0,
        },
        freshness: Ladder::new(10, 20).unwrap(),
        prefix: PrefixConfig {
            block_bytes: 64,
            max_bytes: 640,
            capacity_blocks: 90,
            total_blocks: 99,
        },
        choices: 1,
    };
    assert_eq!(config, Ok(expected));
}

#[test]
fn every_policy_has_a_name() {
    for name in PolicyName::ALL {
        let json = format!(r#"{{"policy": "{}"}}"#, name.as_str());
        assert_eq!(check(&json).map(|config| config.policy), Ok(name));
    }
}

#[test]
fn all_mistakes_are_listed_at_once() {
    let mistakes = check(
        r#"{
        "policy": "best",
        "colour": 1,
        "weights": {"queue": -1, "kv_cache": "2", "prefix": 1e400, "gpu": 1, "load": 101},
        "freshness": {"fresh_ms": 5000, "expired_ms": 5000},
        "prefix": {"block_bytes": 512, "max_bytes": 511, "capacity_blocks": 1.5, "total_blocks": 0},
        "retries": 3
    }"#
        .replace("1e400", "[1]")
        .as_str(),
    );
    let expected = [
        "picker.policy: must be one of scored, round_robin, least_in_flight, random, gie_v0_3, \
         gie_0605, cost, power_of_two, blend, sticky, higress, got \"best\"",
        "picker.retries: must be an object, got 3",
        "picker.colour: unknown field, allowed are policy, weights, freshness, prefix, retries",
        "picker.weights.queue: must be a number from 0 to 100, got -1",
        "picker.weights.kv_cache: must be a number from 0 to 100, got \"2\"",
        "picker.weights.prefix: must be a number from 0 to 100, got a list",
        "picker.weights.load: must be a number from 0 to 100, got 101",
        "picker.weights.gpu: unknown field, allowed are queue, kv_cache, prefix, lora, load",
        "picker.freshness.expired_ms: must be greater than fresh_ms (5000), got 5000",
        "picker.prefix.capacity_blocks: must be a whole number from 64 to 1048576, got 1.5",
        "picker.prefix.total_blocks: must be a whole number from 64 to 16777216, got 0",
        "picker.prefix.max_bytes: must be at least block_bytes (512), got 511",
    ];
    assert_eq!(mistakes, Err(expected.map(str::to_owned).to_vec()));
}

#[test]
fn a_field_given_twice_is_a_mistake() {
    let mistakes = check(r#"{"retries": {"choices": 1, "choices": 2}}"#);
    assert_eq!(
        mistakes,
        Err(vec!["picker.retries.choices: given 2 times".to_owned()])
    );
}

#[test]
fn nothing_written_can_break_the_message() {
    let long = "x".repeat(1_000);
    let mistakes = check(&format!(r#"{{"policy": "{long}", "a\nb{long}": 1}}"#)).unwrap_err();
    for mistake in mistakes {
        assert!(mistake.len() < 300, "too long: {mistake}");
        assert!(!mistake.contains('\n'), "line break in {mistake:?}");
    }
}

#[test]
fn anything_but_an_object_is_refused() {
    for json in ["3", "\"scored\"", "[]", "true", "1.5"] {
        assert_eq!(
            check(json).map_err(|mistakes| mistakes.len()),
            Err(1),
            "{json}"
        );
    }
}
