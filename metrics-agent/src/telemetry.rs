//! The agent's metrics: about itself here, about pools, models and endpoints in [`series`].
//! `docs/metrics.md` is for operators, and a test compares it with what is emitted.
//!
//! ```text
//!   counters, where things happen ----> Registry --.
//!   views of pools, when asked -----> Series ------+--> /metrics
//! ```
//!
//! Labels are pools and endpoints of the configuration and closed sets of words, so their number is
//! bounded; series go when their endpoint or pool goes.

mod family;
pub mod series;
mod spread;

use std::{
    collections::BTreeSet,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

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

use series::Series;

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

/// All metrics of the agent.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    scrapes: Family<ScrapeLabels, Counter>,
    scrape_seconds: Histogram,
    problems: Family<KindLabels, Counter>,
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
    /// Scrapes that brought no page.
    pub poll_errors: Counter,
    /// Pages that could not be read in full.
    pub extract_errors: Counter,
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

impl SentKind {
    const ALL: [Self; 5] = [
        Self::Snapshot,
        Self::Delta,
        Self::Heartbeat,
        Self::Refusal,
        Self::Policy,
    ];

    const fn labels(self) -> KindLabels {
        let kind = Word(match self {
            Self::Snapshot => "snapshot",
            Self::Delta => "delta",
            Self::Heartbeat => "heartbeat",
            Self::Refusal => "refusal",
            Self::Policy => "policy",
        });
        KindLabels { kind }
    }
}

impl PageProblem {
    const ALL: [Self; 4] = [
        Self::BadLine,
        Self::BadValue,
        Self::Truncated,
        Self::NothingKnown,
    ];

    const fn labels(self) -> KindLabels {
        let kind = Word(match self {
            Self::BadLine => "bad_line",
            Self::BadValue => "bad_value",
            Self::Truncated => "truncated",
            Self::NothingKnown => "nothing_known",
        });
        KindLabels { kind }
    }
}

const fn taken_labels(taken: bool) -> ResultLabels {
    let result = Word(if taken { "taken" } else { "refused" });
    ResultLabels { result }
}

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
            poll_errors: Counter::default(),
            extract_errors: Counter::default(),
        };
        telemetry.register();
        telemetry.start_at_zero();
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

    /// Makes the series whose labels are closed sets of words, so that a rate exists from the first
    /// event on.
    fn start_at_zero(&self) {
        for problem in PageProblem::ALL {
            drop(self.problems.get_or_create(&problem.labels()));
        }
        for kind in SentKind::ALL {
            drop(self.messages.get_or_create(&kind.labels()));
        }
        for taken in [true, false] {
            drop(self.reloads.get_or_create(&taken_labels(taken)));
            drop(self.resource_reloads.get_or_create(&taken_labels(taken)));
        }
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
            let counter = self.problems.get_or_create(&problem.labels());
            counter.inc_by(u64::from(count));
        }
    }

    /// Counts a message to a gateway.
    pub fn sent(&self, kind: SentKind, bytes: usize) {
        self.messages.get_or_create(&kind.labels()).inc();
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
        self.reloads.get_or_create(&taken_labels(taken)).inc();
        self.config_good.set(i64::from(taken));
    }

    /// Counts resources that were read: taken, or left for what was before.
    pub fn resources_read(&self, taken: bool, mistakes: usize) {
        let reloads = &self.resource_reloads;
        reloads.get_or_create(&taken_labels(taken)).inc();
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
        }
        *known = now;
    }

    /// All metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// When the writer of the format fails, which a `String` does not.
    pub fn render(&self, series: Series<'_>) -> Result<String, fmt::Error> {
        let mut page = String::new();
        text::encode_registry(&mut page, &self.registry)?;
        family::encode(&mut page, series.families(self))?;
        text::encode_eof(&mut page)?;
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
