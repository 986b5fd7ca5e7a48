//! What the contract allows: bounds on names, counts and values, shared by the protobuf conversion
//! and the slots, so that neither lets through what the other would refuse.
//!
//! A value outside its range is a lie or a defect, and either way says nothing: it becomes unknown,
//! never zero and never the nearest bound, because a bound would still attract or repel traffic.

use picker::{InFlight, StepModel};

/// The longest pool name, in bytes.
pub const MAX_POOL_NAME_BYTES: usize = 128;
/// The longest gateway id, in bytes.
pub const MAX_GATEWAY_ID_BYTES: usize = 128;
/// The longest adapter name, in characters.
pub const MAX_ADAPTER_NAME_CHARS: usize = 256;
/// The most adapters in one list of one endpoint.
pub const MAX_ADAPTERS: usize = 512;
/// The most endpoints in one pool.
pub const MAX_ENDPOINTS: usize = 10_000;
/// The most pools that one gateway may ask for.
pub const MAX_POOLS: usize = 64;
/// The largest protobuf message that either side should accept, in bytes. A pool of
/// [`MAX_ENDPOINTS`] endpoints takes about a third of it.
pub const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// The longest name of a model, in bytes.
pub const MAX_MODEL_NAME_BYTES: usize = 256;
/// The longest name of an objective or of the resource behind a rule, in bytes; Kubernetes allows
/// 253.
pub const MAX_RESOURCE_NAME_BYTES: usize = 253;
/// The most rules, objectives or models, each, in the policy of one pool.
pub const MAX_POLICY_ENTRIES: usize = 10_000;
/// The most targets of one rule.
pub const MAX_TARGETS: usize = 100;
/// The largest weight of a target.
pub const MAX_TARGET_WEIGHT: u32 = 1_000_000;
/// The largest policy of one pool as a slot's value, in bytes: it must fit into a message beside
/// its frame, and a worker decodes it between two requests.
pub const MAX_POLICY_BYTES: usize = 1024 * 1024;

/// The longest credible queue or batch, in requests.
pub const MAX_REQUESTS: f32 = 1_000_000.0;
/// The most requests that one gateway can credibly refuse between two of its reports, a second apart.
pub const MAX_SHEDS: u64 = 1_000_000;
/// The most credible tokens in flight at one endpoint: [`MAX_REQUESTS`] of a million each.
pub const MAX_TOKENS_IN_FLIGHT: u64 = 1_000_000_000_000;
/// The longest credible fixed part of a step, in microseconds.
pub const MAX_STEP_BASE_US: f32 = 10_000_000.0;
/// The most credible microseconds per token of a step, computed or attended to.
pub const MAX_STEP_TOKEN_US: f32 = 1_000_000.0;
/// The shortest credible step (of one token, without any context), in microseconds. A step that
/// takes nothing would make its endpoint a magnet.
pub const MIN_STEP_US: f32 = 1.0;
/// The most credible tokens of one answer.
pub const MAX_OUTPUT_TOKENS: f32 = 1_000_000.0;
/// The longest credible context, in tokens.
pub const MAX_MODEL_LEN: u32 = 100_000_000;
/// Utilization up to here is rounding of a full cache and read as 1.
pub const KV_USAGE_TOLERANCE: f32 = 1.01;
/// The largest credible KV-cache block, in tokens.
pub const MAX_KV_BLOCK_SIZE: u32 = 65_536;
/// The largest credible KV cache, in blocks.
pub const MAX_KV_BLOCKS: u32 = 1_000_000_000;
/// The lowest weight that an operator can give.
pub const MIN_WEIGHT: f32 = 0.01;
/// The highest weight that an operator can give.
pub const MAX_WEIGHT: f32 = 100.0;
/// The lowest price that an operator can give.
pub const MIN_PRICE: f32 = 0.01;
/// The highest price that an operator can give.
pub const MAX_PRICE: f32 = 100.0;

/// A count of requests: finite and in `0..=MAX_REQUESTS`, else `None`.
#[must_use]
pub fn requests(value: f32) -> Option<f32> {
    // Adding zero turns -0.0 into 0.0, so that equal values have equal bytes.
    (0.0..=MAX_REQUESTS).contains(&value).then_some(value + 0.0)
}

/// A load of at most [`MAX_REQUESTS`] requests, no more of them prefilling than there are, with at
/// most [`MAX_TOKENS_IN_FLIGHT`] tokens of either kind; else `None`.
#[must_use]
pub const fn in_flight(load: InFlight) -> Option<InFlight> {
    let credible = load.requests <= MAX_REQUESTS as u32
        && load.prefilling <= load.requests
        && load.tokens <= MAX_TOKENS_IN_FLIGHT
        && load.prefill_tokens <= MAX_TOKENS_IN_FLIGHT;
    if credible { Some(load) } else { None }
}

