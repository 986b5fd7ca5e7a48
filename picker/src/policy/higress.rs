//! Higress' built-in blend: the reference's scorers plus one over its own requests in flight.
//!
//! ```text
//!   total = queue 2 + KV cache 2 + prefix 3 (+ LoRA 1) + in-flight 1
//! ```
//!
//! It scrapes every 2 s, which is the business of whoever feeds us: the simulator runs this policy
//! with that interval. A baseline for comparison; see [`super::blend`] for the scorers.

use super::blend::{Blend, Weights};
use crate::config::PrefixConfig;

const BUILT_IN: Weights = Weights {
    queue: 2.0,
    kv_cache: 2.0,
    prefix: 3.0,
    lora: 1.0,
    in_flight: 1.0,
};

/// The blend with Higress' weights.
pub(crate) fn new(prefix: &PrefixConfig) -> Blend {
    Blend::weighted(BUILT_IN, prefix)
}
