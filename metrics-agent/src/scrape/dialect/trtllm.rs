//! trtllm-serve, whose Prometheus page is at `/prometheus/metrics` (its `/metrics` is JSON).

use super::{
    field::Field,
    table::{Preset, PresetRule},
};

pub(super) const PRESET: Preset = Preset {
    name: "trtllm-serve",
    metrics_path: "/prometheus/metrics",
    rules: &[
        PresetRule::value(Field::Waiting, "trtllm_num_requests_waiting"),
        PresetRule::value(Field::Running, "trtllm_num_requests_running"),
        PresetRule::value(Field::KvUsage, "trtllm_kv_cache_utilization"),
        PresetRule::value(Field::KvUsed, "trtllm_kv_cache_used_blocks"),
        PresetRule::value(Field::KvTotal, "trtllm_kv_cache_max_blocks"),
        PresetRule::value(Field::KvBlockSize, "trtllm_kv_cache_tokens_per_block"),
        PresetRule::value(Field::KvBlocks, "trtllm_kv_cache_max_blocks"),
        PresetRule::value(Field::GenerationTokens, "trtllm_generation_tokens_total"),
        PresetRule::value(Field::PromptTokens, "trtllm_prompt_tokens_total"),
        PresetRule::value(Field::Success, "trtllm_request_success_total"),
        PresetRule::value(Field::ProcessStart, "process_start_time_seconds"),
    ],
    mirrored: &[],
    moves_every_step: false,
};
