//! How fast an engine generates while it is busy.

use picker::{Millis, Signal};

use crate::scrape::Scraped;

/// Shorter windows would measure the phase of the scrapes against the engine's steps.
const WINDOW_MS: u64 = 1000;
/// What one window weighs against the past: half the weight is in the last two windows.
const WEIGHT: f64 = 0.3;
/// Slower is no speed but an engine that stands still; faster is no engine.
const PLAUSIBLE: std::ops::RangeInclusive<f64> = 0.1..=1e6;

/// An exponentially weighted mean of the token rate over windows in which the engine never idled.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Speed {
    window: Option<Window>,
    mean: Option<Signal<f64>>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    since: Millis,
    generated: f64,
}

impl Speed {
    pub(super) fn scraped(&mut self, scraped: &Scraped, hung: bool, at: Millis) {
        let busy = scraped.moves_every_step
            && !hung
            && scraped.running.is_some_and(|running| running > 0.0);
        let (true, Some(generated)) = (busy, scraped.generation_tokens_total) else {
            self.window = None;
            return;
        };
        let Some(window) = self.window else {
            self.window = Some(Window {
                since: at,
                generated,
            });
            return;
        };
        let elapsed_ms = at.since(window.since);
        if elapsed_ms < WINDOW_MS {
            return;
        }
        self.window = Some(Window {
            since: at,
            generated,
        });
        let rate = (generated - window.generated) * 1000.0 / elapsed_ms as f64;
        if PLAUSIBLE.contains(&rate) {
            let mean = self
                .mean
                .map_or(rate, |mean| mean.value + WEIGHT * (rate - mean.value));
            self.mean = Some(Signal::new(mean, at));
        }
    }

    /// Generated tokens per second, with the end of the last window.
    pub(super) fn tokens_per_second(&self) -> Option<Signal<f32>> {
        self.mean
            .map(|mean| Signal::new(mean.value as f32, mean.taken_at))
    }
}
