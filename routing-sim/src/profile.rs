//! Named engines.

use model_sim::engine::EngineConfig;

/// Llama-2-7B (multi-head attention) on an 80 GB accelerator, the engine of the scheduling study:
/// ten saturate at about 325 ShareGPT-like requests per second.
#[must_use]
pub fn llama2_7b() -> EngineConfig {
    EngineConfig::default()
}