/// Requests that were refused between two reports, at most [`MAX_SHEDS`]; else `None`.
#[must_use]
pub fn sheds(grown: u64) -> Option<u64> {
    (grown <= MAX_SHEDS).then_some(grown)
}

/// A KV-cache utilization in `0..=1`, where `1..=KV_USAGE_TOLERANCE` counts as 1; else `None`.
#[must_use]
pub fn kv_usage(value: f32) -> Option<f32> {
    (0.0..=KV_USAGE_TOLERANCE)
        .contains(&value)
        .then(|| value.min(1.0) + 0.0)
}

/// A step model whose coefficients are 0 or more, within their bounds, and make a step of one token
/// take at least [`MIN_STEP_US`]; else `None`.
#[must_use]
pub fn step_model(model: StepModel) -> Option<StepModel> {
    let within = |value: f32, most: f32| (0.0..=most).contains(&value).then_some(value + 0.0);
    let model = StepModel {
        base_us: within(model.base_us, MAX_STEP_BASE_US)?,
        token_us: within(model.token_us, MAX_STEP_TOKEN_US)?,
        kv_token_us: within(model.kv_token_us, MAX_STEP_TOKEN_US)?,
    };
    (model.base_us + model.token_us >= MIN_STEP_US).then_some(model)
}

/// A mean answer in `1..=MAX_OUTPUT_TOKENS` tokens, else `None`.
#[must_use]
pub fn mean_output_tokens(value: f32) -> Option<f32> {
    (1.0..=MAX_OUTPUT_TOKENS).contains(&value).then_some(value)
}

/// A context length in `1..=MAX_MODEL_LEN` tokens, else `None`.
#[must_use]
pub fn max_model_len(value: u32) -> Option<u32> {
    (1..=MAX_MODEL_LEN).contains(&value).then_some(value)
}

/// A weight in `MIN_WEIGHT..=MAX_WEIGHT`, else `None`.
#[must_use]
pub fn weight(value: f32) -> Option<f32> {
    (MIN_WEIGHT..=MAX_WEIGHT).contains(&value).then_some(value)
}

/// A price in `MIN_PRICE..=MAX_PRICE`, else `None`.
#[must_use]
pub fn price(value: f32) -> Option<f32> {
    (MIN_PRICE..=MAX_PRICE).contains(&value).then_some(value)
}

/// Tokens per KV-cache block in `1..=MAX_KV_BLOCK_SIZE`, else `None`.
#[must_use]
pub fn kv_block_size(value: u32) -> Option<u32> {
    (1..=MAX_KV_BLOCK_SIZE).contains(&value).then_some(value)
}

/// KV-cache blocks in `1..=MAX_KV_BLOCKS`, else `None`.
#[must_use]
pub fn kv_blocks(value: u32) -> Option<u32> {
    (1..=MAX_KV_BLOCKS).contains(&value).then_some(value)
}

/// Whether `name` can name a pool: 1..128 bytes of visible ASCII (`!` to `~`).
#[must_use]
pub fn is_pool_name(name: &str) -> bool {
    is_ascii_name(name, MAX_POOL_NAME_BYTES)
}

/// Whether `id` can name a gateway: 1..128 bytes of visible ASCII (`!` to `~`).
#[must_use]
pub fn is_gateway_id(id: &str) -> bool {
    is_ascii_name(id, MAX_GATEWAY_ID_BYTES)
}

/// Whether `name` can name a model: 1..256 bytes without control characters.
#[must_use]
pub fn is_model_name(name: &str) -> bool {
    (1..=MAX_MODEL_NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control)
}

/// Whether `name` can name an objective or another resource: 1..253 bytes of visible ASCII.
#[must_use]
pub fn is_resource_name(name: &str) -> bool {
    is_ascii_name(name, MAX_RESOURCE_NAME_BYTES)
}

