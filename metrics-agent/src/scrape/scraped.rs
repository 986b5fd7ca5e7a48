//! What one scrape said, in the vocabulary of the pool.

use std::sync::Arc;

/// The signals of one metrics page. Everything the page did not say, or said in a way that cannot
/// be true, is `None`; nothing is ever assumed to be zero.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scraped {
    /// The dialect that read the page (`vllm`, `sglang`, ...), with `auto` resolved; empty when no
    /// known metric was found.
    pub dialect: Arc<str>,
    /// Requests in the waiting queue, 0 or more; the sum over data-parallel engines.
    pub waiting: Option<f32>,
    /// Requests in the running batch, 0 or more; the sum over data-parallel engines.
    pub running: Option<f32>,
    /// KV-cache utilization, `0.0..=1.0`; the fullest of several data-parallel engines, because
    /// preemption starts there.
    pub kv_usage: Option<f32>,
    /// Tokens per KV-cache block, at least 1.
    pub kv_block_size: Option<u32>,
    /// KV-cache blocks, at least 1. vLLM counts one block too many (its null block), and under data
    /// parallelism every series already names the sum.
    pub kv_blocks: Option<u32>,
    /// The adapters at work; `None` when the page shows no LoRA series.
    pub lora: Option<AdapterActivity>,
    /// Generated tokens since the engine started; the sum over data-parallel engines.
    pub generation_tokens_total: Option<f64>,
    /// Prompt tokens since the engine started; the sum over data-parallel engines.
    pub prompt_tokens_total: Option<f64>,
    /// Prompt tokens found in the prefix cache since the engine started; the sum over data-parallel
    /// engines.
    pub cached_prompt_tokens_total: Option<f64>,
    /// Finished requests since the engine started, whatever their ending.
    pub success_total: Option<f64>,
    /// When the server's process started, in seconds since 1970.
    pub process_start_time_seconds: Option<f64>,
    /// Whether the engine is awake; `Some(false)` means that it must not be routed to.
    pub awake: Option<bool>,
    /// Whether the engine moves its gauges and token counters at every step, so that a busy engine
    /// whose numbers stand still is hung. Engines that count tokens when a request ends or write
    /// gauges at log intervals give `false`.
    pub moves_every_step: bool,
    /// Names of the served models as the samples' `model_name` label says; at most 8.
    pub models: Vec<Arc<str>>,
    /// What was wrong with the page.
    pub problems: Problems,
}

/// The adapters of an engine that serves LoRA, as its metrics show them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AdapterActivity {
    /// Adapters with a running request, sorted.
    pub active: Vec<Arc<str>>,
    /// Adapters with waiting requests, sorted; the same as `active` in vLLM 0.11 and later.
    pub waiting: Vec<Arc<str>>,
    /// How many adapters one batch can hold; 0 when the page does not say.
    pub max: u32,
}

/// What was wrong with a page. Each costs at most the signal it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Problems {
    /// Lines that are malformed or too long. A line that names a wanted metric makes that signal
    /// unknown.
    pub bad_lines: u32,
    /// Samples of wanted metrics whose value cannot be true: NaN, infinite, negative, over range.
    pub bad_values: u32,
    /// Whether lines were left unread because there were too many, or the body broke off.
    pub truncated: bool,
    /// Whether the page held no metric that the dialect knows.
    pub nothing_known: bool,
}

impl Problems {
    /// Whether the page was read without any complaint.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}
