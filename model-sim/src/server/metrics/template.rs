//! The template: literal text with `{{name}}` where a number or a family goes.

use crate::server::error::SimError;

/// A piece of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// As it stands.
    Text(String),
    /// A number in Python's format.
    Number(Number),
    /// A label value that depends on the cache's configuration.
    Label(Label),
    /// All samples of a histogram, whose name on the page is given.
    Histogram(HistogramName, String),
    /// The family `vllm:lora_requests_info`.
    Lora,
    /// The `http_*` families.
    Http,
}

macro_rules! names {
    ($(#[$doc:meta])* $kind:ident { $($variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $kind { $($variant,)+ }

        impl $kind {
            fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some($kind::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

names! {
    /// Numbers of a page.
    Number {
        Created = "created",
        StartTime = "start_time",
        CpuSeconds = "cpu_seconds",
        Running = "running",
        Waiting = "waiting",
        WaitingCapacity = "waiting_capacity",
        WaitingDeferred = "waiting_deferred",
        KvUsage = "kv_usage",
        PrefixQueries = "prefix_queries",
        PrefixHits = "prefix_hits",
        Preemptions = "preemptions",
        PromptTokens = "prompt_tokens",
        ComputedTokens = "computed_tokens",
        CachedTokens = "cached_tokens",
        GenerationTokens = "generation_tokens",
        FinishedStop = "finished_stop",
        FinishedLength = "finished_length",
        AdmissionRejections = "admission_rejections",
    }
}

names! {
    /// Label values of a page.
    Label {
        BlockSize = "block_size",
        NumGpuBlocks = "num_gpu_blocks",
        KvCacheTokens = "kv_cache_tokens",
        KvCacheConcurrency = "kv_cache_concurrency",
        PrefixCaching = "prefix_caching",
    }
}

names! {
    /// Histograms of a page.
    HistogramName {
        PromptTokens = "vllm:request_prompt_tokens",
        GenerationTokens = "vllm:request_generation_tokens",
        IterationTokens = "vllm:iteration_tokens_total",
        MaxGenerationTokens = "vllm:request_max_num_generation_tokens",
        ParamsN = "vllm:request_params_n",
        ParamsMaxTokens = "vllm:request_params_max_tokens",
        TimeToFirstToken = "vllm:time_to_first_token_seconds",
        InterTokenLatency = "vllm:inter_token_latency_seconds",
        OldTimePerOutputToken = "vllm:time_per_output_token_seconds",
        TimePerOutputToken = "vllm:request_time_per_output_token_seconds",
        Latency = "vllm:e2e_request_latency_seconds",
        QueueTime = "vllm:request_queue_time_seconds",
        InferenceTime = "vllm:request_inference_time_seconds",
        PrefillTime = "vllm:request_prefill_time_seconds",
        DecodeTime = "vllm:request_decode_time_seconds",
        NumPreemptions = "vllm:request_num_preemptions",
        ComputedTokens = "vllm:request_prefill_kv_computed_tokens",
    }
}

/// A label value with what the exposition format wants escaped.
pub(crate) fn escaped(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// Splits a template into parts; `{{model}}` becomes text at once.
pub(crate) fn parse(template: &str, model: &str) -> Result<Vec<Part>, SimError> {
    let template = template.replace("{{model}}", &escaped(model));
    let mut parts = Vec::new();
    let mut rest = template.as_str();
    while let Some((text, tail)) = rest.split_once("{{") {
        let (name, tail) = tail.split_once("}}").unwrap_or((tail, ""));
        let part = part(name).ok_or_else(|| SimError::Template {
            name: name.to_owned(),
        })?;
        parts.push(Part::Text(text.to_owned()));
        // What stands for whole lines writes its own line ends.
        let whole_lines = matches!(part, Part::Histogram(..) | Part::Lora | Part::Http);
        parts.push(part);
        rest = if whole_lines {
            tail.strip_prefix('\n').unwrap_or(tail)
        } else {
            tail
        };
    }
    parts.push(Part::Text(rest.to_owned()));
    Ok(parts)
}

fn part(name: &str) -> Option<Part> {
    match name {
        "lora" => Some(Part::Lora),
        "http" => Some(Part::Http),
        _ => match name.strip_prefix("histogram ") {
            Some(histogram) => HistogramName::parse(histogram)
                .map(|parsed| Part::Histogram(parsed, histogram.to_owned())),
            None => Number::parse(name)
                .map(Part::Number)
                .or_else(|| Label::parse(name).map(Part::Label)),
        },
    }
}
