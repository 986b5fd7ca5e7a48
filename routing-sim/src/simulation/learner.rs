//! What the agent learns of one engine from its counters, scrape by scrape.
//!
//! ```text
//!   scrape  scrape  scrape  scrape        busy in all of them and at least 1 s apart:
//!     |-------|-------|-------|           one window for the learner, then the next begins
//! ```

use model_sim::engine::{Counters, Engine, SimTime};
use picker::{
    StepModel,
    learn::{StepModelLearner, Window},
};

/// The shortest window, in seconds.
const WINDOW_SECONDS: f64 = 1.0;
/// What a window's answers still count when the next window comes.
const KEEP: f64 = 0.98;
/// Answers before which their mean length is not told.
const LEAST_ANSWERS: f64 = 10.0;

/// The counters at a scrape.
#[derive(Debug, Clone, Copy)]
struct Totals {
    at: SimTime,
    generated: u64,
    computed: u64,
    answers: u64,
    answer_tokens: f64,
}

impl Totals {
    fn of(counters: &Counters, at: SimTime) -> Self {
        Self {
            at,
            generated: counters.generation_tokens,
            computed: counters
                .prompt_tokens
                .saturating_sub(counters.cached_prompt_tokens),
            answers: counters.request_generation_tokens.count(),
            answer_tokens: counters.request_generation_tokens.sum(),
        }
    }
}

/// What is learned of one engine.
#[derive(Debug, Default)]
pub(super) struct Learner {
    steps: StepModelLearner,
    answers: f64,
    answer_tokens: f64,
    /// The beginning of the window under way, and what its scrapes have summed up.
    window: Option<Totals>,
    scrapes: f64,
    running: f64,
    kv_tokens: f64,
}

impl Learner {
    /// Learns from a scrape.
    pub(super) fn scrape(&mut self, engine: &Engine, at: SimTime) {
        let gauges = engine.gauges();
        let totals = Totals::of(engine.counters(), at);
        let Some(begin) = self.window.filter(|_| gauges.running > 0) else {
            self.begin((gauges.running > 0).then_some(totals));
            return;
        };
        self.scrapes += 1.0;
        self.running += f64::from(gauges.running);
        self.kv_tokens +=
            f64::from(gauges.kv_blocks_used) * f64::from(engine.config().block_tokens);
        let seconds = at.seconds_since(begin.at);
        if seconds < WINDOW_SECONDS {
            return;
        }
        self.steps.window(Window {
            seconds,
            generated_tokens: (totals.generated - begin.generated) as f64,
            computed_prompt_tokens: totals.computed.saturating_sub(begin.computed) as f64,
            mean_running: self.running / self.scrapes,
            mean_kv_tokens: self.kv_tokens / self.scrapes,
        });
        self.answers = self.answers * KEEP + (totals.answers - begin.answers) as f64;
        self.answer_tokens = self.answer_tokens * KEEP + totals.answer_tokens - begin.answer_tokens;
        self.begin(Some(totals));
    }

    fn begin(&mut self, window: Option<Totals>) {
        self.window = window;
        self.scrapes = 0.0;
        self.running = 0.0;
        self.kv_tokens = 0.0;
    }

    /// The costs of its steps, once enough was seen.
    pub(super) fn step_model(&self) -> Option<StepModel> {
        self.steps.model()
    }

    /// The mean length of its answers, once enough were seen.
    pub(super) fn mean_output_tokens(&self) -> Option<f32> {
        (self.answers >= LEAST_ANSWERS).then(|| (self.answer_tokens / self.answers) as f32)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model_sim::engine::{EngineConfig, Request};

    use super::*;

    #[test]
    fn a_slow_engine_is_found_to_be_slow() {
        let slow = EngineConfig {
            speed: 0.5,
            ..EngineConfig::default()
        };
        let mut engine = Engine::new(slow);
        let mut learner = Learner::default();
        let mut at = SimTime::ZERO;
        for step in 0..1_200u32 {
            let request = Request {
                prompt_tokens: 100 + step % 300,
                output_tokens: 200,
                ..Request::default()
            };
            engine.submit(request, at);
            for _ in engine.advance(at) {}
            learner.scrape(&engine, at);
            at = at + Duration::from_millis(50);
        }
        let model = learner.step_model().expect("a minute under load");
        let at = |model: StepModel| {
            model.base_us + 100.0 * model.token_us + 30_000.0 * model.kv_token_us
        };
        let ratio = at(model) / at(StepModel::default());
        assert!((1.7..2.3).contains(&ratio), "{model:?}: {ratio}");
        let mean = learner.mean_output_tokens().expect("answers");
        assert!((mean - 200.0).abs() < 1.0, "{mean}");
    }
}
