//! One root context's share of a worker: its pools, its ledger, its picks.
//!
//! A worker is one VM; it holds one of these per root context, because two listeners (or the old
//! and the new configuration during an update) can share a VM. They share nothing in memory and
//! meet in shared data like strangers.

mod admission;
mod choice;
mod chosen;
mod counting;
mod feedback;
mod lead;
mod models;
mod policy;
mod prefill;
mod requests;
mod shadow;
pub mod view;

use ::admission::{Admission, Backpressure, Refusal, SequenceLimits, Ticket};
use picker::{
    Decision, Endpoint, EndpointId, Millis, Picker, Reason, RequestFacts, SplitMix64,
    breaker::Breaker, ledger::Ledger,
};

pub use self::{
    admission::Asked,
    choice::Choice,
    lead::Load,
    models::{Fate, criticality},
};
use self::{
    chosen::log_reason,
    policy::PolicyCopy,
    prefill::Predictions,
    view::{Reload, View},
};
use crate::{
    answer::Measured,
    body::ScanConfig,
    config::{AdmissionConfig, Config, Mode, ModelsConfig, PoolConfig},
    explain,
    headers::{self, HeaderMap},
    hints::{HintConfig, Hints},
    host::{Host, QueueId},
    in_flight::{Others, OwnTable},
    metrics::{
        AttemptEvent, Metrics, NoteEvent, RequestMetrics, ShadowMetrics, StateEvent, StreamEvent,
    },
    outcome,
    pair::{LetGo, SecondPresence},
    prefix_share::PrefixShare,
    queueing::Held,
    slots::PoolKeys,
    wake::{self, Wake},
    work::{Paths, Work},
};

/// The filter state in which access logs find the reason:
/// `%FILTER_STATE(wasm.zerohop.reason:PLAIN)%`.
const REASON: [&str; 1] = ["zerohop.reason"];
/// How long to route without the body after a second filter was missed, in milliseconds.
const ALONE_MS: u64 = 5_000;

/// The state behind all requests of one root context.
#[derive(Debug)]
pub struct Worker {
    mode: Mode,
    strict_model: bool,
    shadow: bool,
    explain_log: bool,
    trust_explain_header: bool,
    models: ModelsConfig,
    report_served: bool,
    conformance_test: bool,
    scan: ScanConfig,
    hints: HintConfig,
    paths: Paths,
    route_metadata: bool,
    ledger: Ledger,
    predictions: Predictions,
    table: OwnTable,
    others: Others,
    prefix_share: PrefixShare,
    pools: Vec<Pool>,
    entropy: SplitMix64,
    metrics: Metrics,
    requests: RequestMetrics,
    /// In pair mode: until when no second filter is expected, because one was missed.
    alone_until: Millis,
    let_go: LetGo,
    wake: Wake,
    admission: Option<AdmissionConfig>,
    ticks_fast: bool,
}

#[derive(Debug)]
struct Pool {
    config: PoolConfig,
    keys: PoolKeys,
    view: View,
    picker: Picker,
    breaker: Breaker,
    policy: PolicyCopy,
    /// What is counted in shadow mode.
    shadow: Option<ShadowMetrics>,
    admission: Option<Box<Admission<Held>>>,
    backpressure: Backpressure,
    sequence_limits: SequenceLimits,
}

impl Pool {
    /// With admission: the endpoint is no place for more for a while.
    fn refused(&mut self, endpoint: EndpointId, now: Millis) {
        if self.admission.is_some() {
            self.backpressure.refused(endpoint, now);
        }
    }
}

/// What the headers of an answer say.
#[derive(Debug, Clone, Copy, Default)]
pub struct Answered {
    /// The status.
    pub status: Option<u64>,
    /// Whether the server did its work, as far as headers can tell.
    pub is_well: bool,
}