fn is_ascii_name(name: &str, max_bytes: usize) -> bool {
    (1..=max_bytes).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether `name` can name a LoRA adapter: 1..256 characters, none of them control or white space.
#[must_use]
pub fn is_adapter_name(name: &str) -> bool {
    if name.is_ascii() {
        return is_ascii_name(name, MAX_ADAPTER_NAME_CHARS);
    }
    name.chars().take(MAX_ADAPTER_NAME_CHARS + 1).count() <= MAX_ADAPTER_NAME_CHARS
        && !name.chars().any(|c| c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const LIES: [f32; 6] = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        -1.0,
        -f32::MIN_POSITIVE,
        3.0e38,
    ];

    #[test]
    fn no_lie_becomes_a_value() {
        for lie in LIES {
            assert_eq!(requests(lie), None, "requests {lie}");
            assert_eq!(kv_usage(lie), None, "utilization {lie}");
            assert_eq!(mean_output_tokens(lie), None, "mean output {lie}");
            assert_eq!(weight(lie), None, "weight {lie}");
            assert_eq!(price(lie), None, "price {lie}");
        }
        assert_eq!(sheds(u64::MAX), None);
        assert_eq!(mean_output_tokens(0.5), None, "an answer has a token");
        assert_eq!(max_model_len(0), None);
        assert_eq!(max_model_len(u32::MAX), None);
        assert_eq!(kv_block_size(0), None);
        assert_eq!(kv_blocks(0), None);
        assert_eq!(kv_blocks(u32::MAX), None);
    }

    #[test]
    fn one_lying_coefficient_makes_the_whole_step_unknown() {
        let sound = StepModel::default();
        assert_eq!(step_model(sound), Some(sound));
        for lie in LIES {
            for place in 0..3 {
                let mut model = sound;
                *[
                    &mut model.base_us,
                    &mut model.token_us,
                    &mut model.kv_token_us,
                ][place] = lie;
                assert_eq!(step_model(model), None, "{lie} at {place}");
            }
        }
        let free = StepModel {
            base_us: 0.0,
            token_us: 0.0,
            kv_token_us: 1.0,
        };
        assert_eq!(step_model(free), None, "a step that takes nothing");
    }

    #[test]
    fn loads_are_bounded_and_consistent() {
        let sound = InFlight {
            requests: 3,
            tokens: 100,
            prefilling: 3,
            prefill_tokens: 50,
        };
        assert_eq!(in_flight(sound), Some(sound));
        assert_eq!(in_flight(InFlight::default()), Some(InFlight::default()));
        for lie in [
            InFlight {
                requests: 1_000_001,
                ..sound
            },
            InFlight {
                prefilling: 4,
                ..sound
            },
            InFlight {
                tokens: MAX_TOKENS_IN_FLIGHT + 1,
                ..sound
            },
            InFlight {
                prefill_tokens: u64::MAX,
                ..sound
            },
        ] {
            assert_eq!(in_flight(lie), None, "{lie:?}");
        }
    }

    #[test]
    fn the_bounds_themselves_are_values() {
        assert_eq!(requests(0.0), Some(0.0));
        assert_eq!(requests(MAX_REQUESTS), Some(MAX_REQUESTS));
        assert_eq!(requests(MAX_REQUESTS + 1.0), None);
        assert_eq!(sheds(MAX_SHEDS), Some(MAX_SHEDS));
        assert_eq!(sheds(MAX_SHEDS + 1), None);
        assert_eq!(kv_usage(1.0), Some(1.0));
        assert_eq!(kv_usage(1.005), Some(1.0), "rounding of a full cache");
        assert_eq!(kv_usage(1.02), None, "per cent sent as a ratio, say");
        assert_eq!(weight(MIN_WEIGHT), Some(MIN_WEIGHT));
        assert_eq!(weight(MAX_WEIGHT), Some(MAX_WEIGHT));
        assert_eq!(price(MIN_PRICE), Some(MIN_PRICE));
        assert_eq!(price(MAX_PRICE), Some(MAX_PRICE));
        assert_eq!(kv_block_size(1), Some(1));
        assert_eq!(mean_output_tokens(1.0), Some(1.0));
        assert_eq!(max_model_len(MAX_MODEL_LEN), Some(MAX_MODEL_LEN));
    }

    #[test]
    fn negative_zero_is_stored_as_zero() {
        assert_eq!(requests(-0.0).map(f32::to_bits), Some(0));
        assert_eq!(kv_usage(-0.0).map(f32::to_bits), Some(0));
        let model = StepModel {
            kv_token_us: -0.0,
            ..StepModel::default()
        };
        let bits = step_model(model).map(|model| model.kv_token_us.to_bits());
        assert_eq!(bits, Some(0));
    }

    #[test]
    fn names_are_visible_and_bounded() {
        assert!(is_pool_name("default/llama-3"));
        assert!(is_pool_name(&"p".repeat(128)));
        for bad in ["", "a b", "a\n", "caf\u{e9}", &"p".repeat(129)] {
            assert!(!is_pool_name(bad), "pool name {bad:?}");
        }
        assert!(is_model_name("meta-llama/Llama 3"));
        assert!(is_model_name(&"m".repeat(256)));
        for bad in ["", "a\nb", "a\u{85}b", &"m".repeat(257)] {
            assert!(!is_model_name(bad), "model name {bad:?}");
        }
        assert!(is_resource_name(&"r".repeat(253)));
        for bad in ["", "a b", "caf\u{e9}", &"r".repeat(254)] {
            assert!(!is_resource_name(bad), "resource name {bad:?}");
        }
        assert!(is_adapter_name("sql-v2"));
        assert!(
            is_adapter_name(&"\u{6a21}".repeat(256)),
            "characters count, not bytes"
        );
        for bad in [
            "",
            "a b",
            "a\r\nb",
            "a\u{2028}b",
            &"\u{6a21}".repeat(257),
            &"a".repeat(257),
        ] {
            assert!(!is_adapter_name(bad), "adapter name {bad:?}");
        }
    }
}
