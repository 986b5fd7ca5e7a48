//! One worker of a gateway: what the filter's worker does around the picker, without Envoy.
//!
//! The endpoints come from the gateway's slot, the other workers' loads from their tables, both
//! through the encodings that Envoy's shared data holds.

use admission::{Admission, AdmissionConfig};
use hashbrown::HashMap;
use model_sim::engine::SimTime;
use picker::{
    Breaker, Completion, Decision, Endpoint, EndpointId, Entropy, InFlight, Ledger, LocalState,
    Millis, Picker, PoolView, PrefixNote, RequestFacts, SplitMix64,
};
use pool_state::slot::{
    in_flight::{self, InFlightTable},
    pool,
    prefix_log::{LogReader, LogWriter},
};

use super::clock::millis;

/// The least time between two readings of the other workers' tables, in milliseconds, as in the
/// filter.
const REFRESH_MS: u64 = 1;

/// A value in shared data. The filter writes it at every change; here it is encoded when somebody
/// reads it, which shows the reader the same.
#[derive(Debug, Default)]
struct Shown {
    bytes: Vec<u8>,
    stale: bool,
}

impl Shown {
    fn get(&mut self, encode: impl FnOnce() -> Vec<u8>) -> &[u8] {
        if self.stale || self.bytes.is_empty() {
            self.stale = false;
            self.bytes = encode();
        }
        &self.bytes
    }
}

/// One worker.
#[derive(Debug)]
pub(super) struct Worker {
    owner: u64,
    pub(super) picker: Picker,
    pub(super) ledger: Ledger,
    pub(super) breaker: Breaker,
    table: Shown,
    /// Where it sent which prompts, for the other workers.
    log: LogWriter,
    shown_log: Shown,
    /// How far it has read the others' logs.
    read_log: LogReader,
    entropy: SplitMix64,
    seen_version: u64,
    endpoints: Vec<Endpoint>,
    local: Vec<LocalState>,
    others: HashMap<EndpointId, InFlight>,
    others_read_at: Option<Millis>,
    /// What holds requests back, if anything does.
    pub(super) admission: Option<Admission<u32>>,
    /// How many requests the engines run at once, where that was learned.
    pub(super) sequence_limits: HashMap<EndpointId, u32>,
    /// Whether a tick is planned.
    pub(super) ticks: bool,
}

impl Worker {
    /// A worker that knows the members `seeds`, and nothing of them.
    pub(super) fn new(owner: u64, mut picker: Picker, seeds: Vec<Endpoint>, seed: u64) -> Self {
        picker.retain(&seeds);
        let mut entropy = SplitMix64::new(seed);
        Self {
            owner,
            picker,
            ledger: Ledger::new(),
            breaker: Breaker::new(SplitMix64::new(entropy.next_u64())),
            table: Shown::default(),
            log: LogWriter::new(owner),
            shown_log: Shown::default(),
            read_log: LogReader::default(),
            entropy,
            seen_version: 0,
            local: vec![LocalState::default(); seeds.len()],
            endpoints: seeds,
            others: HashMap::new(),
            others_read_at: None,
            admission: None,
            sequence_limits: HashMap::new(),
            ticks: false,
        }
    }

    /// The same worker with admission.
    pub(super) fn admitting(mut self, config: AdmissionConfig) -> Self {
        let ladder = self.picker.config().freshness;
        self.admission = Some(Admission::new(config, ladder, self.owner));
        self
    }

    /// The members it knows.
    pub(super) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Reads the pool's slot if its version moved.
    pub(super) fn reload(&mut self, version: u64, slot: &[u8]) {
        if self.seen_version == version {
            return;
        }
        self.seen_version = version;
        // What cannot be decoded leaves the copy as it was; the tests show that it never happens.
        if let Ok(snapshot) = pool::decode(slot) {
            self.endpoints = snapshot.endpoints;
            self.local
                .resize(self.endpoints.len(), LocalState::default());
            self.picker.retain(&self.endpoints);
            self.breaker.retain(&self.endpoints);
        }
    }

    /// Whether the other workers' tables are due to be read again.
    pub(super) fn wants_others(&self, now: Millis) -> bool {
        self.others_read_at
            .is_none_or(|read_at| now.since(read_at) >= REFRESH_MS)
    }

    /// What it shows the others: the bytes of its table and of its log.
    pub(super) fn show(&mut self, now: Millis) -> (&[u8], &[u8]) {
        let table = self.table.get(|| {
            in_flight::encode(&InFlightTable {
                owner: self.owner,
                beat: now,
                loads: self.ledger.iter().collect(),
            })
        });
        (table, self.shown_log.get(|| self.log.encode()))
    }

