//! SGLang with `--enable-metrics`.
//!
//! * The series carry the rank in `tp_rank`, `pp_rank` and `moe_ep_rank` (all of them only with
//!   metrics for all schedulers): ranks of one scheduler mirror each other, so the greatest counts.
//!   `dp_rank` tells schedulers of their own apart: those are added up.
//! * With priority scheduling there is one more series per priority; the total has an empty label.
//! * `token_usage` is the maximum over the pools (full attention, sliding window, state space).
//! * Token counters move when a request ends and gauges at log intervals, so standing still says
//!   nothing about the engine's life.

use super::{
    field::Field,
    table::{Preset, PresetRule},
};

pub(super) const PRESET: Preset = Preset {
    name: "sglang",
    metrics_path: "/metrics",
    rules: &[
        PresetRule::value(Field::Waiting, "sglang:num_queue_reqs{priority=\"\"}"),
        PresetRule::value(Field::Running, "sglang:num_running_reqs{priority=\"\"}"),
        PresetRule::value(Field::KvUsage, "sglang:token_usage"),
        PresetRule::label(Field::KvBlockSize, "sglang:cache_config_info", "page_size"),
        PresetRule::label(Field::KvBlocks, "sglang:cache_config_info", "num_pages"),
        PresetRule::value(Field::GenerationTokens, "sglang:generation_tokens_total"),
        PresetRule::value(Field::PromptTokens, "sglang:prompt_tokens_total"),
        PresetRule::value(Field::Success, "sglang:num_requests_total"),
        PresetRule::value(Field::ProcessStart, "process_start_time_seconds"),
    ],
    mirrored: &["tp_rank", "pp_rank", "moe_ep_rank"],
    moves_every_step: false,
};
