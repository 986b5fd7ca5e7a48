//! What an endpoint's metrics said, each value with the moment it was taken. Unknown is `None` and
//! never zero: zero looks idle and would attract traffic.

use std::sync::Arc;

use crate::{step_model::StepModel, time::Millis, view::InFlight};

/// A value together with the moment it was taken, on the picker's clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signal<T> {
    /// What was measured.
    pub value: T,
    /// When it was measured.
    pub taken_at: Millis,
}

impl<T> Signal<T> {
    /// A value taken at `taken_at`.
    pub const fn new(value: T, taken_at: Millis) -> Self {
        Self { value, taken_at }
    }

    /// Milliseconds since the value was taken.
    pub const fn age_ms(&self, now: Millis) -> u64 {
        now.since(self.taken_at)
    }
}

/// The adapters of an engine that serves LoRA.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoraState {
    /// Adapters with a running request.
    pub active: Vec<Arc<str>>,
    /// Adapters whose requests only wait (equal to `active` in vLLM 0.11 and later).
    pub waiting: Vec<Arc<str>>,
    /// Adapters that the engine can serve (`/v1/models`); empty when the agent does not know.
    pub registered: Vec<Arc<str>>,
    /// How many adapters one batch can hold; 0 when the engine did not say.
    pub max: u32,
}

/// The signals of one endpoint.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Signals {
    /// Requests in the engine's waiting queue, 0 or more.
    pub waiting: Option<Signal<f32>>,
    /// Requests in the running batch, 0 or more.
    pub running: Option<Signal<f32>>,
    /// KV-cache utilization, `0.0..=1.0`.
    pub kv_usage: Option<Signal<f32>>,
    /// Adapters; `None` when the engine has shown no LoRA series.
    pub lora: Option<Signal<LoraState>>,
    /// What its steps cost, learned from its counters while it was busy; the pool's accelerators
    /// differ here. Unknown is the configured model.
    pub step_model: Option<Signal<StepModel>>,
    /// Generated tokens per request on average, learned from its counters, at least 1.
    pub mean_output_tokens: Option<Signal<f32>>,
    /// What *other* gateways have in flight here, added up; as old as the oldest of their reports.
    pub others_in_flight: Option<Signal<InFlight>>,
    /// Tokens per KV-cache block, at least 1. A constant of the engine, so it does not age.
    pub kv_block_size: Option<u32>,
    /// KV-cache blocks of the engine, at least 1. A constant of the engine, so it does not age.
    pub kv_blocks: Option<u32>,
    /// The most tokens that prompt and output may have together, at least 1. A constant of the
    /// engine, so it does not age.
    pub max_model_len: Option<u32>,
}
