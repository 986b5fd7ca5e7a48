//! What is known of one scraped endpoint.

use std::{borrow::Cow, net::SocketAddr};

use picker::{Health, Millis, Signal, Signals};
use xxhash_rust::xxh64::xxh64;

/// Equal measurements are published again only when the published ones are this old. At the default
/// interval of 200 ms every scrape refreshes the ages; at 50 ms every second one does, which halves
/// the traffic and keeps ages below interval + 50 ms.
pub const REFRESH_MS: u64 = 90;

/// What came of a scrape attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// A page was read.
    Scraped,
    /// It failed.
    Failed,
    /// It is unanswered for longer than it should be.
    Overdue,
}

/// What an engine has counted since it started; unknown what its page does not say. For people and
/// metrics, never for gateways.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Tallies {
    /// Finished requests, whatever their ending.
    pub finished: Option<f64>,
    /// Prompt tokens.
    pub prompt_tokens: Option<f64>,
    /// Prompt tokens found in the prefix cache.
    pub cached_tokens: Option<f64>,
}

/// The outcome of one scrape attempt, as the endpoint's watcher judged it.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// When this was known.
    pub at: Millis,
    /// What came of the attempt.
    pub attempt: Attempt,
    /// What is known now; after a failed attempt the last known signals with their own times.
    pub signals: Signals,
    /// The watcher's judgement.
    pub health: Health,
    /// Why, for people: a few words without text of the endpoint's.
    pub reason: Cow<'static, str>,
    /// What tells this life of the engine from the next (see [`crate::scrape::Watch::life`]); 0
    /// until the first page.
    pub life: u64,
    /// What the last page counted.
    pub tallies: Tallies,
}

/// What tells one life of an address from the next. Agents that look at the same pod get the same
/// number, because nothing of the agent's goes in.
#[must_use]
pub fn generation(address: SocketAddr, name: Option<&str>, life: u64) -> u64 {
    match name {
        Some(name) => xxh64(name.as_bytes(), life),
        None => xxh64(address.to_string().as_bytes(), life),
    }
}

#[derive(Debug, Default)]
pub(super) struct EndpointState {
    /// The newest outcome, for people.
    pub(super) latest: Option<Observation>,
    /// The outcome that publications show; lags behind `latest` by equal measurements only.
    pub(super) shown: Option<Observation>,
    pub(super) attempts: u64,
    pub(super) failures: u64,
}

impl EndpointState {
    /// What tells the engine's process from the next, once a page was read.
    pub(super) fn life(&self) -> Option<u64> {
        let shown = self.shown.as_ref()?;
        (shown.life != 0).then_some(shown.life)
    }

    /// Takes an outcome; says whether it should be published.
    pub(super) fn observe(&mut self, observation: Observation) -> bool {
        match observation.attempt {
            Attempt::Scraped => self.attempts = self.attempts.saturating_add(1),
            Attempt::Failed => {
                self.attempts = self.attempts.saturating_add(1);
                self.failures = self.failures.saturating_add(1);
            }
            Attempt::Overdue => {}
        }
        let news = match &self.shown {
            None => true,
            Some(shown) if !says_the_same(shown, &observation) => true,
            // Other attempts measured nothing, so there is no age to refresh.
            Some(shown) => {
                observation.attempt == Attempt::Scraped
                    && observation.at.since(shown.at) >= REFRESH_MS
            }
        };
        if news {
            self.shown = Some(observation.clone());
        }
        self.latest = Some(observation);
        news
    }
}

/// Whether two outcomes differ in nothing but their times.
fn says_the_same(a: &Observation, b: &Observation) -> bool {
    fn same<T: PartialEq>(a: &Option<Signal<T>>, b: &Option<Signal<T>>) -> bool {
        a.as_ref().map(|signal| &signal.value) == b.as_ref().map(|signal| &signal.value)
    }
    let (x, y) = (&a.signals, &b.signals);
    a.health == b.health
        && a.life == b.life
        && same(&x.waiting, &y.waiting)
        && same(&x.running, &y.running)
        && same(&x.kv_usage, &y.kv_usage)
        && same(&x.lora, &y.lora)
        && same(&x.step_model, &y.step_model)
        && same(&x.mean_output_tokens, &y.mean_output_tokens)
        && x.kv_block_size == y.kv_block_size
        && x.kv_blocks == y.kv_blocks
        && x.max_model_len == y.max_model_len
}
