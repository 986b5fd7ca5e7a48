//! Engines that say less: Text Generation Inference, LMDeploy and llama.cpp's server. What they do
//! not say stays unknown; none of them moves its numbers with every step for certain.

use super::{
    field::Field,
    table::{Preset, PresetRule},
};

/// Hugging Face Text Generation Inference: no KV-cache utilization.
pub(super) const TGI: Preset = Preset {
    name: "tgi",
    metrics_path: "/metrics",
    rules: &[
        PresetRule::value(Field::Waiting, "tgi_queue_size"),
        PresetRule::value(Field::Running, "tgi_batch_current_size"),
        PresetRule::value(Field::Success, "tgi_request_success"),
    ],
    mirrored: &[],
    moves_every_step: false,
};

/// LMDeploy: one series per engine.
pub(super) const LMDEPLOY: Preset = Preset {
    name: "lmdeploy",
    metrics_path: "/metrics",
    rules: &[
        PresetRule::value(Field::Waiting, "lmdeploy:num_requests_waiting"),
        PresetRule::value(Field::Running, "lmdeploy:num_requests_running"),
        PresetRule::value(Field::KvUsage, "lmdeploy:gpu_cache_usage_perc"),
        PresetRule::value(Field::GenerationTokens, "lmdeploy:generation_tokens_total"),
        PresetRule::value(Field::PromptTokens, "lmdeploy:prompt_tokens_total"),
        PresetRule::value(Field::ProcessStart, "process_start_time_seconds"),
    ],
    mirrored: &[],
    moves_every_step: false,
};

/// llama.cpp's server with `--metrics`: no labels; the utilization only in older builds.
pub(super) const LLAMA_CPP: Preset = Preset {
    name: "llama-cpp",
    metrics_path: "/metrics",
    rules: &[
        PresetRule::value(Field::Waiting, "llamacpp:requests_deferred"),
        PresetRule::value(Field::Running, "llamacpp:requests_processing"),
        PresetRule::value(Field::KvUsage, "llamacpp:kv_cache_usage_ratio"),
        PresetRule::value(Field::GenerationTokens, "llamacpp:tokens_predicted_total"),
        PresetRule::value(Field::PromptTokens, "llamacpp:prompt_tokens_total"),
    ],
    mirrored: &[],
    moves_every_step: false,
};
