//! What the filter counts. Everything is defined when the plugin is configured, with label values
//! from fixed sets, so that no request and no client can add a series. An error costs the metric,
//! never the request.
//!
//! Labels stand in the name as [`series`] writes them, so that Envoy's `stats_tags` can cut them out:
//! `pool=.=default;.;reason=.=best_score;.;zerohop_picks_total` becomes
//! `zerohop_picks_total{pool="default",reason="best_score"}`. What every request adds to many series
//! at once is gathered first: [`RequestMetrics`].

mod histogram;
mod kinds;
mod name;
mod requests;
mod shadow;

use admission::Reason as Dropped;
use picker::Reason;

use self::name::define;
pub use self::{
    name::series,
    requests::{Ended, RequestMetrics},
    shadow::{Compared, ShadowMetrics},
};

use crate::{
    body::ScanOutcome,
    host::{Host, MetricId, MetricKind},
};

/// Why a body was not scanned; label values of `zerohop_scans_total` beside [`ScanOutcome`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unscanned {
    /// The request has no body.
    NoBody,
    /// The content-type is not JSON.
    NotJsonType,
    /// The body is compressed.
    Encoded,
    /// CONNECT or a protocol upgrade.
    Tunnel,
    /// Pair mode without a second filter to hold the headers.
    NoPartner,
}

/// What happens to the agent's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEvent {
    /// It was opened.
    Opened,
    /// It could not be opened (the cluster is unknown or down).
    OpenFailed,
    /// It was closed by the other side or the network.
    Closed,
    /// Nothing came for too long.
    Silent,
    /// A message broke the contract.
    ContractError,
    /// The agent will not serve a pool.
    PoolRefused,
}

/// What became of a pool's state that arrived from the agent or from shared data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateEvent {
    /// The leader took it.
    Taken,
    /// Another agent's: held back.
    Held,
    /// Older than what is held.
    Old,
    /// A slot held something that is not ours, or older than what was seen.
    SlotRejected,
    /// An endpoint is outside `allowed_cidrs`.
    EndpointRefused,
    /// The leader took a pool's policy.
    PolicyTaken,
    /// The leader could not read or share a pool's policy.
    PolicyRefused,
    /// A worker took a pool's policy over.
    PolicyRead,
}

/// What happens between the pick and the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptEvent {
    /// Another endpoint than the first choice served the request.
    Moved,
    /// A failure was held against an endpoint. That Envoy does not have it as a member is none.
    Failure,
    /// The request was refused: no endpoint has capacity.
    Saturated,
    /// The request was refused: no endpoint of its subset is there.
    NoneEligible,
    /// The request was refused: its model is unknown and `strict_model` is on.
    ModelUnknown,
    /// The header could not be set.
    NotRouted,
    /// The request was refused: nothing is known of its pool, whose policy is FailClose.
    NoEndpoint,
}

/// What becomes of requests by their models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelEvent {
    /// The model was rewritten.
    Rewritten,
    /// It was, in a body that was not read to its end: another model might follow.
    Provisional,
    /// The request was refused: the pool does not serve its model.
    Unknown,
    /// The request was refused: its model did not come in the part of the body that is read.
    TooLate,
    /// The request was refused: its body could not be changed.
    NotRewritten,
    /// The answer is encoded, so that the public name could not be put back.
    AnswerEncoded,
    /// The list of models was answered here.
    Listed,
}

/// What becomes of a request that asks for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// It went at once.
    Passed,
    /// It was held, and went.
    Dispatched,
    /// Its client left while it was held.
    Left,
    /// It was refused, at once or after it was held.
    Refused(Dropped),
}

impl Waited {
    const fn label(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Dispatched => "dispatched",
            Self::Left => "left",
            Self::Refused(reason) => reason.as_str(),
        }
    }
}

/// What happens to notes about prompts between the workers of this Envoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoteEvent {
    /// Shown to the other workers.
    Shared,
    /// Taken over from another worker.
    Applied,
    /// Gone before they were read.
    Missed,
}

const OUTCOMES: [&str; 7] = [
    "passed",
    "dispatched",
    "left",
    "queue_full",
    "shed",
    "deadline_exceeded",
    "no_endpoints",
];
const MODELS: [&str; 7] = [
    "rewritten",
    "provisional",
    "unknown",
    "too_late",
    "not_rewritten",
    "answer_encoded",
    "listed",
];
const NOTES: [&str; 3] = ["shared", "applied", "missed"];
/// Tokens of prompts of which the engine told how much was cached: all, those that were predicted to
/// be cached, those that were.
const PREFIX_TOKENS: [&str; 3] = ["prompt", "predicted", "cached"];
const UNSCANNED: [&str; 5] = [
    "no_body",
    "not_json_type",
    "encoded",
    "tunnel",
    "no_partner",
];
const STREAM: [&str; 6] = [
    "opened",
    "open_failed",
    "closed",
    "silent",
    "contract_error",
    "pool_refused",
];
const STATE: [&str; 8] = [
    "taken",
    "held",
    "old",
    "slot_rejected",
    "endpoint_refused",
    "policy_taken",
    "policy_refused",
    "policy_read",
];
const ATTEMPT: [&str; 7] = [
    "moved",
    "failure",
    "saturated",
    "none_eligible",
    "model_unknown",
    "not_routed",
    "no_endpoint",
];

