//! The series of requests that the reference has, under its names and with its bounds.
//!
//! ```text
//!   request --> row of (pool, model, target) --> counts in memory --(once a second)--> Envoy
//!               unknown model: the pool's row `other`
//! ```
//!
//! A model has a row of its own when the pool's policy knows it or a model server has answered a request
//! for it with success; so no client can make series, however many names it thinks of.

use picker::{Estimate, Millis};

use super::{
    histogram::{Histogram, Kind},
    kinds::{DECISION, FILTER, HIT_BYTES, HIT_RATIO, Measure, PLUGIN, REQUEST, SIGNAL_AGE},
    name::{define, labels_of},
};
use crate::{
    answer::Measured,
    host::{Host, MetricId, MetricKind},
};

/// The most rows: of all pools' models and targets together.
const MAX_ROWS: usize = 256;
/// How often what was gathered is shown, in milliseconds.
const SHOW_MS: u64 = 1_000;
/// The model's label where it is not known.
const OTHER: &str = "other";

/// What is told of every chosen endpoint.
const CHOSEN: [Kind; 3] = [SIGNAL_AGE, HIT_RATIO, HIT_BYTES];

/// The reasons of errors, as the reference names them.
const ERRORS: [&str; 5] = [
    "BadRequest",
    "InferencePoolResourceExhausted",
    "ServiceUnavailable",
    "ModelServerError",
    "Internal",
];

/// What is gathered of requests, and shown from time to time.
#[derive(Debug)]
pub struct RequestMetrics {
    /// First the row `other` of each pool.
    rows: Vec<Row>,
    pools: usize,
    decisions: Histogram,
    /// The same under the name that plugins have.
    plugin: Histogram,
    filter: Histogram,
    attempts: [Counter; 2],
    /// Of the chosen endpoints, by pool.
    chosen: Vec<[Histogram; CHOSEN.len()]>,
    shown_at: Option<Millis>,
}

/// What is gathered of the requests for one model of one pool.
#[derive(Debug)]
struct Row {
    pool: usize,
    /// The pool's label as it stands in the names.
    pool_label: String,
    model: String,
    target: String,
    /// Whether there is anything to show.
    changed: bool,
    total: Counter,
    running: i32,
    running_shown: Option<MetricId>,
    errors: [Counter; ERRORS.len()],
    histograms: [Histogram; REQUEST.len()],
}

#[derive(Debug, Default)]
struct Counter {
    count: u32,
    shown: Option<MetricId>,
}

impl Counter {
    const fn add(&mut self) {
        self.count = self.count.saturating_add(1);
    }

    fn show(&mut self, host: &dyn Host, name: impl FnOnce() -> String) {
        if self.count > 0 {
            self.define(host, name);
        }
        if let (Some(id), 1..) = (self.shown, self.count) {
            host.increment(id, self.count);
        }
        self.count = 0;
    }

    fn define(&mut self, host: &dyn Host, name: impl FnOnce() -> String) {
        if self.shown.is_none() {
            self.shown = define(host, MetricKind::Counter, &name());
        }
    }
}

/// How one request ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    /// From its headers to its end, in nanoseconds.
    pub nanos: u64,
    /// The status of its answer, if it got one.
    pub status: Option<u64>,
    /// Whether the answer was the filter's own.
    pub refused: bool,
    /// The length of its body as far as it is known.
    pub request_bytes: u64,
    /// The length of its answer.
    pub response_bytes: u64,
    /// From its headers to the first chunk of a stream, in nanoseconds: what it waited for room is in it.
    pub first_token_nanos: Option<u64>,
    /// What a complete answer showed.
    pub measured: Option<&'a Measured>,
}

