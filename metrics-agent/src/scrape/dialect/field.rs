//! The fields that a rule can fill, what their values may be and how several series become one.

/// What a metric means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Field {
    /// Requests in the waiting queue.
    Waiting,
    /// Requests in the running batch.
    Running,
    /// Requests waiting or running; the queue is derived from it when nothing names the queue.
    Active,
    /// KV-cache utilization, 0..1.
    KvUsage,
    /// KV-cache blocks (or tokens) in use; with [`Field::KvTotal`] the utilization when nothing
    /// names it.
    KvUsed,
    /// KV-cache blocks (or tokens) there are.
    KvTotal,
    /// Tokens per KV-cache block.
    KvBlockSize,
    /// KV-cache blocks of the engine.
    KvBlocks,
    /// Generated tokens, a counter.
    GenerationTokens,
    /// Prompt tokens, a counter.
    PromptTokens,
    /// Prompt tokens found in the prefix cache and so not computed, a counter.
    CachedPromptTokens,
    /// Finished requests, a counter.
    Success,
    /// The process's start in seconds since 1970.
    ProcessStart,
    /// 1 while the engine is awake.
    Awake,
    /// Adapters at work.
    Lora,
}

/// How the values of several series become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aggregate {
    /// Each series is a part of the whole.
    Sum,
    /// The greatest decides.
    Max,
    /// The smallest decides.
    Min,
}

/// How far outside 0..1 a utilization may lie before it counts as another unit: rounding errors
/// are below it, percentages above.
const USAGE_TOLERANCE: f64 = 0.01;
/// No engine queues or runs ten million requests.
const MOST_REQUESTS: f64 = 1e7;
/// Above this a counter in `f64` no longer counts single tokens.
const MOST_COUNTED: f64 = 9_007_199_254_740_992.0;
const MOST_BLOCKS: f64 = u32::MAX as f64;
const MOST_BLOCK_TOKENS: f64 = 1e6;
/// The year 5138; later starts are not seconds.
const LATEST_START: f64 = 1e11;

impl Field {
    pub(crate) const fn aggregate(self) -> Aggregate {
        match self {
            Self::Waiting
            | Self::Running
            | Self::Active
            | Self::KvUsed
            | Self::KvTotal
            | Self::GenerationTokens
            | Self::PromptTokens
            | Self::CachedPromptTokens
            | Self::Success => Aggregate::Sum,
            Self::KvUsage
            | Self::KvBlockSize
            | Self::KvBlocks
            | Self::ProcessStart
            | Self::Lora => Aggregate::Max,
            Self::Awake => Aggregate::Min,
        }
    }

    /// The value, clamped where that is harmless; `None` when it cannot be true.
    pub(crate) fn checked(self, value: f64) -> Option<f64> {
        let within = |least: f64, most: f64| (value >= least && value <= most).then_some(value);
        match self {
            Self::Waiting | Self::Running | Self::Active => within(0.0, MOST_REQUESTS),
            Self::KvUsage => {
                within(-USAGE_TOLERANCE, 1.0 + USAGE_TOLERANCE).map(|usage| usage.clamp(0.0, 1.0))
            }
            Self::KvUsed | Self::KvTotal => within(0.0, MOST_COUNTED),
            Self::KvBlockSize => within(1.0, MOST_BLOCK_TOKENS),
            Self::KvBlocks => within(1.0, MOST_BLOCKS),
            Self::GenerationTokens
            | Self::PromptTokens
            | Self::CachedPromptTokens
            | Self::Success => within(0.0, MOST_COUNTED),
            Self::ProcessStart | Self::Lora => within(f64::MIN_POSITIVE, LATEST_START),
            Self::Awake => within(0.0, 1.0),
        }
    }
}
