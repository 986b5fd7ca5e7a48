//! The agent's metrics about itself, `zerohop_agent_*`.
//!
//! Labels are pools and endpoints of the configuration and closed sets of words, so their number is
//! bounded; series go when their endpoint or pool goes.

use std::{
    collections::BTreeSet,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Duration,
};

use picker::{Signals, StepModel};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// What is sent to gateways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SentKind {
    /// A whole pool.
    Snapshot,
    /// A pool's changes.
    Delta,
    /// A sign of life.
    Heartbeat,
    /// A pool that will not be served.
    Refusal,
    /// A pool's policy.
    Policy,
}

/// What is wrong with metrics pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PageProblem {
    /// A malformed or too long line.
    BadLine,
    /// A wanted value that cannot be true.
    BadValue,
    /// A page with too many lines.
    Truncated,
    /// A page without any known metric.
    NothingKnown,
}

/// A label value from a closed set.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Word(&'static str);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Name(Arc<str>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ScrapeLabels {
    endpoint: Name,
    result: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabels {
    pool: Name,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HealthLabels {
    pool: Name,
    health: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    endpoint: Name,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartLabels {
    endpoint: Name,
    part: Word,
}

type FloatGauge = Gauge<f64, AtomicU64>;

/// All metrics of the agent.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    scrapes: Family<ScrapeLabels, Counter>,
    scrape_seconds: Histogram,
    problems: Family<KindLabels, Counter>,
    endpoints: Family<HealthLabels, Gauge>,
    step_seconds: Family<PartLabels, FloatGauge>,
    output_tokens: Family<EndpointLabels, FloatGauge>,
    pools: Mutex<BTreeSet<Arc<str>>>,
    publications: Family<PoolLabels, Counter>,
    messages: Family<KindLabels, Counter>,
    sent_bytes: Counter,
    reloads: Family<ResultLabels, Counter>,
    resource_reloads: Family<ResultLabels, Counter>,
    /// Mistakes in the resources as they were read last.
    pub resource_mistakes: Gauge,
    /// Gateways that are connected and have introduced themselves.
    pub gateways: Gauge,
    /// Streams refused because too many were open.
    pub streams_refused: Counter,
    /// Adapters that pods were made to load.
    pub adapter_loads: Counter,
    /// Adapters that pods were made to unload.
    pub adapter_unloads: Counter,
    /// Attempts to bring a pod's adapters into the declared state that failed.
    pub adapter_failures: Counter,
    /// Streams of endpoints to Envoys that are open.
    pub eds_streams: Gauge,
    /// Responses with endpoints.
    pub eds_responses: Counter,
    /// Responses with endpoints that an Envoy refused.
    pub eds_refusals: Counter,
    /// 1 while the last configuration that was read is in force, 0 while it was refused.
    pub config_good: Gauge,
    /// DNS look-ups that failed.
    pub dns_failures: Counter,
}

/// The counters of one endpoint, looked up once.
#[derive(Debug, Clone)]
pub struct ScrapeCounters {
    /// The scrape brought a page.
    pub ok: Counter,
    failed: [(&'static str, Counter); 4],
}

/// What a failed scrape is counted as; the words of `FailureKind`.
const FAILURES: [&str; 4] = ["refused", "silent", "server_error", "no_metrics"];
const OK: &str = "ok";
const HEALTHS: [&str; 4] = ["ready", "draining", "suspect", "pending"];

impl ScrapeCounters {
    /// The counter for a failure of this kind.
    #[must_use]
    pub fn failed(&self, kind: &str) -> Option<&Counter> {
        let mut failed = self.failed.iter();
        failed
            .find(|(name, _)| *name == kind)
            .map(|(_, counter)| counter)
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl Telemetry {
    /// Metrics at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut telemetry = Self {
            registry: Registry::with_prefix("zerohop_agent"),
            scrapes: Family::default(),
            scrape_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 12)),
            problems: Family::default(),
            endpoints: Family::default(),
            step_seconds: Family::default(),
            output_tokens: Family::default(),
            pools: Mutex::default(),
            publications: Family::default(),
            messages: Family::default(),
            sent_bytes: Counter::default(),
            reloads: Family::default(),
            resource_reloads: Family::default(),
            resource_mistakes: Gauge::default(),
            gateways: Gauge::default(),
            streams_refused: Counter::default(),
            adapter_loads: Counter::default(),
            adapter_unloads: Counter::default(),
            adapter_failures: Counter::default(),
            eds_streams: Gauge::default(),
            eds_responses: Counter::default(),
            eds_refusals: Counter::default(),
            config_good: Gauge::default(),
            dns_failures: Counter::default(),
        };
        telemetry.register();
        telemetry
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        let family = self.scrapes.clone();
        registry.register("scrapes", "Scrape attempts by endpoint and result", family);
        let histogram = self.scrape_seconds.clone();
        registry.register(
            "scrape_seconds",
            "Duration of scrapes that brought a page",
            histogram,
        );
        let family = self.problems.clone();
        registry.register("page_problems", "Problems in metrics pages by kind", family);
        let family = self.endpoints.clone();
        registry.register("endpoints", "Endpoints by pool and health", family);
        let family = self.step_seconds.clone();
        registry.register(
            "step_seconds",
            "Learned cost of an engine's step: fixed, per token computed, per KV-cache token",
            family,
        );
        let family = self.output_tokens.clone();
        registry.register(
            "mean_output_tokens",
            "Learned mean length of an engine's answers",
            family,
        );
        let family = self.publications.clone();
        registry.register("publications", "Publications by pool", family);
        let family = self.messages.clone();
        registry.register("messages", "Messages to gateways by kind", family);
        let counter = self.sent_bytes.clone();
        registry.register("sent_bytes", "Bytes of messages to gateways", counter);
        let family = self.reloads.clone();
        registry.register("config_reloads", "Configurations read by result", family);
        let family = self.resource_reloads.clone();
        registry.register("resource_reloads", "Resources read by result", family);
        let gauge = self.resource_mistakes.clone();
        registry.register(
            "resource_mistakes",
            "Mistakes in the resources as they were read last",
            gauge,
        );
        let gauge = self.config_good.clone();
        registry.register(
            "config_good",
            "Whether the file that was read last is in force",
            gauge,
        );
        let gauge = self.gateways.clone();
        registry.register("gateways", "Connected gateways", gauge);
        let counter = self.streams_refused.clone();
        registry.register(
            "streams_refused",
            "Streams refused for their number",
            counter,
        );
        let counter = self.adapter_loads.clone();
        registry.register("adapter_loads", "Adapters loaded on pods", counter);
        let counter = self.adapter_unloads.clone();
        registry.register("adapter_unloads", "Adapters unloaded from pods", counter);
        let counter = self.adapter_failures.clone();
        registry.register(
            "adapter_failures",
            "Failed attempts to keep a pod's adapters as declared",
            counter,
        );
        let gauge = self.eds_streams.clone();
        registry.register("eds_streams", "Streams of endpoints to Envoys", gauge);
        let counter = self.eds_responses.clone();
        registry.register("eds_responses", "Responses with endpoints", counter);
        let counter = self.eds_refusals.clone();
        registry.register(
            "eds_refusals",
            "Responses with endpoints that an Envoy refused",
            counter,
        );
        let counter = self.dns_failures.clone();
        registry.register("dns_failures", "DNS look-ups that failed", counter);
    }

    /// The counters of an endpoint.
    #[must_use]
    pub fn scrape_counters(&self, endpoint: SocketAddr) -> ScrapeCounters {
        let endpoint: Arc<str> = Arc::from(endpoint.to_string());
        let counter = |result| {
            self.scrapes.get_or_create_owned(&ScrapeLabels {
                endpoint: Name(Arc::clone(&endpoint)),
                result: Word(result),
            })
        };
        ScrapeCounters {
            ok: counter(OK),
            failed: FAILURES.map(|kind| (kind, counter(kind))),
        }
    }

    /// Forgets the series of an endpoint that is scraped no more.
    pub fn forget_endpoint(&self, endpoint: SocketAddr) {
        let endpoint: Arc<str> = Arc::from(endpoint.to_string());
        for result in FAILURES.into_iter().chain([OK]) {
            self.scrapes.remove(&ScrapeLabels {
                endpoint: Name(Arc::clone(&endpoint)),
                result: Word(result),
            });
        }
    }

    /// Counts the time of a scrape that brought a page.
    pub fn scraped(&self, took: Duration) {
        self.scrape_seconds.observe(took.as_secs_f64());
    }

    /// Counts problems of a page.
    pub fn page_problem(&self, problem: PageProblem, count: u32) {
        if count > 0 {
            let kind = Word(match problem {
                PageProblem::BadLine => "bad_line",
                PageProblem::BadValue => "bad_value",
                PageProblem::Truncated => "truncated",
                PageProblem::NothingKnown => "nothing_known",
            });
            let counter = self.problems.get_or_create(&KindLabels { kind });
            counter.inc_by(u64::from(count));
        }
    }

    /// Counts a message to a gateway.
    pub fn sent(&self, kind: SentKind, bytes: usize) {
        let kind = Word(match kind {
            SentKind::Snapshot => "snapshot",
            SentKind::Delta => "delta",
            SentKind::Heartbeat => "heartbeat",
            SentKind::Refusal => "refusal",
            SentKind::Policy => "policy",
        });
        self.messages.get_or_create(&KindLabels { kind }).inc();
        self.sent_bytes.inc_by(u64::try_from(bytes).unwrap_or(0));
    }

    /// Counts one publication of each of `pools`.
    pub fn published<'a>(&self, pools: impl Iterator<Item = &'a Arc<str>>) {
        for pool in pools {
            let pool = Name(Arc::clone(pool));
            self.publications.get_or_create(&PoolLabels { pool }).inc();
        }
    }

    /// Counts a configuration that was read and taken, or refused.
    pub fn reloaded(&self, taken: bool) {
        let result = Word(if taken { "taken" } else { "refused" });
        self.reloads.get_or_create(&ResultLabels { result }).inc();
        self.config_good.set(i64::from(taken));
    }

    /// Counts resources that were read: taken, or left for what was before.
    pub fn resources_read(&self, taken: bool, mistakes: usize) {
        let result = Word(if taken { "taken" } else { "refused" });
        let reloads = &self.resource_reloads;
        reloads.get_or_create(&ResultLabels { result }).inc();
        self.resource_mistakes
            .set(i64::try_from(mistakes).unwrap_or(i64::MAX));
    }

    /// Forgets the series of pools that are not among `pools`.
    pub fn set_pools<'a>(&self, pools: impl Iterator<Item = &'a Arc<str>>) {
        let now: BTreeSet<Arc<str>> = pools.map(Arc::clone).collect();
        let mut known = self
            .pools
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for gone in known.difference(&now) {
            let pool = Name(Arc::clone(gone));
            self.publications.remove(&PoolLabels { pool: pool.clone() });
            for health in HEALTHS {
                let health = Word(health);
                let pool = pool.clone();
                self.endpoints.remove(&HealthLabels { pool, health });
            }
        }
        *known = now;
    }

    /// Notes how many endpoints are in which state; called before the metrics are read.
    pub fn set_health(&self, pool: &Arc<str>, counts: crate::index::HealthCounts) {
        let counts = [
            counts.ready,
            counts.draining,
            counts.suspect,
            counts.pending,
        ];
        for (health, count) in HEALTHS.into_iter().zip(counts) {
            let labels = HealthLabels {
                pool: Name(Arc::clone(pool)),
                health: Word(health),
            };
            let gauge = self.endpoints.get_or_create(&labels);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Notes what was learned of the endpoints, and forgets what was noted before; called before the
    /// metrics are read.
    pub fn set_learned<'a>(&self, learned: impl Iterator<Item = (SocketAddr, &'a Signals)>) {
        self.step_seconds.clear();
        self.output_tokens.clear();
        for (endpoint, signals) in learned {
            let endpoint = Name(Arc::from(endpoint.to_string()));
            if let Some(mean) = signals.mean_output_tokens {
                let labels = EndpointLabels {
                    endpoint: endpoint.clone(),
                };
                let gauge = self.output_tokens.get_or_create(&labels);
                gauge.set(f64::from(mean.value));
            }
            let Some(StepModel {
                base_us,
                token_us,
                kv_token_us,
            }) = signals.step_model.map(|model| model.value)
            else {
                continue;
            };
            for (part, micros) in [
                ("base", base_us),
                ("token", token_us),
                ("kv_token", kv_token_us),
            ] {
                let labels = PartLabels {
                    endpoint: endpoint.clone(),
                    part: Word(part),
                };
                let gauge = self.step_seconds.get_or_create(&labels);
                gauge.set(f64::from(micros) / 1e6);
            }
        }
    }

    /// All metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// When the writer of the format fails, which a `String` does not.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        self.0.encode(encoder)
    }
}

impl EncodeLabelValue for Name {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        EncodeLabelValue::encode(&&*self.0, encoder)
    }
}
