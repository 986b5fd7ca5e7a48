//! What a series of scrapes says about one engine: alive, hung, restarted, how fast.
//!
//! Pure: the caller brings the results and the time. One [`Watch`] per endpoint.
//!
//! ```text
//!                    +-> life      start time or counters: which life is this?   -> generation
//!   Scraped ----+----+-> progress  busy but nothing moves: hung                  -> Suspect
//!   failure ----+    +-> steps     what a step costs, by busy windows            -> signal
//!               |    +-> answers   tokens per finished request                   -> signal
//!               |    +-> signals   each value with the time it was taken
//!               +------> reach     refused, silent, 5xx                          -> Suspect
//!                        awake=0, hint of the caller                             -> Draining
//! ```
//!
//! **Freeze rule.** vLLM sets its gauges once per engine step. When the engine hangs, `/health` and
//! `/metrics` go on with 200 and the last values for ever. So, once an engine counts as hung, every
//! signal carries the time when something moved last instead of the time of the scrape: frozen
//! numbers age and expire at the gateways like those of an engine that cannot be reached.
//!
//! **What it cannot see.** A vLLM that drains (`--shutdown-timeout`) looks idle and healthy in every
//! metric while it answers 500 to every request; and an engine that hangs while idle shows it only
//! when a request is stuck. Both are the gateway's to notice, by the failures of its own requests.

mod answers;
mod life;
mod progress;
mod reach;
mod steps;
mod told;

use std::sync::Arc;

use picker::{Health, LoraState, Millis, Signal, Signals};

use super::{FailureKind, Models, Scraped};
use answers::Answers;
use life::Life;
use progress::Progress;
use reach::Reach;
use steps::Steps;

/// When what counts as what. All times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchConfig {
    /// A busy engine whose numbers stand still this long is hung ...
    pub hang_after_ms: u64,
    /// ... provided that this many scrapes in a row showed the same numbers.
    pub hang_scrapes: u32,
    /// A scrape that is unanswered this long makes its engine suspect before it times out.
    pub silent_after_ms: u64,
    /// This many failures in a row (time-outs, broken connections, 5xx) make an engine suspect.
    pub failures: u32,
    /// A new life of an engine is taken at most this often, so that a start time that changes with
    /// every scrape cannot make the gateways forget their in-flight requests all the time.
    pub restart_spacing_ms: u64,
}

impl Default for WatchConfig {
    fn default() -> Self {
        Self {
            hang_after_ms: 600,
            hang_scrapes: 3,
            silent_after_ms: 600,
            failures: 2,
            restart_spacing_ms: 1000,
        }
    }
}

/// Why an endpoint is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Its engine sleeps.
    Asleep,
    /// The caller said that it is going away.
    Leaving,
    /// Nobody listens at its address.
    Refused,
    /// It does not answer in time.
    Silent,
    /// It answers 5xx.
    ServerErrors,
    /// Requests are running and nothing moves.
    Hung,
}

impl Cause {
    /// The cause as a metric label and log word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asleep => "asleep",
            Self::Leaving => "leaving",
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::ServerErrors => "server_errors",
            Self::Hung => "hung",
        }
    }

    /// What the cause makes of the endpoint.
    #[must_use]
    pub const fn health(self) -> Health {
        match self {
            Self::Asleep | Self::Leaving => Health::Draining,
            Self::Refused | Self::Silent | Self::ServerErrors | Self::Hung => Health::Suspect,
        }
    }
}

/// What is known of one endpoint over time.
#[derive(Debug, Clone)]
pub struct Watch {
    signals: Signals,
    registered: Vec<Arc<str>>,
    max_model_len: Option<u32>,
    asleep: bool,
    leaving: bool,
    scrapes: u64,
    life: Life,
    progress: Progress,
    steps: Steps,
    answers: Answers,
    reach: Reach,
}

impl Watch {
    /// An endpoint of which nothing is known yet: ready, every signal unknown.
    #[must_use]
    pub fn new(config: WatchConfig) -> Self {
        Self {
            signals: Signals::default(),
            registered: Vec::new(),
            max_model_len: None,
            asleep: false,
            leaving: false,
            scrapes: 0,
            life: Life::new(config.restart_spacing_ms),
            progress: Progress::new(config.hang_after_ms, config.hang_scrapes),
            steps: Steps::default(),
            answers: Answers::default(),
            reach: Reach::new(config.silent_after_ms, config.failures),
        }
    }

    /// A scrape was sent at `at`.
    pub const fn started(&mut self, at: Millis) {
        self.reach.started(at);
    }

    /// A scrape was answered with a page at `at`.
    pub fn scraped(&mut self, scraped: &Scraped, at: Millis) {
        self.scrapes = self.scrapes.saturating_add(1);
        self.reach.answered();
        if self.life.scraped(scraped, at) {
            self.signals = Signals::default();
            self.progress.reset();
            self.steps = Steps::default();
            self.answers = Answers::default();
        }
        self.progress.scraped(scraped, at);
        self.steps.scraped(scraped, self.progress.hung(), at);
        self.answers.scraped(scraped, at);
        self.asleep = match scraped.awake {
            Some(awake) => !awake,
            None => self.asleep && scraped.problems.bad_lines > 0,
        };
        self.take(scraped, at);
    }

