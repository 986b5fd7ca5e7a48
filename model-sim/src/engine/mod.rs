//! An inference engine as a pure model: no clock, no threads, no I/O.
//!
//! ```text
//!   submit ──▶ arriving ──▶ waiting ──▶ running ──▶ finished
//!              (a step is      ▲           │
//!               under way)     └─preempted─┘        every arrow is an Event of advance()
//! ```
//!
//! The caller brings virtual time. A step that starts at `t` sees every request submitted up to
//! `t`; it computes at most `token_budget` tokens, takes `a + b * tokens + c * KV tokens` and then
//! gives one token to each sequence whose known tokens are computed. The next step starts at once.
//! Equal calls give equal results.
//!
//! ```
//! use model_sim::engine::{Engine, EngineConfig, EventKind, Request, SimTime};
//!
//! let mut engine = Engine::new(EngineConfig::default());
//! let request = Request { prompt_tokens: 100, output_tokens: 3, ..Request::default() };
//! let id = engine.submit(request, SimTime::ZERO);
//! let mut last = None;
//! while let Some(at) = engine.next_event_at() {
//!     last = engine.advance(at).last().or(last);
//! }
//! assert!(matches!(last, Some(event) if event.id == id
//!     && matches!(event.kind, EventKind::Finished(summary) if summary.output_tokens == 3)));
//! ```

mod batch;
mod config;
mod counters;
mod gauges;
mod kv_cache;
mod lora;
mod prefix;
mod request;
mod sequence;
mod step;
mod time;

#[cfg(test)]
mod tests;

pub use config::EngineConfig;
pub use counters::{Counters, Histogram};
pub use gauges::Gauges;
pub use request::{Event, EventKind, LoraId, Rejection, Request, RequestId, Summary};
pub use time::SimTime;

use batch::Batch;
use sequence::{Phase, Sequence};
use step::RunningStep;

/// One simulated engine.
#[derive(Clone, Debug)]
pub struct Engine {
    config: EngineConfig,
    speed: f64,
    batch: Batch,
    arriving: Vec<u32>,
    step: Option<RunningStep>,
    /// The earliest time at which the next step may start.
    ready_at: SimTime,
    events: Vec<Event>,
    counters: Counters,
    published: Gauges,
}

impl Engine {
    /// An idle engine with an empty cache. Fields of `config` that [`EngineConfig::mistakes`]
    /// complains about are replaced by the nearest sensible value.
    pub fn new(config: EngineConfig) -> Self {
        let config = config.repaired();
        let batch = Batch::new(&config);
        let published = Gauges {
            kv_blocks: batch.cache.total(),
            ..Gauges::default()
        };
        Engine {
            speed: config.speed,
            batch,
            arriving: Vec::new(),
            step: None,
            ready_at: SimTime::ZERO,
            events: Vec::new(),
            counters: Counters::new(config.max_model_len),
            published,
            config,
        }
    }

    /// Takes a request in. It is in the first step that starts at or after `now`. A request that
    /// cannot ever run ends with a `Rejected` event.
    pub fn submit(&mut self, mut request: Request, now: SimTime) -> RequestId {
        self.run_before(now);
        request.prompt_tokens = request.prompt_tokens.max(1);
        request.output_tokens = request.output_tokens.max(1);
        self.counters.submitted += 1;
        let rejection = self.rejection(&request);
        let id = self.batch.sequences.insert(Sequence::new(request, now));
        if let Some(rejection) = rejection {
            self.batch.remove(id.slot());
            self.counters.rejected += 1;
            self.events.push(Event {
                id,
                at: now,
                kind: EventKind::Rejected(rejection),
            });
            return id;
        }
        self.ready_at = self.ready_at.max(now);
        self.arriving.push(id.slot());
        id
    }

    /// When there is something for [`Engine::advance`] to do; `None` while the engine is idle.
    pub fn next_event_at(&self) -> Option<SimTime> {
        if let Some(event) = self.events.first() {
            return Some(event.at);
        }
        match self.step {
            Some(step) => Some(step.ends_at),
            None => self.has_work().then_some(self.ready_at),
        }
    }