impl RequestMetrics {
    /// Nothing gathered yet, for these pools.
    #[must_use]
    pub fn new<'a>(pools: impl Iterator<Item = &'a str>) -> Self {
        let rows: Vec<_> = pools
            .enumerate()
            .map(|(index, pool)| Row::new(index, labels_of(&[("pool", pool)]), OTHER, OTHER))
            .collect();
        Self {
            pools: rows.len(),
            chosen: rows.iter().map(|_| Default::default()).collect(),
            rows,
            decisions: Histogram::default(),
            plugin: Histogram::default(),
            filter: Histogram::default(),
            attempts: [Counter::default(), Counter::default()],
            shown_at: None,
        }
    }

    /// The row of a known model that goes to the model servers as `target`.
    pub fn row(&mut self, pool: usize, model: &str, target: &str) -> usize {
        let known = |row: &Row| row.pool == pool && row.model == model && row.target == target;
        if let Some(index) = self.find(known) {
            return index;
        }
        match self.rows.get(pool) {
            Some(other) if self.rows.len() < MAX_ROWS => {
                let row = Row::new(pool, other.pool_label.clone(), model, target);
                self.rows.push(row);
                self.rows.len() - 1
            }
            _ => pool,
        }
    }

    /// The row of a model that a model server has answered for, or the pool's for all others.
    #[must_use]
    pub fn served(&self, pool: usize, model: &str) -> usize {
        let known = |row: &Row| row.pool == pool && row.target == model;
        self.find(known).unwrap_or(pool)
    }

    fn find(&self, known: impl Fn(&Row) -> bool) -> Option<usize> {
        let own = self.rows.iter().enumerate().skip(self.pools);
        own.filter(|(_, row)| known(row))
            .map(|(index, _)| index)
            .next()
    }

    /// A request begins.
    pub fn begin(&mut self, row: usize) {
        if let Some(row) = self.rows.get_mut(row) {
            row.changed = true;
            row.total.add();
            row.running += 1;
        }
    }

    /// Time passed between two events of a stream, in nanoseconds.
    pub fn between_tokens(&mut self, row: usize, nanos: u64) {
        if let Some(row) = self.rows.get_mut(row) {
            row.changed = true;
            row.observe(Measure::BetweenTokens, nanos / 1_000);
        }
    }

    /// A request ended.
    pub fn end(&mut self, row: usize, ended: &Ended<'_>) {
        let Some(row) = self.rows.get_mut(row) else {
            return;
        };
        row.changed = true;
        row.running -= 1;
        row.observe(Measure::RequestSize, ended.request_bytes);
        row.observe(Measure::ResponseSize, ended.response_bytes);
        row.observe(Measure::Duration, ended.nanos / 1_000);
        let error = match ended.status {
            None | Some(..400) => None,
            Some(429) => Some(1),
            Some(400..500) => Some(0),
            Some(503) if ended.refused => Some(2),
            Some(_) if ended.refused => Some(4),
            Some(_) => Some(3),
        };
        if let Some(error) = error.and_then(|index: usize| row.errors.get_mut(index)) {
            error.add();
        }
        if let Some(first) = ended.first_token_nanos {
            row.observe(Measure::FirstToken, first / 1_000);
        }
        if let Some(measured) = ended.measured {
            row.measured(measured, ended.nanos / 1_000);
        }
    }

    /// A decision took so long, and named an endpoint or none.
    pub fn decided(&mut self, nanos: u64, named: bool) {
        self.decisions.observe(&DECISION, nanos / 1_000);
        let [named_none, named_one] = &mut self.attempts;
        if named { named_one } else { named_none }.add();
    }

    /// The filter was at work so long for a request before its answer.
    pub fn at_work(&mut self, nanos: u64) {
        self.filter.observe(&FILTER, nanos / 1_000);
    }

    /// An endpoint was chosen: how old its signals are, if it told any, and how much of the prompt of so
    /// many bytes it is believed to hold.
    pub fn chosen(&mut self, pool: usize, age_ms: Option<u64>, bytes: u64, estimate: &Estimate) {
        let Some([ages, ratios, lengths]) = self.chosen.get_mut(pool) else {
            return;
        };
        if let Some(age_ms) = age_ms {
            ages.observe(&SIGNAL_AGE, age_ms.saturating_mul(1_000));
        }
        let all = u64::from(estimate.prompt_tokens);
        let held = all.saturating_sub(estimate.uncached_tokens.into());
        if let Some(thousandths) = (held * 1_000).checked_div(all) {
            ratios.observe(&HIT_RATIO, thousandths);
            lengths.observe(&HIT_BYTES, bytes.saturating_mul(held) / all);
        }
    }

    /// Shows what was gathered, if the last time is long enough ago.
    pub fn show(&mut self, host: &dyn Host, now: Millis) {
        if self
            .shown_at
            .is_some_and(|shown| now.since(shown) < SHOW_MS)
        {
            return;
        }
        self.shown_at = Some(now);
        for row in &mut self.rows {
            row.show(host);
        }
        self.plugin.repeat(&self.decisions);
        self.decisions.show(host, &DECISION, "");
        self.plugin.show(host, &PLUGIN, "");
        self.filter.show(host, &FILTER, "");
        for (attempts, status) in self.attempts.iter_mut().zip(["failure", "success"]) {
            let name = || labels_of(&[("status", status)]) + "llm_d_epp_scheduler_attempts_total";
            attempts.show(host, name);
        }
        for (chosen, row) in self.chosen.iter_mut().zip(&self.rows) {
            for (histogram, kind) in chosen.iter_mut().zip(&CHOSEN) {
                histogram.show(host, kind, &row.pool_label);
            }
        }
    }
}

