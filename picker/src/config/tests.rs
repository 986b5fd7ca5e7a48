#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::step_model::StepModel;

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
        "policy": "cost",
        "cost": {"ttft_weight": 10, "delay_weight": 0.15, "near_tie": 0.02,
                 "several_gateways_near_tie": 0.05, "step_base_us": 5500,
                 "step_token_us": 20, "step_kv_token_us": 0.15, "token_budget": 2048,
                 "max_num_seqs": 256, "kv_tokens": 112000, "kv_limit": 0.95, "pressure_weight": 100,
                 "pressure_cap_s": 20, "mean_prompt_tokens": 250, "mean_output_tokens": 225,
                 "bytes_per_token": 4, "least_uncached_tokens": 16, "lora_load_s": 0.1,
                 "lora_wait_s": 5, "lora_full_s": 20, "rendezvous_discount": 0.5,
                 "chat_share": 0.9, "session_tokens": 500, "same_engine_factor": 1.3,
                 "price_weight": 0},
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
        "cost": {"ttft_weight": 1, "delay_weight": 2, "near_tie": 0.1,
                 "several_gateways_near_tie": 0.2, "step_base_us": 3,
                 "step_token_us": 4, "step_kv_token_us": 5, "token_budget": 512,
                 "max_num_seqs": 7, "kv_tokens": 8000, "kv_limit": 0.5, "pressure_weight": 9,
                 "pressure_cap_s": 10, "mean_prompt_tokens": 11, "mean_output_tokens": 12,
                 "bytes_per_token": 13, "least_uncached_tokens": 14, "lora_load_s": 15,
                 "lora_wait_s": 16, "lora_full_s": 17, "rendezvous_discount": 0.18,
                 "chat_share": 0.3, "session_tokens": 19, "same_engine_factor": 2,
                 "price_weight": 1.5},
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
        cost: CostConfig {
            ttft_weight: 1.0,
            delay_weight: 2.0,
            near_tie: 0.1,
            several_gateways_near_tie: 0.2,
            step: StepModel {
                base_us: 3.0,
                token_us: 4.0,
                kv_token_us: 5.0,
            },
            token_budget: 512.0,
            max_num_seqs: 7.0,
            kv_tokens: 8_000.0,
            kv_limit: 0.5,
            pressure_weight: 9.0,
            pressure_cap_s: 10.0,
            mean_prompt_tokens: 11.0,
            mean_output_tokens: 12.0,
            bytes_per_token: 13.0,
            least_uncached_tokens: 14.0,
            lora_load_s: 15.0,
            lora_wait_s: 16.0,
            lora_full_s: 17.0,
            rendezvous_discount: 0.18,
            chat_share: 0.3,
            session_tokens: 19.0,
            same_engine_factor: 2.0,
            price_weight: 1.5,
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
        "cost": {"ttft_weight": -1, "kv_limit": 1.01, "step_base_us": 0, "gpu": 1},
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
        "picker.colour: unknown field, allowed are policy, weights, cost, freshness, prefix, retries",
        "picker.weights.queue: must be a number from 0 to 100, got -1",
        "picker.weights.kv_cache: must be a number from 0 to 100, got \"2\"",
        "picker.weights.prefix: must be a number from 0 to 100, got a list",
        "picker.weights.load: must be a number from 0 to 100, got 101",
        "picker.weights.gpu: unknown field, allowed are queue, kv_cache, prefix, lora, load",
        "picker.cost.ttft_weight: must be a number from 0 to 1000, got -1",
        "picker.cost.step_base_us: must be a number from 1 to 1000000, got 0",
        "picker.cost.kv_limit: must be a number from 0.1 to 1, got 1.01",
        "picker.cost.gpu: unknown field, allowed are ttft_weight, delay_weight, near_tie, \
         several_gateways_near_tie, step_base_us, step_token_us, step_kv_token_us, token_budget, max_num_seqs, kv_tokens, \
         kv_limit, pressure_weight, pressure_cap_s, mean_prompt_tokens, mean_output_tokens, \
         bytes_per_token, least_uncached_tokens, lora_load_s, lora_wait_s, lora_full_s, \
         rendezvous_discount, chat_share, session_tokens, same_engine_factor, price_weight",
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
