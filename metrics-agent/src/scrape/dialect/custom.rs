//! A dialect from the operator's configuration, for engines that are not built in.
//!
//! ```yaml
//! engines:
//!   my-engine:
//!     waiting: 'my_queue{kind="pending"}'
//!     running: my_batch_size
//!     kv_usage: my_cache_share
//!     block_info: {metric: my_cache_info, block_size_label: block, blocks_label: count}
//! ```

use serde::Deserialize;

use super::{
    field::Field,
    lora::LoraLabels,
    selector::Selector,
    table::{Rule, RuleTable, Source},
};

/// A custom dialect as written. Every value is a metric selector: a name, or a name with equality
/// matchers, `name{label="value"}`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawCustomDialect {
    /// Requests in the waiting queue.
    pub waiting: Option<String>,
    /// Requests in the running batch.
    pub running: Option<String>,
    /// KV-cache utilization, 0..1.
    pub kv_usage: Option<String>,
    /// KV-cache blocks or tokens in use; with `kv_total` in place of `kv_usage`.
    pub kv_used: Option<String>,
    /// KV-cache blocks or tokens there are.
    pub kv_total: Option<String>,
    /// Tokens per KV-cache block, as a value.
    pub kv_block_size: Option<String>,
    /// KV-cache blocks, as a value.
    pub kv_blocks: Option<String>,
    /// Block size and count as labels of an info metric.
    pub block_info: Option<RawBlockInfo>,
    /// Generated tokens, a counter.
    pub generation_tokens: Option<String>,
    /// Prompt tokens, a counter.
    pub prompt_tokens: Option<String>,
    /// Prompt tokens found in the prefix cache, a counter.
    pub cached_prompt_tokens: Option<String>,
    /// Finished requests, a counter.
    pub success: Option<String>,
    /// The process's start in seconds since 1970.
    pub process_start_time: Option<String>,
    /// 1 while the engine is awake.
    pub awake: Option<String>,
    /// Adapters in the labels of an info metric.
    pub lora: Option<RawLoraInfo>,
    /// Labels of ranks that mirror each other: of series that differ only in these the greatest
    /// counts.
    pub mirrored_labels: Vec<String>,
    /// Whether the token counters move at every step, so that a busy engine whose numbers stand
    /// still is hung.
    pub moves_every_step: bool,
}

/// Block size and count as labels.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawBlockInfo {
    /// The info metric.
    pub metric: String,
    /// The label with the tokens per block.
    pub block_size_label: Option<String>,
    /// The label with the number of blocks.
    pub blocks_label: Option<String>,
}

/// Adapters as comma-separated lists in labels; the value is the time of the record.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLoraInfo {
    /// The info metric.
    pub metric: String,
    /// The label with the adapters at work.
    pub active_label: String,
    /// The label with the adapters whose requests wait.
    pub waiting_label: Option<String>,
    /// The label with the most adapters of one batch.
    pub max_label: Option<String>,
}

/// A checked custom dialect; make it usable with [`super::Dialect::custom`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomDialect {
    rules: Vec<Rule>,
    mirrored: Vec<String>,
    moves_every_step: bool,
}

impl RawCustomDialect {
    /// Checks everything and lists every mistake with its place below `path`; `None` when there
    /// was any.
    pub fn check(self, path: &str, mistakes: &mut Vec<String>) -> Option<CustomDialect> {
        let before = mistakes.len();
        if self.waiting.is_none() && self.running.is_none() && self.kv_usage.is_none() {
            mistakes.push(format!(
                "{path}: names no load: give at least one of `waiting`, `running` and `kv_usage`"
            ));
        }
        if self.kv_used.is_some() != self.kv_total.is_some() {
            mistakes.push(format!(
                "{path}: `kv_used` and `kv_total` only make sense together: give both or none"
            ));
        }
        let mut rules = Vec::new();
        let mut add = |place: &str, field, selector: Option<String>, source| {
            let Some(text) = selector else { return };
            match Selector::parse(&text) {
                Ok(selector) => rules.push(Rule {
                    field,
                    selector,
                    source,
                }),
                Err(error) => mistakes.push(format!(
                    "{path}.{place}: not a metric selector: {error}; allowed is `name` or \
                     `name{{label=\"value\"}}`, got `{}`",
                    text.escape_debug()
                )),
            }
        };
        add("waiting", Field::Waiting, self.waiting, Source::Value);
        add("running", Field::Running, self.running, Source::Value);
        add("kv_usage", Field::KvUsage, self.kv_usage, Source::Value);
        add("kv_used", Field::KvUsed, self.kv_used, Source::Value);
        add("kv_total", Field::KvTotal, self.kv_total, Source::Value);
        add(
            "kv_block_size",
            Field::KvBlockSize,
            self.kv_block_size,
            Source::Value,
        );
        add("kv_blocks", Field::KvBlocks, self.kv_blocks, Source::Value);
        if let Some(info) = self.block_info {
            let labels = [
                (Field::KvBlockSize, info.block_size_label),
                (Field::KvBlocks, info.blocks_label),
            ];
            for (field, label) in labels {
                if let Some(label) = label {
                    let source = Source::Label(label);
                    add(
                        "block_info.metric",
                        field,
                        Some(info.metric.clone()),
                        source,
                    );
                }
            }
        }
        add(
            "generation_tokens",
            Field::GenerationTokens,
            self.generation_tokens,
            Source::Value,
        );
        add(
            "prompt_tokens",
            Field::PromptTokens,
            self.prompt_tokens,
            Source::Value,
        );
        add(
            "cached_prompt_tokens",
            Field::CachedPromptTokens,
            self.cached_prompt_tokens,
            Source::Value,
        );
        add("success", Field::Success, self.success, Source::Value);
        add(
            "process_start_time",
            Field::ProcessStart,
            self.process_start_time,
            Source::Value,
        );
        add("awake", Field::Awake, self.awake, Source::Value);
        if let Some(lora) = self.lora {
            let labels = LoraLabels {
                active: lora.active_label,
                waiting: lora.waiting_label.unwrap_or_default(),
                max: lora.max_label.unwrap_or_default(),
            };
            add(
                "lora.metric",
                Field::Lora,
                Some(lora.metric),
                Source::Lora(labels),
            );
        }
        (mistakes.len() == before).then_some(CustomDialect {
            rules,
            mirrored: self.mirrored_labels,
            moves_every_step: self.moves_every_step,
        })
    }
}

impl CustomDialect {
    pub(super) fn table(&self, name: &str) -> RuleTable {
        let mut table = RuleTable::default();
        table.add(
            name,
            self.mirrored.clone(),
            self.moves_every_step,
            self.rules.iter().cloned(),
        );
        table
    }
}