/// What to do with a request.
#[derive(Debug)]
pub enum Routing {
    /// Try these endpoints in order.
    To {
        /// The counted first choice.
        choice: Box<Choice>,
        /// The value of the destination header.
        destination: String,
    },
    /// Leave it to the cluster's own policy.
    Fallback,
    /// Leave it to the cluster's own policy, and compare.
    Shadow(Box<Choice>),
    /// No endpoint has capacity for it.
    Saturated,
    /// No endpoint of its subset is there, and it may go nowhere else.
    NoneEligible,
    /// Nothing is known of the pool, and then its policy lets no request through (FailClose).
    NoEndpoint,
    /// It waits for room; the ticket gives its place back when its client leaves.
    Held(Ticket),
    /// It is not served.
    Refused(Refusal),
}

impl Worker {
    /// The worker of a root context with the identity `owner`.
    #[must_use]
    pub fn new(host: &dyn Host, owner: u64, config: &Config) -> Self {
        let names = || config.pools.iter().map(|pool| pool.name.as_str());
        let metrics = Metrics::define(host, names(), config.admission.is_some());
        let pool = |pool: &PoolConfig| Pool {
            keys: PoolKeys::new(&pool.name),
            view: View::new(&pool.name, &pool.members, config.allowed.clone()),
            picker: Picker::new(config.picker),
            breaker: Breaker::new(SplitMix64::new(host.random())),
            config: pool.clone(),
            policy: PolicyCopy::default(),
            shadow: config
                .shadow
                .then(|| ShadowMetrics::define(host, &pool.name)),
            admission: config.admission.as_ref().map(|admission| {
                Box::new(Admission::new(
                    admission.rules,
                    config.picker.freshness,
                    owner,
                ))
            }),
            backpressure: Backpressure::default(),
            sequence_limits: SequenceLimits::default(),
        };
        Self {
            mode: config.mode,
            strict_model: config.strict_model,
            shadow: config.shadow,
            explain_log: config.explain_log,
            trust_explain_header: config.trust_explain_header,
            models: config.models,
            report_served: config.report_served,
            conformance_test: config.conformance_test,
            scan: ScanConfig {
                cap_bytes: config.cap_bytes,
                prefix_max_bytes: config.picker.prefix.max_bytes as usize,
                block_bytes: config.picker.prefix.block_bytes as usize,
                strict_model: config.strict_model,
                note_models: false,
            },
            hints: HintConfig::new(config),
            paths: config.paths.clone(),
            route_metadata: config.route_metadata,
            ledger: Ledger::new(),
            predictions: Predictions::default(),
            table: OwnTable::new(owner),
            others: Others::new(owner),
            prefix_share: PrefixShare::new(owner),
            pools: config.pools.iter().map(pool).collect(),
            entropy: SplitMix64::new(host.random()),
            metrics,
            requests: RequestMetrics::new(names()),
            alone_until: Millis(0),
            let_go: LetGo::default(),
            wake: Wake::default(),
            admission: config.admission.clone(),
            ticks_fast: false,
        }
    }

    /// How the body is reached.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether a model must be known.
    #[must_use]
    pub const fn strict_model(&self) -> bool {
        self.strict_model
    }

    /// What the running request, with these headers, asks of a model server: its route may say so, else its path
    /// does.
    #[must_use]
    pub fn work(&self, host: &dyn Host, headers: &HeaderMap) -> Work {
        const WORK: [&str; 5] = [
            "xds",
            "route_metadata",
            "filter_metadata",
            "zerohop",
            "work",
        ];
        let said = self.route_metadata.then(|| host.property(&WORK)).flatten();
        let named = said.and_then(|said| Work::named(std::str::from_utf8(&said).ok()?));
        named.unwrap_or_else(|| self.paths.work(headers.get(":path")))
    }

    /// Whether the sender of these headers asks for the decision and may know it.
    #[must_use]
    pub fn explains(&self, headers: &HeaderMap) -> bool {
        self.trust_explain_header && headers.get(explain::ASK).is_some()
    }

