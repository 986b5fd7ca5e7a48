//! What one instance is: its address, its model, its engine and its limits.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::error::SimError;
use super::faults::Faults;
use super::metrics::Dialect;
use crate::engine::EngineConfig;

/// Configuration of one instance.
#[derive(Clone, Debug)]
pub struct InstanceConfig {
    /// Where to listen; port 0 lets the system choose. Default 127.0.0.1:0.
    pub address: SocketAddr,
    /// Name of the base model, which is also the `model_name` label.
    pub model: String,
    /// The engine. `kv_blocks` is the published `num_gpu_blocks`; as in vLLM one of them cannot be
    /// used. `max_model_len` is cut to what the KV cache holds.
    pub engine: EngineConfig,
    /// Names of the LoRA adapters registered at the start. Further ones come by
    /// `/v1/load_lora_adapter`. Without slots (`engine.max_loras` 0) adapters are switched off.
    pub loras: Vec<String>,
    /// How long `/v1/load_lora_adapter` takes until the adapter is registered. vLLM 0.32 took 10 ms
    /// for a tiny one on disk; one of gigabytes from a store takes its time. Default 0.
    pub lora_registration: Duration,
    /// Idle time after a response after which a connection is closed; uvicorn's is 5 s.
    pub keep_alive: Duration,
    /// Largest body that a completion may have, in bytes. Default 128 MiB.
    pub max_body_bytes: u64,
    /// With this many requests waiting, further ones are refused (`--max-num-queued-reqs`).
    pub max_queued_requests: Option<u32>,
    /// Seed of generated texts and lengths.
    pub seed: u64,
    /// Which vLLM version's metric names to publish.
    pub dialect: Dialect,
    /// Whether usage says how many prompt tokens were cached (`--enable-prompt-tokens-details`).
    pub prompt_tokens_details: bool,
    /// Whether `/sim/...` is served on the instance's own port.
    pub control: bool,
    /// Faults from the start.
    pub faults: Faults,
}

impl Default for InstanceConfig {
    fn default() -> Self {
        InstanceConfig {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            model: "sim".to_owned(),
            engine: EngineConfig::default(),
            loras: Vec::new(),
            lora_registration: Duration::ZERO,
            keep_alive: Duration::from_secs(5),
            max_body_bytes: 128 << 20,
            max_queued_requests: None,
            seed: 0,
            dialect: Dialect::default(),
            prompt_tokens_details: true,
            control: true,
            faults: Faults::default(),
        }
    }
}

impl InstanceConfig {
    pub(crate) fn check(&self) -> Result<(), SimError> {
        let mut mistakes: Vec<String> = self
            .engine
            .mistakes()
            .into_iter()
            .map(|mistake| format!("engine.{mistake}"))
            .collect();
        if self.engine.kv_blocks < 2 {
            let got = self.engine.kv_blocks;
            mistakes.push(format!(
                "engine.kv_blocks: must be at least 2, since one block cannot be used, got {got}"
            ));
        }
        if self.model.is_empty() {
            mistakes.push("model: must not be empty".to_owned());
        }
        if self.engine.max_loras == 0 && !self.loras.is_empty() {
            mistakes.push("loras: needs engine.max_loras of at least 1, got 0".to_owned());
        }
        for name in &self.loras {
            if name.is_empty() || *name == self.model {
                mistakes.push(format!(
                    "loras: names must differ from the model's and not be empty, got {name:?}"
                ));
            }
        }
        mistakes.extend(
            self.faults
                .mistakes()
                .into_iter()
                .map(|mistake| format!("faults.{mistake}")),
        );
        if mistakes.is_empty() {
            Ok(())
        } else {
            Err(SimError::Config { mistakes })
        }
    }

    /// The engine's configuration with the null block taken away.
    pub(crate) fn engine_config(&self) -> EngineConfig {
        let mut engine = self.engine.clone();
        engine.kv_blocks = engine.kv_blocks.saturating_sub(1).max(1);
        engine.max_model_len = u32::try_from(engine.longest_request_tokens())
            .unwrap_or(u32::MAX)
            .max(2);
        engine
    }
}
