//! What a pod's `/metrics` page says, in vLLM's words.

use std::{fmt::Write as _, time::Instant};

/// The gauges of a pod. The token counter runs by itself while anything runs, because an engine
/// with running requests and a counter that stands still is a hung one.
#[derive(Debug, Clone)]
pub struct PodMetrics {
    /// `vllm:num_requests_waiting`.
    pub waiting: f64,
    /// `vllm:num_requests_running`.
    pub running: f64,
    /// `vllm:kv_cache_usage_perc`, `0.0..=1.0`.
    pub kv_usage: f64,
    /// Adapters that are active; `None` for an engine without LoRA.
    pub active_adapters: Option<Vec<String>>,
    /// Adapters that `/v1/models` lists.
    pub registered_adapters: Vec<String>,
    /// A page to serve instead, whatever it is.
    pub page: Option<String>,
    started: Instant,
}

impl Default for PodMetrics {
    fn default() -> Self {
        Self {
            waiting: 0.0,
            running: 0.0,
            kv_usage: 0.0,
            active_adapters: None,
            registered_adapters: Vec::new(),
            page: None,
            started: Instant::now(),
        }
    }
}

impl PodMetrics {
    /// The page as vLLM 0.32 prints it, cut to the series that matter.
    #[must_use]
    pub fn page(&self) -> String {
        if let Some(page) = &self.page {
            return page.clone();
        }
        let labels = r#"{engine="0",model_name="tiny"}"#;
        let tokens = self.started.elapsed().as_millis();
        let mut page = String::new();
        let mut series = |name: &str, kind: &str, labels: &str, value: f64| {
            // Writing to a String cannot fail.
            writeln!(
                page,
                "# HELP {name} {name}.\n# TYPE {name} {kind}\n{name}{labels} {value:?}"
            )
            .ok();
        };
        series("vllm:num_requests_running", "gauge", labels, self.running);
        series("vllm:num_requests_waiting", "gauge", labels, self.waiting);
        series("vllm:kv_cache_usage_perc", "gauge", labels, self.kv_usage);
        series(
            "vllm:cache_config_info",
            "gauge",
            r#"{block_size="16",engine="0",num_gpu_blocks="4096"}"#,
            1.0,
        );
        series(
            "vllm:generation_tokens_total",
            "counter",
            labels,
            tokens as f64,
        );
        if let Some(active) = &self.active_adapters {
            let names = active.join(",");
            let labels = format!(
                r#"{{max_lora="4",running_lora_adapters="{names}",waiting_lora_adapters="{names}"}}"#
            );
            let now = 1.795e9 + self.started.elapsed().as_secs_f64();
            series("vllm:lora_requests_info", "gauge", &labels, now);
        }
        page
    }

    /// The body of `/v1/models`.
    #[must_use]
    pub fn models(&self) -> String {
        let base = serde_json::json!({"id": "tiny", "object": "model", "parent": null});
        let adapters = self
            .registered_adapters
            .iter()
            .map(|name| serde_json::json!({"id": name, "object": "model", "parent": "tiny"}));
        let data: Vec<_> = std::iter::once(base).chain(adapters).collect();
        serde_json::json!({"object": "list", "data": data}).to_string()
    }
}
