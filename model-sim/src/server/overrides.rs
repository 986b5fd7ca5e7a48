//! Lies: values that `/metrics` shows instead of the true ones.

use serde::{Deserialize, Deserializer, Serialize};

/// Values that `/metrics` shows instead of the true ones. The default tells the truth.
///
/// In JSON a number may also be a string, for `"NaN"` and `"+Inf"`; unknown fields are refused.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsOverride {
    /// `vllm:num_requests_running`.
    #[serde(deserialize_with = "number_or_text")]
    pub running: Option<f64>,
    /// `vllm:num_requests_waiting` and its part with reason `capacity`.
    #[serde(deserialize_with = "number_or_text")]
    pub waiting: Option<f64>,
    /// `vllm:kv_cache_usage_perc`, or the older name.
    #[serde(deserialize_with = "number_or_text")]
    pub kv_usage: Option<f64>,
    /// Label `num_gpu_blocks` of `vllm:cache_config_info`.
    pub num_gpu_blocks: Option<u32>,
    /// Label `block_size` of `vllm:cache_config_info`.
    pub block_size: Option<u32>,
    /// Label `max_lora` of `vllm:lora_requests_info`.
    pub max_lora: Option<u32>,
    /// Label `running_lora_adapters` of the newest series of `vllm:lora_requests_info`.
    pub running_loras: Option<Vec<String>>,
    /// Label `waiting_lora_adapters`; by default the same as the running ones, as vLLM does.
    pub waiting_loras: Option<Vec<String>>,
    /// `vllm:generation_tokens_total`.
    #[serde(deserialize_with = "number_or_text")]
    pub generation_tokens: Option<f64>,
    /// `process_start_time_seconds`.
    #[serde(deserialize_with = "number_or_text")]
    pub start_time: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(f64),
    Text(String),
}

fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    match Option::<NumberOrText>::deserialize(deserializer)? {
        None => Ok(None),
        Some(NumberOrText::Number(number)) => Ok(Some(number)),
        Some(NumberOrText::Text(text)) => text.parse().map(Some).map_err(|_| {
            serde::de::Error::custom(format!(
                "must be a number, \"NaN\" or \"+Inf\", got {text:?}"
            ))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::MetricsOverride;

    #[test]
    fn numbers_may_be_text() {
        let lies: MetricsOverride =
            serde_json::from_str(r#"{"running":3,"waiting":"NaN","kv_usage":"-Inf"}"#).unwrap();
        assert_eq!(lies.running, Some(3.0));
        assert!(lies.waiting.unwrap().is_nan());
        assert_eq!(lies.kv_usage, Some(f64::NEG_INFINITY));
        assert!(serde_json::from_str::<MetricsOverride>(r#"{"running":"many"}"#).is_err());
        assert!(serde_json::from_str::<MetricsOverride>(r#"{"swapped":1}"#).is_err());
    }
}