    /// How a body is scanned whose model may be rewritten, or not.
    #[must_use]
    pub const fn scan_config(&self, may_rewrite: bool) -> ScanConfig {
        let mut scan = self.scan;
        if may_rewrite {
            scan.note_models = true;
            if scan.cap_bytes < self.models.rewrite_bytes {
                scan.cap_bytes = self.models.rewrite_bytes;
            }
        }
        scan
    }

    /// The counters.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What this root context has in flight.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The names of the pools, in the order of the configuration.
    pub fn pool_names(&self) -> impl Iterator<Item = &str> {
        self.pools.iter().map(|pool| pool.config.name.as_str())
    }

    /// The keys of the pool at `index`.
    #[must_use]
    pub fn pool_keys(&self, index: usize) -> Option<&PoolKeys> {
        self.pools.get(index).map(|pool| &pool.keys)
    }

    /// The pool that the running request is for; `None` when its cluster belongs to no pool.
    #[must_use]
    pub fn pool_of_request(&self, host: &dyn Host) -> Option<usize> {
        if let [only] = self.pools.as_slice()
            && only.config.cluster.is_none()
        {
            return Some(0);
        }
        let cluster = host.property(&["xds", "cluster_name"])?;
        self.pools.iter().position(|pool| {
            pool.config
                .cluster
                .as_ref()
                .is_some_and(|name| name.as_bytes() == cluster)
        })
    }

    /// The hints of the running request for the pool at `index`, or for one that is not known yet.
    #[must_use]
    pub fn hints(&self, host: &dyn Host, headers: &HeaderMap, index: Option<usize>) -> Hints {
        let pool = index.and_then(|index| self.pools.get(index));
        let name = pool.map(|pool| pool.config.name.as_str());
        self.hints.read(host, headers, name.unwrap_or_default())
    }

    /// Decides where a request goes and counts it as in flight at the first choice.
    pub fn route(&mut self, host: &dyn Host, index: usize, facts: &RequestFacts) -> Routing {
        let started = host.monotonic_nanos();
        let now = Millis(started / 1_000_000);
        self.look_around(host, index, now);
        self.suppose_first_tokens(now);
        let Some(pool) = self.pools.get_mut(index) else {
            return Routing::Fallback;
        };
        let view = pool.view.at(now, &pool.breaker, &pool.backpressure);
        let decision = pool.picker.pick(facts, &view, &mut self.entropy);
        let routing = self.routing(host, index, facts, &decision, started);
        let took = host.monotonic_nanos().saturating_sub(started);
        self.metrics.pick_took(host, took);
        self.requests
            .decided(took, matches!(routing, Routing::To { .. }));
        routing
    }

    /// What a decision about the request of the running callback means for it.
    fn routing(
        &mut self,
        host: &dyn Host,
        index: usize,
        facts: &RequestFacts,
        decision: &Decision,
        started: u64,
    ) -> Routing {
        self.metrics.picked(host, index, decision.reason());
        log_reason(host, decision.reason());
        let Some(pool) = self.pools.get(index) else {
            return Routing::Fallback;
        };
        match listed(pool.view.endpoints(), decision) {
            None if self.shadow => Routing::Fallback,
            None if decision.reason() == Reason::Saturated => Routing::Saturated,
            None if decision.reason() == Reason::NoneEligible => Routing::NoneEligible,
            None if pool.policy.fails_closed() => Routing::NoEndpoint,
            None => Routing::Fallback,
            Some((first, destination)) => {
                let now = Millis(started / 1_000_000);
                let mut choice = self.choose(index, facts, decision, first, started);
                self.log_decision(host, &choice);
                if self.shadow {
                    return Routing::Shadow(Box::new(choice));
                }
                self.begin(host, &mut choice, first, true, now);
                self.chosen(host, &choice, facts.stream, now);
                Routing::To {
                    choice: Box::new(choice),
                    destination,
                }
            }
        }
    }

