//! vLLM 0.6 to 0.33.
//!
//! * `kv_cache_usage_perc` came in 0.9.2 beside `gpu_cache_usage_perc`, which went in 0.12.
//! * Queue, batch and `lora_requests_info` never changed their names; the label `engine` came in
//!   0.8.5: one series per data-parallel engine. Before the first request a server with several
//!   API processes has no samples of these at all, which is unknown and not zero.
//! * `cache_config_info` (0.8.5) has block size and count as labels. `num_gpu_blocks` counts one
//!   block too many (the null block), may be `None`, and under data parallelism every engine's
//!   series names the sum of all.
//! * `prefix_cache_hits_total` (0.9.2) counts tokens. `gpu_prefix_cache_hits_total` (0.7.3 to 0.11)
//!   is not read: it counted blocks at first. Tokens from a cache outside of the engine
//!   (`external_prefix_cache_hits_total`) count as computed.
//! * `engine_sleep_state` (0.11) is 0 at `awake` while the engine sleeps.
//! * Gauges and token counters move with every step of the engine. With `--shutdown-timeout` a
//!   server that drains looks idle here while it refuses every request: no metric shows it.

use super::{
    field::Field,
    table::{Preset, PresetRule},
};

pub(super) const PRESET: Preset = Preset {
    name: "vllm",
    metrics_path: "/metrics",
    rules: &[
        PresetRule::value(Field::Waiting, "vllm:num_requests_waiting"),
        PresetRule::value(Field::Running, "vllm:num_requests_running"),
        PresetRule::value(Field::KvUsage, "vllm:kv_cache_usage_perc"),
        PresetRule::value(Field::KvUsage, "vllm:gpu_cache_usage_perc"),
        PresetRule::label(Field::KvBlockSize, "vllm:cache_config_info", "block_size"),
        PresetRule::label(Field::KvBlocks, "vllm:cache_config_info", "num_gpu_blocks"),
        PresetRule::value(Field::Lora, "vllm:lora_requests_info"),
        PresetRule::value(Field::GenerationTokens, "vllm:generation_tokens_total"),
        PresetRule::value(Field::PromptTokens, "vllm:prompt_tokens_total"),
        PresetRule::value(Field::CachedPromptTokens, "vllm:prefix_cache_hits_total"),
        PresetRule::value(Field::Success, "vllm:request_success_total"),
        PresetRule::value(
            Field::Awake,
            "vllm:engine_sleep_state{sleep_state=\"awake\"}",
        ),
        PresetRule::value(Field::ProcessStart, "process_start_time_seconds"),
    ],
    mirrored: &[],
    moves_every_step: true,
};