impl Row {
    fn new(pool: usize, pool_label: String, model: &str, target: &str) -> Self {
        Self {
            pool,
            pool_label,
            model: model.to_owned(),
            target: target.to_owned(),
            changed: true,
            total: Counter::default(),
            running: 0,
            running_shown: None,
            errors: Default::default(),
            histograms: Default::default(),
        }
    }

    fn observe(&mut self, measure: Measure, value: u64) {
        let index = measure as usize;
        if let (Some(histogram), Some(kind)) = (self.histograms.get_mut(index), REQUEST.get(index))
        {
            histogram.observe(kind, value);
        }
    }

    fn measured(&mut self, measured: &Measured, micros: u64) {
        let usage = measured.usage;
        for (measure, tokens) in [
            (Measure::InputTokens, usage.prompt_tokens),
            (Measure::CachedTokens, usage.cached_tokens),
            (Measure::OutputTokens, usage.output_tokens),
        ] {
            if let Some(tokens) = tokens {
                self.observe(measure, tokens.into());
            }
        }
        let output = u64::from(usage.output_tokens.unwrap_or_default());
        if let Some(normalized) = micros.checked_div(output) {
            self.observe(Measure::Normalized, normalized);
        }
        if let Some(first_ms) = measured.first_token_ms {
            let first = (first_ms * 1e3) as u64;
            let rest = ((measured.total_ms * 1e3) as u64).saturating_sub(first);
            if let Some(per_token) = rest.checked_div(output.saturating_sub(1)) {
                self.observe(Measure::PerToken, per_token);
            }
        }
    }

    fn show(&mut self, host: &dyn Host) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let mut labels = self.pool_label.clone();
        let models = [
            ("model_name", self.model.as_str()),
            ("target_model_name", &self.target),
        ];
        labels += &labels_of(&models);
        let name = |family: &str| labels.clone() + family;
        let total = || name("llm_d_epp_request_total");
        self.total.define(host, total);
        self.total.show(host, total);
        if self.running_shown.is_none() {
            let name = name("llm_d_epp_request_running");
            self.running_shown = define(host, MetricKind::Gauge, &name);
        }
        let running = std::mem::take(&mut self.running);
        if let Some(id) = self.running_shown
            && running != 0
        {
            host.adjust(id, running);
        }
        for (error, code) in self.errors.iter_mut().zip(ERRORS) {
            error.show(host, || {
                labels_of(&[("error_code", code)]) + &name("llm_d_epp_request_error_total")
            });
        }
        for (histogram, kind) in self.histograms.iter_mut().zip(&REQUEST) {
            histogram.show(host, kind, &labels);
        }
    }
}
