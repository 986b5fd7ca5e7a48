//! How long an engine's answers are on average.
//!
//! ```text
//!   generated tokens   |-----|---------|------      a window is at least 1 s and one answer long
//!   finished requests  |-----|---------|------      mean = tokens / answers, old windows fading
//! ```
//!
//! The tokens of answers under way count before their requests do, which evens out over some windows.
//! Engines without both counters teach nothing.

use picker::Millis;
use pool_state::limits;

use super::told::moved;
use crate::scrape::Scraped;

const WINDOW_MS: u64 = 1_000;
/// What a window still counts when the next one comes: the last 50 decide.
const KEEP: f64 = 0.98;
/// Answers before which nothing is said.
const LEAST_ANSWERS: f64 = 10.0;
/// The most answers that one window counts for.
const MOST_ANSWERS: f64 = 1_000.0;
/// By which factor a window's mean may differ from that of the windows before it.
const MOST_SURPRISE: f64 = 4.0;

/// An exponentially fading mean over windows between two scrapes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Answers {
    begin: Option<Totals>,
    answers: f64,
    tokens: f64,
    told: Option<f32>,
}

#[derive(Debug, Clone, Copy)]
struct Totals {
    at: Millis,
    generated: f64,
    finished: f64,
}

impl Answers {
    pub(super) fn scraped(&mut self, scraped: &Scraped, at: Millis) {
        let (Some(generated), Some(finished)) =
            (scraped.generation_tokens_total, scraped.success_total)
        else {
            self.begin = None;
            return;
        };
        let now = Totals {
            at,
            generated,
            finished,
        };
        let Some(begin) = self.begin else {
            self.begin = Some(now);
            return;
        };
        let (tokens, answers) = (generated - begin.generated, finished - begin.finished);
        let grown = |difference: f64| (0.0..f64::INFINITY).contains(&difference);
        if !grown(tokens) || !grown(answers) {
            self.begin = Some(now);
        } else if at.since(begin.at) >= WINDOW_MS && answers >= 1.0 {
            self.begin = Some(now);
            self.window(tokens / answers, answers);
        }
    }

    fn window(&mut self, mean: f64, answers: f64) {
        let mut mean = mean.clamp(1.0, f64::from(limits::MAX_OUTPUT_TOKENS));
        if self.answers >= LEAST_ANSWERS {
            let before = self.tokens / self.answers;
            mean = mean.clamp(before / MOST_SURPRISE, before * MOST_SURPRISE);
        }
        let answers = answers.min(MOST_ANSWERS);
        self.answers = self.answers * KEEP + answers;
        self.tokens = self.tokens * KEEP + answers * mean;
        if self.answers < LEAST_ANSWERS {
            return;
        }
        let learned = limits::mean_output_tokens((self.tokens / self.answers) as f32);
        if let Some(learned) = learned
            && self.told.is_none_or(|told| moved(told, learned))
        {
            self.told = Some(learned);
        }
    }

    /// Generated tokens per request, in `1..=MAX_OUTPUT_TOKENS`, once enough answers were seen.
    pub(super) const fn mean(&self) -> Option<f32> {
        self.told
    }
}
