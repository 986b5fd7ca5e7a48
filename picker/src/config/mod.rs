//! The picker's configuration: read leniently, checked strictly, every mistake reported at once.
//!
//! ```text
//!   JSON, YAML ... --serde--> RawPickerConfig --check--> PickerConfig
//!                             (any shape)        |
//!                                                +-> "picker.weights.queue: must be ..., got ..."
//! ```
//!
//! All fields are optional:
//!
//! ```json
//! {
//!   "policy": "cost",
//!   "cost": {"ttft_weight": 10, "delay_weight": 0.15, "near_tie": 0.02,
//!            "several_gateways_near_tie": 0.05, "step_base_us": 5500,
//!            "step_token_us": 20, "step_kv_token_us": 0.15, "token_budget": 2048,
//!            "max_num_seqs": 256, "kv_tokens": 112000, "kv_limit": 0.95, "pressure_weight": 100,
//!            "pressure_cap_s": 20, "mean_prompt_tokens": 250, "mean_output_tokens": 225,
//!            "bytes_per_token": 4, "least_uncached_tokens": 16, "lora_load_s": 0.1,
//!            "lora_wait_s": 5, "lora_full_s": 20, "rendezvous_discount": 0.5,
//!            "chat_share": 0.9, "session_tokens": 500, "same_engine_factor": 1.3,
//!            "price_weight": 0},
//!   "weights": {"queue": 2, "kv_cache": 2, "prefix": 3, "lora": 2, "load": 1},
//!   "freshness": {"fresh_ms": 1000, "expired_ms": 5000},
//!   "prefix": {"block_bytes": 256, "max_bytes": 16384,
//!              "capacity_blocks": 32768, "total_blocks": 4194304},
//!   "retries": {"choices": 3}
//! }
//! ```

mod cost;
mod node;
mod section;

use serde::{Deserialize, Deserializer};

pub use self::{
    cost::CostConfig,
    node::{Decimal, Node},
    section::Section,
};

use crate::{decision::MAX_CHOICES, freshness::Ladder, policy::PolicyName};

/// The greatest weight of a scorer.
const MAX_WEIGHT: f64 = 100.0;
/// A day: the longest age that a step of the ladder may have.
const MAX_AGE_MS: u64 = 86_400_000;

/// The picker's configuration as it was written, any shape accepted; [`RawPickerConfig::check`]
/// says what is wrong with it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RawPickerConfig(Option<Node>);

impl<'de> Deserialize<'de> for RawPickerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Node::deserialize(deserializer).map(|node| Self(Some(node)))
    }
}

impl RawPickerConfig {
    /// The checked configuration, or `None` when there was a mistake.
    ///
    /// Every mistake is appended to `mistakes` as "path.field: what is allowed, got value", with
    /// `path` as the place of this configuration in the whole document.
    pub fn check(self, path: &str, mistakes: &mut Vec<String>) -> Option<PickerConfig> {
        let before = mistakes.len();
        let default = PickerConfig::default();
        let mut root = Section::new(self.0, path, mistakes);
        let policy = root.choice("policy", &PolicyName::ALL.map(|name| (name.as_str(), name)));
        let weights = root.section("weights");
        let cost = root.section("cost");
        let freshness = root.section("freshness");
        let prefix = root.section("prefix");
        let retries = root.section("retries");
        root.finish(mistakes);

        let config = PickerConfig {
            policy: policy.unwrap_or(default.policy),
            weights: check_weights(weights, mistakes),
            cost: cost::check(cost, mistakes),
            freshness: check_freshness(freshness, mistakes),
            prefix: check_prefix(prefix, mistakes),
            choices: check_retries(retries, mistakes),
        };
        (mistakes.len() == before).then_some(config)
    }
}

fn check_weights(mut section: Section, mistakes: &mut Vec<String>) -> Weights {
    let default = Weights::default();
    let mut weight = |name, default: f32| {
        let given = section.number(name, 0.0..=MAX_WEIGHT);
        given.map_or(default, |given| given as f32)
    };
    let weights = Weights {
        queue: weight("queue", default.queue),
        kv_cache: weight("kv_cache", default.kv_cache),
        prefix: weight("prefix", default.prefix),
        lora: weight("lora", default.lora),
        load: weight("load", default.load),
    };
    section.finish(mistakes);
    weights
}