    /// A request was counted at its first choice.
    fn chosen(&mut self, host: &dyn Host, choice: &Choice, stream: bool, now: Millis) {
        if !stream {
            let estimate = choice.estimate();
            let (after, tokens) = (estimate.ttft_ms, estimate.uncached_tokens);
            self.predictions.push(now, after, tokens, choice.prefill());
        }
        self.share_notes(host, now);
    }

    /// Takes over what changed in shared data since the last pick.
    fn look_around(&mut self, host: &dyn Host, index: usize, now: Millis) {
        self.hear_others(host, now);
        let Some(pool) = self.pools.get_mut(index) else {
            return;
        };
        match pool.view.reload(host) {
            Reload::Unchanged => {}
            Reload::Rejected(error) => {
                log::warn!("state of pool {} was refused: {error}", pool.config.name);
                self.metrics.state(host, StateEvent::SlotRejected);
            }
            Reload::Replaced { refused } => {
                for _ in 0..refused {
                    self.metrics.state(host, StateEvent::EndpointRefused);
                }
                pool.view.recount(&self.ledger, &self.others);
                pool.picker.retain(pool.view.endpoints());
                pool.breaker.retain(pool.view.endpoints());
                if self.admission.is_some() {
                    pool.view.read_limits(host);
                }
            }
        }
    }

    /// Takes over what changed, however lately that was done before.
    fn look_again(&mut self, host: &dyn Host, index: usize, now: Millis) {
        self.others.forget_when();
        self.look_around(host, index, now);
    }

    /// Takes over what the other workers have in flight, and what they noted about their prompts.
    fn hear_others(&mut self, host: &dyn Host, now: Millis) {
        if self.others.refresh(host, now) {
            for pool in &mut self.pools {
                pool.view.recount_others(&self.others);
            }
        }
        let pools = &mut self.pools;
        let news = self
            .prefix_share
            .news(host, self.others.live(), now, &mut |note| {
                for pool in pools.iter_mut() {
                    pool.picker.dispatched_elsewhere(note);
                }
            });
        self.metrics.notes(host, NoteEvent::Applied, news.applied);
        self.metrics.notes(host, NoteEvent::Missed, news.missed);
    }

    fn share_notes(&mut self, host: &dyn Host, now: Millis) {
        let shared = self.prefix_share.publish(host, self.table.slot(), now);
        self.metrics.notes(host, NoteEvent::Shared, shared);
    }

    /// In the response headers callback of a routed request: notes who answered it, and how.
    pub fn answered(&mut self, host: &dyn Host, choice: &mut Choice) -> Answered {
        if self.shadow {
            return Answered {
                status: self.compare(host, choice),
                is_well: false,
            };
        }
        let now = host.now();
        let first = choice.first();
        let Some(pool) = self.pools.get_mut(choice.pool()) else {
            return Answered::default();
        };
        let outcome::Outcome {
            used,
            failed,
            refused,
            status,
        } = outcome::read(host, !pool.view.is_confirmed(first, now));
        let moved = used.is_some_and(|used| used != first.address);
        if used.is_some() && !moved && !failed {
            pool.view.confirm(first, now);
        }
        let member = match used {
            Some(used) if moved => pool.view.by_address(used),
            _ => Some(first),
        };
        // Passed over without an attempt: Envoy does not have it among its members, or not yet.
        let absent = moved && !outcome::was_retried(host);
        let fell = moved && !absent;
        if absent {
            pool.breaker.absent(first, now);
        } else if fell {
            pool.breaker.failure(first, now);
        }
        if let Some(id) = member.filter(|_| failed) {
            pool.breaker.failure(id, now);
        }
        let refusing = member.filter(|_| refused || failed);
        for id in refusing.into_iter().chain(fell.then_some(first)) {
            pool.refused(id, now);
        }
        if failed || fell {
            self.metrics.attempt(host, AttemptEvent::Failure);
        }
        if moved {
            self.metrics.attempt(host, AttemptEvent::Moved);
            let prefilling = self.end(host, choice, now);
            if let Some(member) = member {
                self.begin(host, choice, member, prefilling, now);
                // Now the prompt is there.
                let note = choice.note_at(member);
                self.believe(&note, choice.pool());
            }
        }
        Answered {
            status,
            // A server that has too much to do is not broken, but no place for more.
            is_well: !failed && !refused,
        }
    }

