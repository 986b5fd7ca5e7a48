//! What one engine is: speed, memory and limits.

/// Blocks, tokens in a block and sequences: more than any accelerator has, and little enough for
/// the tables.
const MAX_COUNT: u32 = 1 << 24;

/// The size and the speed of one engine.
///
/// The defaults stand for Llama-2-7B (multi-head attention) on an 80 GB accelerator; ten such
/// engines saturate at about 325 ShareGPT-like requests per second.
#[derive(Clone, Debug, PartialEq)]
pub struct EngineConfig {
    /// Fixed time of a step, in seconds.
    pub step_base_seconds: f64,
    /// Time per token computed in a step, in seconds.
    pub step_token_seconds: f64,
    /// Time per KV token that a step attends to, in seconds.
    pub step_kv_token_seconds: f64,
    /// Speed factor: 2.0 halves every step. Greater than 0.
    pub speed: f64,
    /// Most sequences that run at once, at least 1.
    pub max_num_seqs: u32,
    /// Most tokens computed in a step, decode and prefill together (chunked prefill), at least 1.
    pub token_budget: u32,
    /// KV blocks that requests can use, at least 1.
    pub kv_blocks: u32,
    /// Share of the KV blocks that must stay free when a waiting request is admitted beside
    /// running ones, 0 to 1. Without it running requests take each other's last blocks and are
    /// computed again: at saturation that costs 5 % of the throughput. vLLM's V0 engine had 0.01.
    pub kv_watermark: f64,
    /// Tokens in a KV block, at least 1.
    pub block_tokens: u32,
    /// Whether freed blocks stay findable by their hash until they are used for something else.
    pub prefix_caching: bool,
    /// Adapters that can be in memory at once; 0 refuses requests that name an adapter.
    pub max_loras: u32,
    /// Time to load an adapter into memory, in seconds; the step that does it waits.
    pub lora_load_seconds: f64,
    /// Most tokens of a request, prompt and output together, at least 2.
    pub max_model_len: u32,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            step_base_seconds: 0.0055,
            step_token_seconds: 20e-6,
            step_kv_token_seconds: 0.15e-6,
            speed: 1.0,
            max_num_seqs: 256,
            token_budget: 2_048,
            kv_blocks: 7_000,
            kv_watermark: 0.01,
            block_tokens: 16,
            prefix_caching: true,
            max_loras: 4,
            lora_load_seconds: 0.1,
            max_model_len: 16_384,
        }
    }
}

impl EngineConfig {
    /// The longest request that can ever finish: the smaller of `max_model_len` and the KV cache.
    pub fn longest_request_tokens(&self) -> u64 {
        u64::from(self.max_model_len).min(self.kv_capacity_tokens())
    }

    /// Tokens that the KV cache holds.
    pub fn kv_capacity_tokens(&self) -> u64 {
        u64::from(self.kv_blocks) * u64::from(self.block_tokens)
    }

    /// All mistakes in this configuration, each as `field: what is wrong, got value`.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let seconds = [
            ("step_base_seconds", self.step_base_seconds),
            ("step_token_seconds", self.step_token_seconds),
            ("step_kv_token_seconds", self.step_kv_token_seconds),
            ("lora_load_seconds", self.lora_load_seconds),
        ];
        for (name, value) in seconds {
            if !(0.0..=3_600.0).contains(&value) {
                mistakes.push(format!(
                    "{name}: must be from 0 to 3600 seconds, got {value}"
                ));
            }
        }
        if !(self.speed > 0.0 && self.speed.is_finite()) {
            mistakes.push(format!("speed: must be greater than 0, got {}", self.speed));
        }
        if !(0.0..=1.0).contains(&self.kv_watermark) {
            mistakes.push(format!(
                "kv_watermark: must be from 0 to 1, got {}",
                self.kv_watermark
            ));
        }
        let counts = [
            ("max_num_seqs", self.max_num_seqs, 1, MAX_COUNT),
            ("token_budget", self.token_budget, 1, u32::MAX),
            ("kv_blocks", self.kv_blocks, 1, MAX_COUNT),
            ("block_tokens", self.block_tokens, 1, MAX_COUNT),
            ("max_model_len", self.max_model_len, 2, u32::MAX),
        ];
        for (name, value, least, most) in counts {
            if !(least..=most).contains(&value) {
                mistakes.push(format!(
                    "{name}: must be from {least} to {most}, got {value}"
                ));
            }
        }
        mistakes
    }

    /// The nearest configuration without mistakes, so that an engine never divides by zero.
    pub(crate) fn repaired(mut self) -> Self {
        let defaults = EngineConfig::default();
        let keep = |value: f64, default: f64| {
            if (0.0..=3_600.0).contains(&value) {
                value
            } else {
                default
            }
        };
        self.step_base_seconds = keep(self.step_base_seconds, defaults.step_base_seconds);
        self.step_token_seconds = keep(self.step_token_seconds, defaults.step_token_seconds);
        self.step_kv_token_seconds =
            keep(self.step_kv_token_seconds, defaults.step_kv_token_seconds);
        self.lora_load_seconds = keep(self.lora_load_seconds, defaults.lora_load_seconds);
        if !(self.speed > 0.0 && self.speed.is_finite()) {
            self.speed = defaults.speed;
        }
        if !(0.0..=1.0).contains(&self.kv_watermark) {
            self.kv_watermark = defaults.kv_watermark;
        }
        self.max_num_seqs = self.max_num_seqs.clamp(1, MAX_COUNT);
        self.token_budget = self.token_budget.max(1);
        self.kv_blocks = self.kv_blocks.clamp(1, MAX_COUNT);
        self.block_tokens = self.block_tokens.clamp(1, MAX_COUNT);
        self.max_model_len = self.max_model_len.max(2);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::EngineConfig;

    #[test]
    fn the_default_has_no_mistakes_and_all_mistakes_are_listed_at_once() {
        assert_eq!(EngineConfig::default().mistakes(), Vec::<String>::new());
        let bad = EngineConfig {
            speed: f64::NAN,
            step_base_seconds: -1.0,
            kv_blocks: 0,
            kv_watermark: 2.0,
            max_model_len: 1,
            ..EngineConfig::default()
        };
        let mistakes = bad.mistakes();
        assert_eq!(mistakes.len(), 5, "{mistakes:?}");
        assert!(
            mistakes
                .iter()
                .any(|m| m == "kv_blocks: must be from 1 to 16777216, got 0")
        );
        assert_eq!(bad.repaired().mistakes(), Vec::<String>::new());
    }
}
