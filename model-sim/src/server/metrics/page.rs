//! Filling the template with the numbers of a process.

use bytes::Bytes;

use super::families::{push_histogram, push_http, push_lora};
use super::number::push_number;
use super::template::{self, HistogramName, Label, Number, Part, escaped};
use crate::engine::Histogram;
use crate::server::config::InstanceConfig;
use crate::server::error::SimError;
use crate::server::overrides::MetricsOverride;
use crate::server::process::Process;

/// A page ready to be filled.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    parts: Vec<Part>,
    /// Labels of every histogram before and after `le`.
    before: &'static str,
    after: String,
    block_size: u32,
    num_gpu_blocks: u32,
    max_model_len: u32,
    prefix_caching: bool,
}

/// CPU time that the page claims for a second of engine work; real ones are of this size.
const CPU_SHARE: f64 = 0.3;

impl Page {
    pub(crate) fn new(config: &InstanceConfig) -> Result<Self, SimError> {
        let dialect = config.dialect;
        Ok(Page {
            parts: template::parse(&dialect.template(), &config.model)?,
            before: if dialect.has_engine_label() {
                "engine=\"0\","
            } else {
                ""
            },
            after: format!(",model_name=\"{}\"", escaped(&config.model)),
            block_size: config.engine.block_tokens,
            num_gpu_blocks: config.engine.kv_blocks,
            max_model_len: config.engine_config().max_model_len,
            prefix_caching: config.engine.prefix_caching,
        })
    }

    pub(crate) fn render(&self, process: &Process, lies: &MetricsOverride) -> Bytes {
        let mut page = Vec::with_capacity(64 << 10);
        for part in &self.parts {
            match part {
                Part::Text(text) => page.extend_from_slice(text.as_bytes()),
                Part::Number(name) => push_number(&mut page, number(*name, process, lies)),
                Part::Label(name) => self.push_label(&mut page, *name, lies),
                Part::Histogram(name, text) => {
                    let histogram = histogram(*name, process);
                    push_histogram(&mut page, text, self.before, &self.after, histogram);
                }
                Part::Lora => push_lora(&mut page, &process.loras, lies),
                Part::Http => push_http(&mut page, &process.http),
            }
        }
        page.into()
    }

    fn push_label(&self, page: &mut Vec<u8>, name: Label, lies: &MetricsOverride) {
        let block_size = lies.block_size.unwrap_or(self.block_size);
        let blocks = lies.num_gpu_blocks.unwrap_or(self.num_gpu_blocks);
        let tokens = u64::from(block_size) * u64::from(blocks);
        let text = match name {
            Label::BlockSize => block_size.to_string(),
            Label::NumGpuBlocks => blocks.to_string(),
            Label::KvCacheTokens => tokens.to_string(),
            Label::KvCacheConcurrency => {
                format!("{:?}", tokens as f64 / f64::from(self.max_model_len))
            }
            Label::PrefixCaching => if self.prefix_caching { "True" } else { "False" }.to_owned(),
        };
        page.extend_from_slice(text.as_bytes());
    }
}

fn number(name: Number, process: &Process, lies: &MetricsOverride) -> f64 {
    let (counters, gauges) = (process.engine.counters(), process.engine.gauges());
    let waiting = lies.waiting.unwrap_or(f64::from(gauges.waiting));
    match name {
        Number::Created => process.started_unix,
        Number::StartTime => {
            let hundredths = (process.started_unix * 100.0).floor() / 100.0;
            lies.start_time.unwrap_or(hundredths)
        }
        Number::CpuSeconds => (counters.busy_seconds * CPU_SHARE * 100.0).floor() / 100.0,
        Number::Running => lies.running.unwrap_or(f64::from(gauges.running)),
        Number::Waiting => waiting,
        Number::WaitingCapacity => waiting - f64::from(gauges.waiting_deferred),
        Number::WaitingDeferred => f64::from(gauges.waiting_deferred),
        Number::KvUsage => lies.kv_usage.unwrap_or(gauges.kv_usage()),
        Number::PrefixQueries => counters.prefix_queries as f64,
        Number::PrefixHits => counters.prefix_hits as f64,
        Number::Preemptions => counters.preemptions as f64,
        Number::PromptTokens => counters.prompt_tokens as f64,
        Number::ComputedTokens => counters
            .prompt_tokens
            .saturating_sub(counters.cached_prompt_tokens) as f64,
        Number::CachedTokens => counters.cached_prompt_tokens as f64,
        Number::GenerationTokens => lies
            .generation_tokens
            .unwrap_or(counters.generation_tokens as f64),
        Number::FinishedStop => process.counters.finished_stop as f64,
        Number::FinishedLength => process.counters.finished_length as f64,
        Number::AdmissionRejections => process.counters.admission_rejections as f64,
    }
}

fn histogram(name: HistogramName, process: &Process) -> &Histogram {
    let (engine, requests) = (process.engine.counters(), &process.counters);
    match name {
        HistogramName::PromptTokens => &engine.request_prompt_tokens,
        HistogramName::GenerationTokens => &engine.request_generation_tokens,
        HistogramName::IterationTokens => &engine.step_tokens,
        HistogramName::MaxGenerationTokens => &requests.max_generation_tokens,
        HistogramName::ParamsN => &requests.params_n,
        HistogramName::ParamsMaxTokens => &requests.params_max_tokens,
        HistogramName::TimeToFirstToken => &engine.first_token,
        HistogramName::InterTokenLatency | HistogramName::OldTimePerOutputToken => {
            &engine.inter_token
        }
        HistogramName::TimePerOutputToken => &engine.time_per_output_token,
        HistogramName::Latency => &engine.latency,
        HistogramName::QueueTime => &engine.queue_time,
        HistogramName::InferenceTime => &engine.inference_time,
        HistogramName::PrefillTime => &engine.prefill_time,
        HistogramName::DecodeTime => &engine.decode_time,
        HistogramName::NumPreemptions => &engine.request_preemptions,
        HistogramName::ComputedTokens => &engine.request_computed_tokens,
    }
}