    /// Runs up to `now` and gives all events since the last call, in order of time.
    pub fn advance(&mut self, now: SimTime) -> impl Iterator<Item = Event> + '_ {
        self.run_before(now);
        if self.step.is_none() && self.ready_at <= now {
            self.begin_step();
        }
        self.events.drain(..)
    }

    /// Takes a request out. Says whether it was still inside.
    pub fn abort(&mut self, id: RequestId, now: SimTime) -> bool {
        self.run_before(now);
        let Some(slot) = self.batch.sequences.find(id) else {
            return false;
        };
        let arriving = self
            .batch
            .sequences
            .get(slot)
            .is_some_and(|seq| seq.phase == Phase::Arriving);
        if arriving {
            self.arriving.retain(|other| *other != slot);
        }
        self.batch.remove(slot);
        self.counters.aborted += 1;
        if self.step.is_none() {
            self.publish();
        }
        true
    }

    /// The state at the end of the last step: what a scrape of the metrics sees.
    pub fn gauges(&self) -> Gauges {
        self.published
    }

    /// The state now, with the requests that arrived during the step under way as waiting.
    pub fn live(&self) -> Gauges {
        Gauges {
            running: self.batch.running.len() as u32,
            waiting: (self.batch.waiting.len() + self.arriving.len()) as u32,
            waiting_deferred: self.batch.deferred,
            kv_blocks_used: self.batch.cache.used(),
            kv_blocks: self.batch.cache.total(),
        }
    }

    /// Totals since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Adapters with running requests, in slot order.
    pub fn running_loras(&self) -> impl Iterator<Item = LoraId> + '_ {
        self.batch.loras.running()
    }

    /// Adapters in memory, used or not, in slot order.
    pub fn resident_loras(&self) -> impl Iterator<Item = LoraId> + '_ {
        self.batch.loras.resident()
    }

    /// Leading tokens of a prompt with these block hashes that are in the prefix cache now.
    pub fn cached_tokens(&self, block_hashes: &[u64]) -> u32 {
        self.batch.cache.match_prefix(block_hashes).blocks * self.config.block_tokens
    }

    /// Prompt and recomputation tokens that must be computed before every request inside has its
    /// next token. Takes time in proportion to the requests inside.
    pub fn pending_tokens(&self) -> u64 {
        let slots = self
            .arriving
            .iter()
            .chain(&self.batch.waiting)
            .chain(&self.batch.running);
        slots
            .filter_map(|slot| self.batch.sequences.get(*slot))
            .map(|sequence| u64::from(sequence.uncomputed()))
            .sum()
    }

    /// The configuration it runs with.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// Changes the speed factor from the next step on; must be greater than 0, else nothing
    /// changes.
    pub fn set_speed(&mut self, speed: f64) {
        if speed > 0.0 && speed.is_finite() {
            self.speed = speed;
        }
    }

    fn rejection(&self, request: &Request) -> Option<Rejection> {
        let tokens = u64::from(request.prompt_tokens) + u64::from(request.output_tokens);
        if tokens > self.config.longest_request_tokens() {
            Some(Rejection::TooLong)
        } else if request.lora.is_some() && self.config.max_loras == 0 {
            Some(Rejection::NoLoraSlots)
        } else {
            None
        }
    }

    fn has_work(&self) -> bool {
        !(self.arriving.is_empty()
            && self.batch.waiting.is_empty()
            && self.batch.running.is_empty())
    }

    /// Ends every step that ends by `now`; starts steps that start earlier than `now`, so that a
    /// request submitted at `now` still gets into a step that starts then.
    fn run_before(&mut self, now: SimTime) {
        loop {
            match self.step {
                Some(step) if step.ends_at <= now => self.end_step(step),
                None if self.ready_at < now && self.has_work() => self.begin_step(),
                _ => return,
            }
            if self.step.is_none() && !(self.ready_at < now && self.has_work()) {
                return;
            }
        }
    }

    fn begin_step(&mut self) {
        for slot in self.arriving.drain(..) {
            self.batch.enqueue(slot);
        }
        if !self.has_work() {
            return;
        }
        let started_at = self.ready_at;
        let plan = self.batch.plan(
            self.config.token_budget,
            started_at,
            &mut self.counters,
            &mut self.events,
        );
        let seconds = plan.seconds(&self.config, self.speed);
        self.counters.preemptions += u64::from(plan.preemptions);
        self.counters.lora_loads += u64::from(plan.lora_loads);
        // A step always takes time, or an engine configured without costs would never let it pass.
        let ends_at = started_at.plus_seconds(seconds.max(1e-9));
        self.step = Some(RunningStep {
            started_at,
            ends_at,
            tokens: plan.tokens,
        });
    }

    fn end_step(&mut self, step: RunningStep) {
        self.batch
            .complete(&step, &mut self.counters, &mut self.events);
        self.counters.steps += 1;
        self.counters.busy_seconds += step.ends_at.seconds_since(step.started_at);
        self.counters.step_tokens.observe(f64::from(step.tokens));
        self.step = None;
        self.ready_at = step.ends_at;
        self.publish();
    }

    fn publish(&mut self) {
        self.published = Gauges {
            running: self.batch.running.len() as u32,
            waiting: self.batch.waiting.len() as u32,
            waiting_deferred: self.batch.deferred,
            kv_blocks_used: self.batch.cache.used(),
            kv_blocks: self.batch.cache.total(),
        };
    }

    #[cfg(test)]
    fn check(&self) {
        self.batch
            .cache
            .check(self.batch.sequences.iter().map(|seq| seq.blocks.as_slice()));
    }
}
