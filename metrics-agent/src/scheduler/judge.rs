//! From attempts to observations: the watcher's knowledge in the index's form.

use std::{borrow::Cow, time::Duration};

use picker::Millis;

use crate::{
    config::ScrapeSettings,
    index::{Attempt, Observation, Tallies},
    scrape::{Cause, Models, ScrapeError, Scraped, Watch, WatchConfig},
};

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Judges one target's attempts.
#[derive(Debug)]
pub(super) struct Judge {
    watch: Watch,
    /// Of the last failed attempt; empty after a good one.
    failure: String,
    tallies: Tallies,
}

impl Judge {
    pub(super) fn new(settings: &ScrapeSettings) -> Self {
        let config = WatchConfig {
            hang_after_ms: millis(settings.hang_after),
            silent_after_ms: millis(Self::PATIENCE),
            ..WatchConfig::default()
        };
        Self {
            watch: Watch::new(config),
            failure: String::new(),
            tallies: Tallies::default(),
        }
    }

    /// The reason of an endpoint without trouble.
    pub(super) const WELL: &str = "scraped";
    /// How long an attempt may take before [`Judge::overdue`] has something to say.
    pub(super) const PATIENCE: Duration = Duration::from_millis(600);

    pub(super) const fn started(&mut self, at: Millis) {
        self.watch.started(at);
    }

    /// What is known while an attempt is unanswered.
    pub(super) fn overdue(&self, now: Millis) -> Observation {
        self.observation(now, Attempt::Overdue)
    }

    pub(super) fn ended(
        &mut self,
        outcome: &Result<Scraped, ScrapeError>,
        models: Option<Models>,
        now: Millis,
    ) -> Observation {
        if let Some(models) = models {
            self.watch.set_models(models);
        }
        let attempt = match outcome {
            Ok(scraped) => {
                self.failure.clear();
                if scraped.problems.nothing_known {
                    self.failure
                        .push_str("the page holds no metric that the engine should have");
                }
                self.tallies = Tallies {
                    finished: scraped.success_total,
                    prompt_tokens: scraped.prompt_tokens_total,
                    cached_tokens: scraped.cached_prompt_tokens_total,
                };
                self.watch.scraped(scraped, now);
                Attempt::Scraped
            }
            Err(error) => {
                self.failure = error.failure.to_string();
                self.watch.failed(error.kind(), now);
                Attempt::Failed
            }
        };
        self.observation(now, attempt)
    }

    fn observation(&self, now: Millis, attempt: Attempt) -> Observation {
        let cause = self.watch.cause(now);
        Observation {
            at: now,
            attempt,
            signals: self.watch.signals(),
            health: self.watch.health(now),
            reason: self.reason(cause),
            life: self.watch.life(),
            tallies: self.tallies,
        }
    }

    fn reason(&self, cause: Option<Cause>) -> Cow<'static, str> {
        match (cause, self.failure.as_str()) {
            (None, "") => Cow::Borrowed(Self::WELL),
            (None, failure) => Cow::Owned(failure.to_owned()),
            (Some(cause), "") => Cow::Borrowed(cause.as_str()),
            (Some(cause), failure) => Cow::Owned(format!("{}: {failure}", cause.as_str())),
        }
    }
}