    /// Forgets what the others have in flight, to read it again.
    pub(super) fn begin_reading(&mut self, now: Millis) {
        self.others_read_at = Some(now);
        self.others.clear();
    }

    /// Adds another worker's table and takes over what is new in its log.
    pub(super) fn read(&mut self, (table, log): (&[u8], &[u8])) {
        let picker = &mut self.picker;
        let news = self
            .read_log
            .news(log, &mut |note| picker.dispatched_elsewhere(note));
        debug_assert!(news.is_ok(), "{news:?}");
        if let Ok(table) = in_flight::decode(table)
            && table.owner != self.owner
        {
            for (id, load) in table.loads {
                let sum = self.others.entry(id).or_default();
                *sum = sum.plus(load);
            }
        }
    }

    /// Decides where a request goes.
    pub(super) fn pick(&mut self, facts: &RequestFacts, at: SimTime) -> Decision {
        let now = millis(at);
        self.recount(now);
        let view = PoolView {
            endpoints: &self.endpoints,
            local: &self.local,
            now,
        };
        self.picker.pick(facts, &view, &mut self.entropy)
    }

    /// Decides like [`Worker::pick`] by the last count, and remembers nothing of it.
    pub(super) fn consider(&mut self, facts: &RequestFacts, at: SimTime) -> Decision {
        let view = PoolView {
            endpoints: &self.endpoints,
            local: &self.local,
            now: millis(at),
        };
        self.picker.consider(facts, &view, &mut self.entropy)
    }

    /// Notes that a decision of [`Worker::consider`] is carried out.
    pub(super) fn settled(&mut self, facts: &RequestFacts, at: SimTime, decision: &Decision) {
        let view = PoolView {
            endpoints: &self.endpoints,
            local: &self.local,
            now: millis(at),
        };
        self.picker.settled(facts, &view, decision);
    }

    /// The pool by the last count.
    pub(super) fn view(&self, now: Millis) -> PoolView<'_> {
        PoolView {
            endpoints: &self.endpoints,
            local: &self.local,
            now,
        }
    }

    /// Counts what is in flight at each endpoint.
    pub(super) fn recount(&mut self, now: Millis) {
        for (local, endpoint) in self.local.iter_mut().zip(&self.endpoints) {
            let mut load = self.ledger.get(endpoint.id);
            if let Some(others) = self.others.get(&endpoint.id) {
                load = load.plus(*others);
            }
            *local = LocalState {
                in_flight: load,
                suspect: self.breaker.is_suspect(endpoint.id, now),
                sequence_limit: self.sequence_limits.get(&endpoint.id).copied(),
            };
        }
    }

    /// Counts anew what is in flight at one endpoint.
    pub(super) fn recount_at(&mut self, id: EndpointId) {
        let position = self.endpoints.iter().position(|endpoint| endpoint.id == id);
        if let Some(local) = position.and_then(|at| self.local.get_mut(at)) {
            let others = self.others.get(&id).copied().unwrap_or_default();
            local.in_flight = self.ledger.get(id).plus(others);
        }
    }

    /// Notes that the ledger changed.
    pub(super) fn touched(&mut self) {
        self.table.stale = true;
    }

    /// Notes that a prompt goes to `endpoint`, and tells the other workers of it.
    pub(super) fn dispatched(&mut self, facts: &RequestFacts, endpoint: EndpointId) {
        self.picker.dispatched(facts, endpoint);
        self.note(&PrefixNote::dispatched(facts, endpoint));
    }

    /// Notes what an answer tells of its prompt: how many of its tokens were cached. When that is
    /// clearly less than was believed at the dispatch, the rest of the prompt counts as lost.
    pub(super) fn learned_cached(&mut self, facts: &RequestFacts, completion: &Completion) {
        let (Some(prompt), Some(cached)) = (completion.prompt_tokens, completion.cached_tokens)
        else {
            return;
        };
        let estimate = completion.estimate;
        let believed = estimate
            .prompt_tokens
            .saturating_sub(estimate.uncached_tokens);
        if cached.saturating_mul(2) < believed {
            let bytes = u64::from(cached) * completion.prompt_bytes / u64::from(prompt.max(1));
            let block_bytes = self.picker.config().prefix.block_bytes;
            let note = PrefixNote::dispatched(facts, completion.endpoint);
            let note = note.corrected(bytes, block_bytes);
            self.picker.dispatched_elsewhere(&note);
            self.note(&note);
        }
    }

    fn note(&mut self, note: &PrefixNote) {
        self.log.push(note);
        self.shown_log.stale = true;
    }
}