    /// A scrape failed at `at`.
    pub fn failed(&mut self, kind: FailureKind, at: Millis) {
        self.reach.failed(kind, at);
    }

    /// Whether somebody else knows that the endpoint is going away (a probe of `/health` that says
    /// 503, a pod that is being deleted).
    pub const fn set_leaving(&mut self, leaving: bool) {
        self.leaving = leaving;
    }

    /// What the engine's list of models says, from [`super::ScrapeClient::models`].
    pub fn set_models(&mut self, models: Models) {
        self.registered = models.adapters;
        self.max_model_len = models.max_model_len;
    }

    /// Why the endpoint is not ready at `now`; `None` when it is.
    #[must_use]
    pub fn cause(&self, now: Millis) -> Option<Cause> {
        if self.leaving {
            Some(Cause::Leaving)
        } else if self.asleep {
            Some(Cause::Asleep)
        } else {
            let hung = self.progress.hung().then_some(Cause::Hung);
            self.reach.cause(now).or(hung)
        }
    }

    /// Whether the endpoint may be picked at `now`.
    #[must_use]
    pub fn health(&self, now: Millis) -> Health {
        self.cause(now).map_or(Health::Ready, Cause::health)
    }

    /// What tells this life of the engine from the next; mix it into
    /// [`picker::EndpointId::generation`]. It is 0 until the first answer, so an endpoint is best
    /// published after its first scrape ended: else its identity changes a moment later.
    ///
    /// Agents that look at the same engine agree on it as long as the engine names its start time;
    /// for one that does not, it counts the restarts that this agent saw.
    #[must_use]
    pub fn life(&self) -> u64 {
        self.life.id()
    }

    /// How often the engine was seen to restart.
    #[must_use]
    pub const fn restarts(&self) -> u64 {
        self.life.restarts()
    }

    /// How many pages were read.
    #[must_use]
    pub const fn scrapes(&self) -> u64 {
        self.scrapes
    }

    /// The signals as they should be published: what a page left out keeps its last value and its
    /// age, and the values of a hung engine are as old as its last movement (the freeze rule).
    /// [`Signals::others_in_flight`] is not ours to know and stays `None`.
    #[must_use]
    pub fn signals(&self) -> Signals {
        let mut signals = self.signals.clone();
        signals.max_model_len = self.max_model_len;
        if !self.registered.is_empty() {
            self.add_registered(&mut signals);
        }
        if let Some(moved_at) = self.progress.frozen_since() {
            age_to(&mut signals.waiting, moved_at);
            age_to(&mut signals.running, moved_at);
            age_to(&mut signals.kv_usage, moved_at);
            age_to(&mut signals.lora, moved_at);
            age_to(&mut signals.step_model, moved_at);
            age_to(&mut signals.mean_output_tokens, moved_at);
        }
        signals
    }

    fn take(&mut self, scraped: &Scraped, at: Millis) {
        let signals = &mut self.signals;
        renew(&mut signals.waiting, scraped.waiting, at);
        renew(&mut signals.running, scraped.running, at);
        renew(&mut signals.kv_usage, scraped.kv_usage, at);
        let lora = scraped.lora.as_ref().map(|activity| LoraState {
            active: activity.active.clone(),
            waiting: activity.waiting.clone(),
            registered: Vec::new(),
            max: activity.max,
        });
        renew(&mut signals.lora, lora, at);
        // What was learned of an engine holds as long as it lives, so it is as old as its last page.
        renew(&mut signals.step_model, self.steps.model(), at);
        renew(&mut signals.mean_output_tokens, self.answers.mean(), at);
        signals.kv_block_size = scraped.kv_block_size.or(signals.kv_block_size);
        signals.kv_blocks = scraped.kv_blocks.or(signals.kv_blocks);
    }

    /// An engine that has registered adapters serves LoRA, also before its first LoRA series: then
    /// none has run yet.
    fn add_registered(&self, signals: &mut Signals) {
        let taken_at = signals.running.map(|running| running.taken_at);
        if let Some(lora) = signals.lora.as_mut() {
            lora.value.registered.clone_from(&self.registered);
        } else if let Some(taken_at) = taken_at {
            let value = LoraState {
                registered: self.registered.clone(),
                ..LoraState::default()
            };
            signals.lora = Some(Signal::new(value, taken_at));
        }
    }
}

fn renew<T>(signal: &mut Option<Signal<T>>, value: Option<T>, at: Millis) {
    if let Some(value) = value {
        *signal = Some(Signal::new(value, at));
    }
}

fn age_to<T>(signal: &mut Option<Signal<T>>, moved_at: Millis) {
    if let Some(signal) = signal {
        signal.taken_at = signal.taken_at.min(moved_at);
    }
}

#[cfg(test)]
mod tests;