/// The defined metrics.
#[derive(Debug, Default)]
pub struct Metrics {
    scans: Vec<Option<MetricId>>,
    unscanned: Vec<Option<MetricId>>,
    stream: Vec<Option<MetricId>>,
    state: Vec<Option<MetricId>>,
    attempts: Vec<Option<MetricId>>,
    models: Vec<Option<MetricId>>,
    notes: Vec<Option<MetricId>>,
    takeovers: Option<MetricId>,
    stream_up: Option<MetricId>,
    pick_microseconds: Option<MetricId>,
    pools: Vec<PoolMetrics>,
}

#[derive(Debug)]
struct PoolMetrics {
    picks: Vec<Option<MetricId>>,
    prefix_tokens: Vec<Option<MetricId>>,
    refusals: Option<MetricId>,
    in_flight: Option<MetricId>,
    endpoints: Option<MetricId>,
    snapshot_age_ms: Option<MetricId>,
    prefix_size: Option<MetricId>,
    /// Requests that wait and their bytes, under the reference's names. There without admission too, since
    /// autoscalers add them up.
    waiting: [Option<MetricId>; 2],
    queue: Option<QueueMetrics>,
}

/// Only with admission.
#[derive(Debug)]
struct QueueMetrics {
    outcomes: Vec<Option<MetricId>>,
    requests: Option<MetricId>,
    bytes: Option<MetricId>,
    saturation: Option<MetricId>,
    milliseconds: Option<MetricId>,
}