    /// A routed request's answer is as it should be, as far as that can be told.
    pub fn went_well(&mut self, choice: &Choice) {
        if let (Some(id), Some(pool)) = (choice.counted(), self.pools.get_mut(choice.pool())) {
            pool.breaker.success(id);
        }
    }

    /// Ends a routed request's count, whatever its end was, and learns from its answer, if that was
    /// complete.
    pub fn release(&mut self, host: &dyn Host, mut choice: Box<Choice>, answer: Option<Measured>) {
        if let Some(measured) = answer {
            if let Some(first_ms) = measured.first_token_ms {
                self.compare_first_token(host, &choice, first_ms);
            }
            self.learn(host, &choice, &measured);
        }
        let now = host.now();
        self.end(host, &mut choice, now);
        self.freed(host, choice.pool(), now);
    }

    /// In pair mode: whether a second filter will hold the headers of the next request.
    pub fn expects_partner(&mut self, host: &dyn Host) -> bool {
        SecondPresence::any() && host.now() >= self.alone_until
    }

    /// In pair mode: a second filter lives in this VM but did not hold the headers. For a while
    /// requests are routed at their headers, which still works.
    pub fn partner_missed(&mut self, host: &dyn Host) {
        self.alone_until = host.now().plus(ALONE_MS);
    }

    /// In pair mode: lets the headers that `context` holds go on after the running callback.
    pub fn let_go_soon(&mut self, host: &dyn Host, context: u32) {
        self.let_go.soon(context);
        if let Some(queue) = self.wake.queue(host, self.table.key()) {
            wake::ring(host, queue);
        }
    }

    /// The queue woke the root context `own`.
    pub fn woken(&mut self, host: &dyn Host, own: u32, queue: QueueId) {
        Wake::drain(host, queue);
        self.let_go.all(host, own);
        self.admit_woken(host, own);
    }

    /// Shows the other workers that this one is there, before its first request.
    pub fn appear(&mut self, host: &dyn Host) {
        self.requests.show(host, host.now());
        self.table.beat(host, &self.ledger, host.now());
    }

    /// The periodic work of the root context `own`: shows that this worker lives.
    pub fn tick(&mut self, host: &dyn Host, own: u32, now: Millis) {
        self.let_go.all(host, own);
        self.suppose_first_tokens(now);
        self.reload_policies(host);
        self.requests.show(host, now);
        self.table.beat(host, &self.ledger, now);
        for pool in &mut self.pools {
            pool.backpressure.sweep(now);
        }
        self.show_queues(host, now);
        // Without a slot there is no place in the log of prefixes either.
        if self.table.slot().is_some() {
            self.hear_others(host, now);
            self.share_notes(host, now);
        }
    }

    /// Lets another policy decide in the pool at `index`.
    #[cfg(test)]
    pub(crate) fn use_policy(&mut self, index: usize, policy: Box<dyn picker::policy::Policy>) {
        let pool = &mut self.pools[index];
        pool.picker = Picker::with_policy(*pool.picker.config(), policy);
    }

    /// Counts an event of the agent's stream.
    pub fn stream_event(&self, host: &dyn Host, event: StreamEvent) {
        self.metrics.stream(host, event);
    }
}

/// The first choice and the header's value; `None` when the decision names nobody.
fn listed(endpoints: &[Endpoint], decision: &Decision) -> Option<(EndpointId, String)> {
    let chosen = || decision.choices().filter_map(|index| endpoints.get(index));
    let first = chosen().next()?.id;
    let destination = headers::destination(chosen().map(|endpoint| endpoint.id.address));
    Some((first, destination))
}

#[cfg(test)]
mod tests;
