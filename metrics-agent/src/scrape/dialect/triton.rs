//! Triton with the TensorRT-LLM backend (port 8002).
//!
//! Older releases lack `waiting` and `fraction`: the queue is then what is active beyond the batch,
//! and the utilization is used over max (over all models of the server, if there are several).

use super::{
    field::Field,
    table::{Preset, PresetRule},
};

pub(super) const PRESET: Preset = Preset {
    name: "triton-tensorrt-llm",
    metrics_path: "/metrics",
    rules: &[
        PresetRule::value(
            Field::Waiting,
            "nv_trt_llm_request_metrics{request_type=\"waiting\"}",
        ),
        PresetRule::value(
            Field::Running,
            "nv_trt_llm_request_metrics{request_type=\"scheduled\"}",
        ),
        PresetRule::value(
            Field::Active,
            "nv_trt_llm_request_metrics{request_type=\"active\"}",
        ),
        PresetRule::value(
            Field::KvUsage,
            "nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"fraction\"}",
        ),
        PresetRule::value(
            Field::KvUsed,
            "nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"used\"}",
        ),
        PresetRule::value(
            Field::KvTotal,
            "nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"max\"}",
        ),
        PresetRule::value(
            Field::KvBlockSize,
            "nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"tokens_per\"}",
        ),
        PresetRule::value(
            Field::KvBlocks,
            "nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=\"max\"}",
        ),
    ],
    mirrored: &[],
    moves_every_step: false,
};