impl Metrics {
    /// Defines everything for these pools.
    #[must_use]
    pub fn define<'a>(
        host: &dyn Host,
        pools: impl Iterator<Item = &'a str>,
        admission: bool,
    ) -> Self {
        let counter = |name: &str| define(host, MetricKind::Counter, name);
        let counters = |family: &str, label: &str, values: &[&str]| {
            values
                .iter()
                .map(|value| counter(&series(&["zerohop_", family].concat(), &[(label, value)])))
                .collect()
        };
        let scanned = ScanOutcome::ALL.map(ScanOutcome::as_str);
        Self {
            scans: counters("scans_total", "outcome", &scanned),
            unscanned: counters("scans_total", "outcome", &UNSCANNED),
            stream: counters("agent_stream_events_total", "event", &STREAM),
            state: counters("pool_states_total", "result", &STATE),
            attempts: counters("attempts_total", "event", &ATTEMPT),
            models: counters("models_total", "event", &MODELS),
            notes: counters("prefix_notes_total", "event", &NOTES),
            takeovers: counter("zerohop_leader_takeovers_total"),
            stream_up: define(host, MetricKind::Gauge, "zerohop_agent_stream_up"),
            pick_microseconds: define(host, MetricKind::Histogram, "zerohop_pick_microseconds"),
            pools: pools
                .map(|pool| PoolMetrics::define(host, pool, admission))
                .collect(),
        }
    }

    /// Counts a pick.
    pub fn picked(&self, host: &dyn Host, pool: usize, reason: Reason) {
        if let Some(pool) = self.pools.get(pool) {
            increment(host, &pool.picks, reason as usize);
        }
    }

    /// Counts a request that was answered here for want of an endpoint or of room.
    pub fn refused(&self, host: &dyn Host, pool: usize) {
        if let Some(id) = self.refusals_of(pool) {
            host.increment(id, 1);
        }
    }

    /// How many requests for a pool all workers of this Envoy have so answered; `None` when the host does
    /// not tell.
    #[must_use]
    pub fn refusals(&self, host: &dyn Host, pool: usize) -> Option<u64> {
        host.metric(self.refusals_of(pool)?)
    }

    fn refusals_of(&self, pool: usize) -> Option<MetricId> {
        self.pools.get(pool)?.refusals
    }

    /// Counts what became of a request that asked for room.
    pub fn waited(&self, host: &dyn Host, pool: usize, outcome: Waited) {
        if let Some(queue) = self.queue_of(pool) {
            let label = outcome.label();
            if let Some(index) = OUTCOMES.iter().position(|known| *known == label) {
                increment(host, &queue.outcomes, index);
            }
        }
    }

    /// Records for how long a request was held.
    pub fn wait_took(&self, host: &dyn Host, pool: usize, millis: u64) {
        if let Some(queue) = self.queue_of(pool) {
            record(host, queue.milliseconds, millis);
        }
    }

    /// Shows what waits for a pool, over all workers, and how full it is.
    pub fn queue(&self, host: &dyn Host, pool: usize, gauges: QueueGauges) {
        let pool = self.pools.get(pool);
        if let Some((pool, queue)) = pool.and_then(|pool| Some((pool, pool.queue.as_ref()?))) {
            record(host, queue.requests, gauges.requests);
            record(host, queue.bytes, gauges.bytes);
            for (metric, value) in pool.waiting.iter().zip([gauges.requests, gauges.bytes]) {
                record(host, *metric, value);
            }
            record(host, queue.saturation, (gauges.saturation * 100.0) as u64);
        }
    }

    fn queue_of(&self, pool: usize) -> Option<&QueueMetrics> {
        self.pools.get(pool)?.queue.as_ref()
    }

    /// Counts the tokens of a prompt of which the engine told how much was cached.
    pub fn prefix_tokens(&self, host: &dyn Host, pool: usize, tokens: PrefixTokens) {
        let Some(pool) = self.pools.get(pool) else {
            return;
        };
        let tokens = [tokens.prompt, tokens.predicted, tokens.cached];
        for (metric, tokens) in pool.prefix_tokens.iter().zip(tokens) {
            if let (Some(id), 1..) = (*metric, tokens) {
                host.increment(id, tokens);
            }
        }
    }

    /// Counts notes about prompts.
    pub fn notes(&self, host: &dyn Host, event: NoteEvent, count: u64) {
        let id = self.notes.get(event as usize).copied().flatten();
        if let (Some(id), 1..) = (id, count) {
            host.increment(id, u32::try_from(count).unwrap_or(u32::MAX));
        }
    }

    /// Records how long a pick took.
    pub fn pick_took(&self, host: &dyn Host, nanos: u64) {
        record(host, self.pick_microseconds, nanos.div_ceil(1_000));
    }

    /// Counts a scanned body.
    pub fn scanned(&self, host: &dyn Host, outcome: ScanOutcome) {
        increment(host, &self.scans, outcome as usize);
    }

    /// Counts a body that was not looked at.
    pub fn not_scanned(&self, host: &dyn Host, why: Unscanned) {
        increment(host, &self.unscanned, why as usize);
    }

    /// Counts an event of the agent's stream.
    pub fn stream(&self, host: &dyn Host, event: StreamEvent) {
        increment(host, &self.stream, event as usize);
    }

    /// Shows whether the agent's stream is up.
    pub fn stream_up(&self, host: &dyn Host, up: bool) {
        record(host, self.stream_up, u64::from(up));
    }

    /// Counts a pool's state by what became of it.
    pub fn state(&self, host: &dyn Host, event: StateEvent) {
        increment(host, &self.state, event as usize);
    }

    /// Counts an event of a routed request.
    pub fn attempt(&self, host: &dyn Host, event: AttemptEvent) {
        increment(host, &self.attempts, event as usize);
    }

    /// Counts what became of a request by its model.
    pub fn model(&self, host: &dyn Host, event: ModelEvent) {
        increment(host, &self.models, event as usize);
    }

    /// Counts a root context that became the one that feeds a pool.
    pub fn took_over(&self, host: &dyn Host) {
        if let Some(id) = self.takeovers {
            host.increment(id, 1);
        }
    }

    /// Shows a pool as its leader sees it.
    pub fn pool(&self, host: &dyn Host, pool: usize, gauges: PoolGauges) {
        let Some(pool) = self.pools.get(pool) else {
            return;
        };
        record(host, pool.in_flight, gauges.in_flight);
        record(host, pool.endpoints, gauges.endpoints);
        record(host, pool.prefix_size, gauges.prefix_size);
        if let Some(age) = gauges.snapshot_age_ms {
            record(host, pool.snapshot_age_ms, age);
        }
    }
}

/// How much of a prompt was cached, in tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PrefixTokens {
    /// All tokens of the prompt.
    pub prompt: u32,
    /// Those that the pick took to be cached.
    pub predicted: u32,
    /// Those that the engine says were.
    pub cached: u32,
}

/// What a worker shows of a pool's queues at each tick.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct QueueGauges {
    /// Requests that wait, in all workers.
    pub requests: u64,
    /// The bytes of their bodies.
    pub bytes: u64,
    /// How full the pool is; 1 is full.
    pub saturation: f32,
}

