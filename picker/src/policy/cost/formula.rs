//! The cost of one request on one endpoint, in seconds: the formula of the scheduling study.
//!
//! ```text
//!   u    = uncached prompt tokens of this request     P = uncached tokens that wait before it
//!   D, Q = requests decoding, requests without a first token yet;  N = D + Q
//!   K    = KV tokens in use;  K' = KV tokens attended to            L = mean output tokens
//!   step = a + b D + c K'
//!   W    = L step (max(0, K + P + u - 0.95 capacity) / capacity  +  max(0, N + 1 - slots) / D)
//!   ttft = ((P + u) / (budget - D) + 1/2) step + b (P + u) + W
//!   dec  = L (a + b (N + 1) + c (K' + P + prompt + L/2))
//!   cost = (10 ttft + dec + b N (0.15 u + (u - least u))) / v + min(100 W / v, 20 s)
//! ```
//!
//! `v` is the endpoint's speed: a, b and c are divided by it before all else.
//!
//! TTFT counts ten times, because it is what users wait for; `b N u` is the delay that this prefill
//! causes to those who are there; a wait for memory or a slot counts again, because it lasts as long as
//! other people's answers.

use super::state::State;
use crate::{
    config::CostConfig,
    score::{greater, lesser},
    step_model::StepModel,
};

/// What a request asks of any endpoint, in tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    /// Its prompt.
    pub(super) prompt: f32,
    /// Its answer, as far as it can be told.
    pub(super) output: f32,
    /// The mean answer of those that run already.
    pub(super) mean_output: f32,
    /// The least that any endpoint would have to compute of its prompt.
    pub(super) least_uncached: f32,
}

/// The prediction for one endpoint.
#[derive(Debug, Clone, Copy, Default)]
#[cfg_attr(
    not(feature = "explain"),
    allow(dead_code, reason = "only an explanation names the parts of a cost")
)]
pub(super) struct Prediction {
    /// Seconds to the first token.
    pub(super) ttft: f32,
    /// Seconds from the first token to the last.
    pub(super) decode: f32,
    /// Weighted seconds that this request's prefill takes from those who are there.
    pub(super) delay: f32,
    /// What a wait for memory or a slot counts beyond its place in `ttft`.
    pub(super) pressure: f32,
    /// What counts, in weighted seconds.
    pub(super) cost: f32,
}

/// Predicts for a request of which this endpoint, `speed` times as fast as its step model says, would
/// have to compute `uncached` tokens.
#[inline]
pub(super) fn predict(
    config: &CostConfig,
    demand: &Demand,
    state: &State,
    speed: f32,
    uncached: f32,
) -> Prediction {
    let scale = if speed == 1.0 { 1e-6 } else { 1e-6 / speed };
    let StepModel {
        base_us,
        token_us,
        kv_token_us,
    } = state.step;
    let (a, b, c) = (scale * base_us, scale * token_us, scale * kv_token_us);
    let there = state.decoding + state.waiting;
    let work = state.prefill_tokens + uncached;
    let step = a + b * state.decoding + c * state.attended_tokens;

    let missing_memory = greater(
        state.kv_tokens + work - config.kv_limit * state.kv_capacity,
        0.0,
    );
    let missing_slots = greater(there + 1.0 - state.slots, 0.0);
    let mut wait = 0.0;
    // Zero as a rule, and divisions are what this formula is made of.
    if missing_memory > 0.0 {
        // What must be freed as a share of the whole. The study divides by what is in use, which is the
        // same under pressure; but a cache that is nearly empty and yet too small for the prompt must
        // not look worse than a full one.
        wait += missing_memory / state.kv_capacity;
    }
    if missing_slots > 0.0 {
        wait += missing_slots / greater(state.decoding, 1.0);
    }
    wait *= demand.mean_output * step;

    let room = greater(config.token_budget - state.decoding, 256.0);
    let ttft = (work / room + 0.5) * step + b * work + wait;
    let context = state.attended_tokens + state.prefill_tokens + demand.prompt;
    let decode = demand.output * (a + b * (there + 1.0) + c * (context + 0.5 * demand.output));
    let delay = b * there * (config.delay_weight * uncached + (uncached - demand.least_uncached));
    let pressure = lesser(config.pressure_weight * wait, config.pressure_cap_s);
    Prediction {
        ttft,
        decode,
        delay,
        pressure,
        cost: config.ttft_weight * ttft + decode + delay + pressure,
    }
}
