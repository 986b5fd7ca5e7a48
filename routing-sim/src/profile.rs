//! Named engines, so that experiments can say what they ran on.

use model_sim::engine::EngineConfig;

/// An engine by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Llama-2-7B (multi-head attention) on an 80 GB accelerator: the engine of the scheduling study
    /// and the default. Ten saturate at about 325 ShareGPT-like requests per second.
    Llama2,
    /// The same, 1.3 times as fast: ten saturate at about 420 requests per second, inside the 400 to
    /// 1,000 where ten H100 replicas with Llama-2 did in the published benchmark of the Gateway API
    /// Inference Extension. That chart does not tell the knee better than to a step of 200, so the
    /// factor stands for "the beginning of the range", not for a measured accelerator.
    SeedH100,
    /// An 8B model with grouped-query attention (eight KV heads, four times fewer bytes a token): it
    /// attends to a KV token in 0.04 us, and 28,000 blocks of 16 tokens fit where 7,000 did. Decoding
    /// is then bound by the weights and not by the KV cache.
    GroupedQuery8b,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Llama2, Self::SeedH100, Self::GroupedQuery8b];

    /// Its name in figures.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Llama2 => "llama2_7b",
            Self::SeedH100 => "seed_h100",
            Self::GroupedQuery8b => "gqa_8b",
        }
    }

    /// The profile of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }

    /// The engine.
    #[must_use]
    pub fn engine(self) -> EngineConfig {
        let default = EngineConfig::default();
        match self {
            Self::Llama2 => default,
            Self::SeedH100 => EngineConfig {
                speed: 1.3,
                ..default
            },
            Self::GroupedQuery8b => EngineConfig {
                step_kv_token_seconds: 0.04e-6,
                kv_blocks: 28_000,
                ..default
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Profile;

    #[test]
    fn profiles_are_read_as_they_are_written_and_are_sound() {
        for profile in Profile::ALL {
            assert_eq!(Profile::parse(profile.as_str()), Some(profile));
            assert_eq!(profile.engine().mistakes(), Vec::<String>::new());
        }
    }
}