/// What a pool's leader shows at each tick.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolGauges {
    /// Requests in flight from this Envoy.
    pub in_flight: u64,
    /// Members.
    pub endpoints: u64,
    /// Entries of the prefix index, which are about the same in every worker.
    pub prefix_size: u64,
    /// Milliseconds since the last state of this pool was taken; `None` before the first.
    pub snapshot_age_ms: Option<u64>,
}

impl PoolMetrics {
    fn define(host: &dyn Host, pool: &str, admission: bool) -> Self {
        let gauge = |family| define(host, MetricKind::Gauge, &series(family, &[("pool", pool)]));
        let pick = |reason: Reason| {
            let labels = [("pool", pool), ("reason", reason.as_str())];
            let name = series("zerohop_picks_total", &labels);
            define(host, MetricKind::Counter, &name)
        };
        let mut picks = vec![None; Reason::ALL.len()];
        for reason in Reason::ALL {
            if let Some(slot) = picks.get_mut(reason as usize) {
                *slot = pick(reason);
            }
        }
        let prefix_tokens = PREFIX_TOKENS.map(|kind| {
            let name = series(
                "zerohop_prefix_tokens_total",
                &[("pool", pool), ("kind", kind)],
            );
            define(host, MetricKind::Counter, &name)
        });
        let refusals = series("zerohop_refusals_total", &[("pool", pool)]);
        Self {
            picks,
            prefix_tokens: prefix_tokens.to_vec(),
            refusals: define(host, MetricKind::Counter, &refusals),
            in_flight: gauge("zerohop_in_flight_requests"),
            endpoints: gauge("zerohop_endpoints"),
            snapshot_age_ms: gauge("zerohop_snapshot_age_ms"),
            prefix_size: gauge(&[kinds::PREFIX_PLUGIN, "llm_d_epp_prefix_indexer_size"].concat()),
            waiting: [
                "llm_d_epp_flow_control_queue_size",
                "llm_d_epp_flow_control_queue_bytes",
            ]
            .map(gauge),
            queue: admission.then(|| QueueMetrics::define(host, pool)),
        }
    }
}

impl QueueMetrics {
    fn define(host: &dyn Host, pool: &str) -> Self {
        let of_pool = |kind, family| define(host, kind, &series(family, &[("pool", pool)]));
        let outcome = |outcome: &&str| {
            let labels = [("pool", pool), ("outcome", *outcome)];
            let name = series("zerohop_admissions_total", &labels);
            define(host, MetricKind::Counter, &name)
        };
        Self {
            outcomes: OUTCOMES.iter().map(outcome).collect(),
            requests: of_pool(MetricKind::Gauge, "zerohop_queued_requests"),
            bytes: of_pool(MetricKind::Gauge, "zerohop_queued_bytes"),
            saturation: of_pool(MetricKind::Gauge, "zerohop_saturation_percent"),
            milliseconds: of_pool(MetricKind::Histogram, "zerohop_queue_milliseconds"),
        }
    }
}

fn increment(host: &dyn Host, family: &[Option<MetricId>], index: usize) {
    if let Some(Some(id)) = family.get(index) {
        host.increment(*id, 1);
    }
}

fn record(host: &dyn Host, metric: Option<MetricId>, value: u64) {
    if let Some(id) = metric {
        host.record(id, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeEnvoy;

    #[test]
    fn every_series_is_defined_once_and_before_any_request() {
        let envoy = FakeEnvoy::new();
        let host = envoy.vm();
        let metrics = Metrics::define(&host, ["a", "b.c"].into_iter(), true);
        let names = envoy.metric_names();
        assert!(
            names.contains(&"pool=.=b.c;.;reason=.=best_score;.;zerohop_picks_total".to_owned())
        );
        let mut unique = names.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), names.len(), "no name twice");
        for reason in Reason::ALL {
            metrics.picked(&host, 1, reason);
            let name = format!(
                "pool=.=b.c;.;reason=.={};.;zerohop_picks_total",
                reason.as_str()
            );
            assert_eq!(envoy.metric(&name), 1, "{name}");
        }
        for outcome in ScanOutcome::ALL {
            metrics.scanned(&host, outcome);
            let name = format!("outcome=.={};.;zerohop_scans_total", outcome.as_str());
            assert_eq!(envoy.metric(&name), 1, "{name}");
        }
        metrics.picked(&host, 7, Reason::Blind);
        assert_eq!(envoy.metric_names().len(), names.len(), "nothing was added");
    }

    #[test]
    fn a_host_that_refuses_metrics_changes_nothing() {
        let envoy = FakeEnvoy::new();
        envoy.refuse_metrics();
        let host = envoy.vm();
        let metrics = Metrics::define(&host, ["a"].into_iter(), true);
        metrics.picked(&host, 0, Reason::Blind);
        metrics.pool(&host, 0, PoolGauges::default());
        assert!(envoy.metric_names().is_empty());
    }
}