fn check_freshness(mut section: Section, mistakes: &mut Vec<String>) -> Ladder {
    let default = Ladder::default();
    let fresh_ms = section.integer("fresh_ms", 0..=MAX_AGE_MS);
    let expired_ms = section.integer("expired_ms", 1..=MAX_AGE_MS);
    let fresh_ms = fresh_ms.unwrap_or(default.fresh_ms());
    let expired_ms = expired_ms.unwrap_or(default.expired_ms());
    let ladder = Ladder::new(fresh_ms, expired_ms);
    if ladder.is_none() {
        let reason = format!("must be greater than fresh_ms ({fresh_ms})");
        section.refuse("expired_ms", &reason, &expired_ms);
    }
    section.finish(mistakes);
    ladder.unwrap_or_default()
}

fn check_prefix(mut section: Section, mistakes: &mut Vec<String>) -> PrefixConfig {
    let default = PrefixConfig::default();
    let mut size = |name, range, default: u32| {
        let given: Option<u64> = section.integer(name, range);
        given.map_or(default, |given| u32::try_from(given).unwrap_or(default))
    };
    let prefix = PrefixConfig {
        block_bytes: size("block_bytes", 16..=65_536, default.block_bytes),
        max_bytes: size("max_bytes", 16..=1_048_576, default.max_bytes),
        capacity_blocks: size("capacity_blocks", 64..=1_048_576, default.capacity_blocks),
        total_blocks: size("total_blocks", 64..=16_777_216, default.total_blocks),
    };
    if prefix.max_bytes < prefix.block_bytes {
        let reason = format!("must be at least block_bytes ({})", prefix.block_bytes);
        section.refuse("max_bytes", &reason, &prefix.max_bytes);
    }
    section.finish(mistakes);
    prefix
}

fn check_retries(mut section: Section, mistakes: &mut Vec<String>) -> usize {
    let choices = section.integer("choices", 1..=MAX_CHOICES as u64);
    section.finish(mistakes);
    choices.map_or(MAX_CHOICES, |choices| choices as usize)
}

/// What the picker does, checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PickerConfig {
    /// Who decides; others than `cost` are there to compare with (docs/decision.md).
    pub policy: PolicyName,
    /// How much each scorer of the scored policy counts.
    pub weights: Weights,
    /// The parameters of the cost policy.
    pub cost: CostConfig,
    /// When signals fade and expire.
    pub freshness: Ladder,
    /// How prompts are cut into blocks and how many are remembered.
    pub prefix: PrefixConfig,
    /// The most endpoints that a decision names, `1..=3`: one to try first, the others for retries.
    pub choices: usize,
}

impl Default for PickerConfig {
    fn default() -> Self {
        Self {
            policy: PolicyName::default(),
            weights: Weights::default(),
            cost: CostConfig::default(),
            freshness: Ladder::default(),
            prefix: PrefixConfig::default(),
            choices: MAX_CHOICES,
        }
    }
}

/// The weights of the scored policy's scorers, each in `0.0..=100.0`.
///
/// Queue, KV cache and prefix as in the reference's built-in configuration. Keep `queue + load`
/// above `kv_cache`: then a pod that claims an empty cache cannot outweigh its own in-flight
/// requests.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// Weight of the waiting queue in the scored policy, as are the next four.
    pub queue: f32,
    /// KV-cache utilization.
    pub kv_cache: f32,
    /// The cached part of the prompt.
    pub prefix: f32,
    /// LoRA adapter affinity.
    pub lora: f32,
    /// Running requests and the in-flight ledger.
    pub load: f32,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            queue: 2.0,
            kv_cache: 2.0,
            prefix: 3.0,
            lora: 2.0,
            load: 1.0,
        }
    }
}

/// How prompts are cut into blocks and how many blocks are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixConfig {
    /// Prompt bytes per block, `16..=65536`.
    pub block_bytes: u32,
    /// Leading prompt bytes that are hashed, at least one block and at most 1 MiB.
    pub max_bytes: u32,
    /// The most blocks remembered per endpoint, `64..=1048576`; the KV cache's own size bounds it
    /// further when the engine says it. 8 MiB of text by default, some 2 million tokens.
    pub capacity_blocks: u32,
    /// The most blocks remembered for all endpoints of the pool together, `64..=16777216`; each gets
    /// an equal share, at least 64. Bounds the index's memory, at 5 bytes a block to 20 MiB by
    /// default, if every endpoint holds as much as it may (see [`crate::prefix`]).
    pub total_blocks: u32,
}

impl Default for PrefixConfig {
    fn default() -> Self {
        Self {
            block_bytes: 256,
            max_bytes: 16_384,
            capacity_blocks: 32_768,
            total_blocks: 4_194_304,
        }
    }
}

#[cfg(test)]
mod tests;
