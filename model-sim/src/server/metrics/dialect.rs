//! Which vLLM version's names a page uses.

use std::fmt;
use std::str::FromStr;

/// A vLLM version whose metric names are published. Names of families are those of that version;
/// families that a version lacks are left out. Only 0.32 was compared with a capture of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// 0.6, the V0 engine: `gpu_cache_usage_perc`, no `engine` label.
    V0_6,
    /// 0.8, the V1 engine: `gpu_cache_usage_perc`, `gpu_prefix_cache_*`.
    V0_8,
    /// 0.12: `kv_cache_usage_perc` only.
    V0_12,
    /// 0.32.
    #[default]
    V0_32,
}

const ENTIRE: &str = include_str!("vllm-0.32.tmpl");

/// Families that came after 0.12.
const AFTER_0_12: [&str; 8] = [
    "estimated_flops_per_gpu",
    "estimated_read_bytes_per_gpu",
    "estimated_write_bytes_per_gpu",
    "num_requests_waiting_by_reason",
    "prompt_tokens_by_source",
    "prompt_tokens_cached",
    "admission_rejections",
    "request_num_preemptions",
];

/// Families that came after 0.8.
const AFTER_0_8: [&str; 6] = [
    "engine_sleep_state",
    "external_prefix_cache",
    "mm_cache",
    "request_time_per_output_token_seconds",
    "request_prefill_kv_computed_tokens",
    "prompt_tokens_cached_by_source",
];

/// Families that 0.6 lacks besides.
const AFTER_0_6: [&str; 2] = ["prefix_cache_queries", "prefix_cache_hits"];

const SWAPPED: &str = "\
# HELP vllm:num_requests_swapped Number of requests swapped to CPU.
# TYPE vllm:num_requests_swapped gauge
vllm:num_requests_swapped{model_name=\"{{model}}\"} 0.0
# HELP vllm:cpu_cache_usage_perc CPU KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:cpu_cache_usage_perc gauge
vllm:cpu_cache_usage_perc{model_name=\"{{model}}\"} 0.0
";

impl Dialect {
    /// What `/version` says.
    pub fn version(self) -> &'static str {
        match self {
            Dialect::V0_6 => "0.6.6",
            Dialect::V0_8 => "0.8.5",
            Dialect::V0_12 => "0.12.0",
            Dialect::V0_32 => "0.32.0",
        }
    }

    /// The page's template in this version.
    pub(crate) fn template(self) -> String {
        let mut dropped: Vec<&str> = Vec::new();
        if self != Dialect::V0_32 {
            dropped.extend(AFTER_0_12);
        }
        if matches!(self, Dialect::V0_6 | Dialect::V0_8) {
            dropped.extend(AFTER_0_8);
        }
        if self == Dialect::V0_6 {
            dropped.extend(AFTER_0_6);
        }
        let kept: String = ENTIRE
            .split_inclusive('\n')
            .filter(|line| !family(line).is_some_and(|name| belongs(name, &dropped)))
            .collect();
        match self {
            Dialect::V0_32 | Dialect::V0_12 => kept,
            Dialect::V0_8 => old_names(&kept)
                .replace("vllm:prefix_cache_", "vllm:gpu_prefix_cache_")
                .replace("Prefix cache ", "GPU prefix cache "),
            Dialect::V0_6 => old_names(&kept).replace("engine=\"0\",", "").replace(
                "# HELP vllm:num_preemptions_total",
                &(SWAPPED.to_owned() + "# HELP vllm:num_preemptions_total"),
            ),
        }
    }

    /// Whether series have the `engine` label.
    pub(crate) fn has_engine_label(self) -> bool {
        self != Dialect::V0_6
    }
}

fn old_names(text: &str) -> String {
    text.replace("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
        .replace("KV-cache usage.", "GPU KV-cache usage.")
        .replace(
            "vllm:inter_token_latency_seconds",
            "vllm:time_per_output_token_seconds",
        )
        .replace(
            "Histogram of inter-token latency",
            "Histogram of time per output token",
        )
}

/// The family that a template line belongs to, without `vllm:`.
fn family(line: &str) -> Option<&str> {
    let name = line
        .strip_prefix("# HELP ")
        .or_else(|| line.strip_prefix("# TYPE "))
        .or_else(|| line.strip_prefix("{{histogram "))
        .unwrap_or(line);
    name.strip_prefix("vllm:")?.split([' ', '{', '}']).next()
}

fn belongs(name: &str, families: &[&str]) -> bool {
    families.iter().any(|family| name.starts_with(family))
}

/// A version that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownDialect(String);

impl fmt::Display for UnknownDialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "must be one of 0.6, 0.8, 0.12 and 0.32, got {:?}",
            self.0
        )
    }
}

impl std::error::Error for UnknownDialect {}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "0.6" => Ok(Dialect::V0_6),
            "0.8" => Ok(Dialect::V0_8),
            "0.12" => Ok(Dialect::V0_12),
            "0.32" => Ok(Dialect::V0_32),
            other => Err(UnknownDialect(other.to_owned())),
        }
    }
}
