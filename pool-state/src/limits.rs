//! What the contract allows: bounds on names, counts and values, shared by the protobuf conversion
//! and the slots, so that neither lets through what the other would refuse.
//!
//! A value outside its range is a lie or a defect, and either way says nothing: it becomes unknown,
//! never zero and never the nearest bound, because a bound would still attract or repel traffic.

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

/// The longest credible queue or batch, in requests.
pub const MAX_REQUESTS: f32 = 1_000_000.0;
/// The highest credible speed of one endpoint, in tokens per second.
pub const MAX_TOKENS_PER_SECOND: f32 = 10_000_000.0;
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

/// A count of requests: finite and in `0..=MAX_REQUESTS`, else `None`.
#[must_use]
pub fn requests(value: f32) -> Option<f32> {
    // Adding zero turns -0.0 into 0.0, so that equal values have equal bytes.
    (0.0..=MAX_REQUESTS).contains(&value).then_some(value + 0.0)
}

/// A whole number of requests in `0..=MAX_REQUESTS`, else `None`.
#[must_use]
pub fn request_count(value: u32) -> Option<u32> {
    (value <= MAX_REQUESTS as u32).then_some(value)
}

/// A KV-cache utilization in `0..=1`, where `1..=KV_USAGE_TOLERANCE` counts as 1; else `None`.
#[must_use]
pub fn kv_usage(value: f32) -> Option<f32> {
    (0.0..=KV_USAGE_TOLERANCE)
        .contains(&value)
        .then(|| value.min(1.0) + 0.0)
}

/// A speed above 0 and at most [`MAX_TOKENS_PER_SECOND`], else `None`.
#[must_use]
pub fn tokens_per_second(value: f32) -> Option<f32> {
    (value > 0.0 && value <= MAX_TOKENS_PER_SECOND).then_some(value)
}

/// A weight in `MIN_WEIGHT..=MAX_WEIGHT`, else `None`.
#[must_use]
pub fn weight(value: f32) -> Option<f32> {
    (MIN_WEIGHT..=MAX_WEIGHT).contains(&value).then_some(value)
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
            assert_eq!(tokens_per_second(lie), None, "speed {lie}");
            assert_eq!(weight(lie), None, "weight {lie}");
        }
        assert_eq!(
            tokens_per_second(0.0),
            None,
            "a speed of nothing is unknown"
        );
        assert_eq!(kv_block_size(0), None);
        assert_eq!(kv_blocks(0), None);
        assert_eq!(kv_blocks(u32::MAX), None);
    }

    #[test]
    fn the_bounds_themselves_are_values() {
        assert_eq!(requests(0.0), Some(0.0));
        assert_eq!(requests(MAX_REQUESTS), Some(MAX_REQUESTS));
        assert_eq!(requests(MAX_REQUESTS + 1.0), None);
        assert_eq!(kv_usage(1.0), Some(1.0));
        assert_eq!(kv_usage(1.005), Some(1.0), "rounding of a full cache");
        assert_eq!(kv_usage(1.02), None, "per cent sent as a ratio, say");
        assert_eq!(weight(MIN_WEIGHT), Some(MIN_WEIGHT));
        assert_eq!(weight(MAX_WEIGHT), Some(MAX_WEIGHT));
        assert_eq!(kv_block_size(1), Some(1));
    }

    #[test]
    fn negative_zero_is_stored_as_zero() {
        assert_eq!(requests(-0.0).map(f32::to_bits), Some(0));
        assert_eq!(kv_usage(-0.0).map(f32::to_bits), Some(0));
    }

    #[test]
    fn names_are_visible_and_bounded() {
        assert!(is_pool_name("default/llama-3"));
        assert!(is_pool_name(&"p".repeat(128)));
        for bad in ["", "a b", "a\n", "caf\u{e9}", &"p".repeat(129)] {
            assert!(!is_pool_name(bad), "pool name {bad:?}");
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
