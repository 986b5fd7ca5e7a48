//! One engine step: what was put into it and how long it takes.

use super::config::EngineConfig;
use super::time::SimTime;

/// The work of a step while it is planned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StepPlan {
    /// Tokens that may still be added.
    pub(crate) budget: u32,
    /// Tokens to compute.
    pub(crate) tokens: u32,
    /// KV tokens attended to, summed over the sequences.
    pub(crate) kv_tokens: u64,
    /// Adapters to load first.
    pub(crate) lora_loads: u32,
    /// Sequences that lost their blocks while the step was planned.
    pub(crate) preemptions: u32,
}

impl StepPlan {
    pub(crate) fn new(budget: u32) -> Self {
        StepPlan {
            budget,
            ..StepPlan::default()
        }
    }

    /// Adds `tokens` of a sequence that is `context` tokens long afterwards.
    pub(crate) fn add(&mut self, tokens: u32, context: u32) {
        self.budget = self.budget.saturating_sub(tokens);
        self.tokens += tokens;
        self.kv_tokens += u64::from(context);
    }

    /// How long the step takes: `(a + b * tokens + c * KV tokens) / v`, and the adapter loads.
    pub(crate) fn seconds(&self, config: &EngineConfig, speed: f64) -> f64 {
        let compute = config.step_base_seconds
            + config.step_token_seconds * f64::from(self.tokens)
            + config.step_kv_token_seconds * self.kv_tokens as f64;
        compute / speed + config.lora_load_seconds * f64::from(self.lora_loads)
    }
}

/// A step under way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RunningStep {
    pub(crate) started_at: SimTime,
    pub(crate) ends_at: SimTime,
    pub(crate) tokens: u32,
}

#[cfg(test)]
mod tests {
    use super::{EngineConfig, StepPlan};

    #[test]
    fn step_time_is_the_formula_of_the_scheduling_study() {
        let mut plan = StepPlan::new(2_048);
        plan.add(1, 1_000);
        plan.add(500, 500);
        let config = EngineConfig::default();
        let expected = 0.0055 + 501.0 * 20e-6 + 1_500.0 * 0.15e-6;
        assert!((plan.seconds(&config, 1.0) - expected).abs() < 1e-12);
        assert!((plan.seconds(&config, 0.5) - 2.0 * expected).abs() < 1e-12);
        plan.lora_loads = 2;
        assert!((plan.seconds(&config, 0.5) - 2.0 * expected - 0.2).abs() < 1e-12);
        assert_eq!(plan.budget, 2_048 - 501);
    }
}
