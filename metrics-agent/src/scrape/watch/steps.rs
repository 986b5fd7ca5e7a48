//! What an engine's steps cost, learned from its counters while it is busy.
//!
//! ```text
//!   scrape  scrape  scrape  scrape        busy in all of them, nothing missing, at least 1 s:
//!     |-------|-------|-------|           one window for the learner, then the next begins
//!      counters: the difference,  gauges: the mean over the time
//! ```
//!
//! A window of which anything is unknown teaches nothing: no guess is put in its place. Only the
//! prefix cache's hits may be missing, as long as they are always; the whole prompts count as computed
//! then.

use picker::{
    Millis, StepModel,
    learn::{StepModelLearner, Window},
};
use pool_state::limits;

use super::told::moved;
use crate::scrape::Scraped;

/// Shorter windows would measure the phase of the scrapes against the engine's steps.
const WINDOW_MS: u64 = 1_000;
/// After a longer pause nobody knows whether the engine was busy all the time.
const MOST_PAUSE_MS: u64 = 2_000;
/// With fewer requests on average an engine was probably idle between two scrapes.
const LEAST_RUNNING: f64 = 2.0;

/// What is learned of one life of an engine.
#[derive(Debug, Clone, Default)]
pub(super) struct Steps {
    learner: StepModelLearner,
    under_way: Option<UnderWay>,
    told: Option<StepModel>,
}

/// The window that has begun.
#[derive(Debug, Clone, Copy)]
struct UnderWay {
    begin: Look,
    last: Look,
    /// Requests and KV tokens times milliseconds.
    running: f64,
    kv_tokens: f64,
}

/// One scrape of a busy engine.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Millis,
    generated: f64,
    prompted: f64,
    cached: Option<f64>,
    running: f64,
    kv_tokens: f64,
}

impl Look {
    fn of(scraped: &Scraped, at: Millis) -> Option<Self> {
        let running = scraped.running.filter(|running| *running > 0.0)?;
        let capacity = f64::from(scraped.kv_blocks?) * f64::from(scraped.kv_block_size?);
        Some(Self {
            at,
            generated: scraped.generation_tokens_total?,
            prompted: scraped.prompt_tokens_total?,
            cached: scraped.cached_prompt_tokens_total,
            running: f64::from(running),
            kv_tokens: f64::from(scraped.kv_usage?) * capacity,
        })
    }

    /// Whether `next` can be a later look at the same engine without an idle moment in between.
    fn leads_to(&self, next: &Self) -> bool {
        next.at.since(self.at) <= MOST_PAUSE_MS
            && next.generated >= self.generated
            && next.prompted >= self.prompted
            && next.cached.is_some() == self.cached.is_some()
            && next.cached >= self.cached
    }
}

impl Steps {
    pub(super) fn scraped(&mut self, scraped: &Scraped, hung: bool, at: Millis) {
        let busy = scraped.moves_every_step && !hung && scraped.awake != Some(false);
        let Some(look) = Look::of(scraped, at).filter(|_| busy) else {
            self.under_way = None;
            return;
        };
        let under_way = self.under_way.take();
        let Some(window) = under_way.filter(|window| window.last.leads_to(&look)) else {
            self.under_way = Some(UnderWay::begin(look));
            return;
        };
        let window = window.seeing(look);
        if look.at.since(window.begin.at) < WINDOW_MS {
            self.under_way = Some(window);
            return;
        }
        self.under_way = Some(UnderWay::begin(look));
        self.learn(window.end());
    }

    fn learn(&mut self, window: Window) {
        if window.mean_running < LEAST_RUNNING {
            return;
        }
        self.learner.window(window);
        let Some(learned) = self.learner.model().and_then(limits::step_model) else {
            return;
        };
        if self.told.is_none_or(|told| differs(told, learned)) {
            self.told = Some(learned);
        }
    }

    /// What a step costs, once enough was seen; within the contract's limits.
    pub(super) const fn model(&self) -> Option<StepModel> {
        self.told
    }
}

impl UnderWay {
    const fn begin(look: Look) -> Self {
        Self {
            begin: look,
            last: look,
            running: 0.0,
            kv_tokens: 0.0,
        }
    }

    fn seeing(self, look: Look) -> Self {
        let half = look.at.since(self.last.at) as f64 / 2.0;
        Self {
            begin: self.begin,
            last: look,
            running: self.running + half * (self.last.running + look.running),
            kv_tokens: self.kv_tokens + half * (self.last.kv_tokens + look.kv_tokens),
        }
    }

    fn end(self) -> Window {
        let Self { begin, last, .. } = self;
        let millis = last.at.since(begin.at) as f64;
        let cached = last.cached.unwrap_or(0.0) - begin.cached.unwrap_or(0.0);
        Window {
            seconds: millis / 1_000.0,
            generated_tokens: last.generated - begin.generated,
            computed_prompt_tokens: (last.prompted - begin.prompted - cached).max(0.0),
            mean_running: self.running / millis,
            mean_kv_tokens: self.kv_tokens / millis,
        }
    }
}

fn differs(told: StepModel, learned: StepModel) -> bool {
    moved(told.base_us, learned.base_us)
        || moved(told.token_us, learned.token_us)
        || moved(told.kv_token_us, learned.kv_token_us)
}
