//! The engine's state as numbers: what it publishes after a step, and what is true right now.

/// State of an engine.
///
/// [`super::Engine::gauges`] gives what a scrape sees: the state at the end of the last step, as
/// vLLM sets its gauges. [`super::Engine::live`] gives the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Sequences in the batch.
    pub running: u32,
    /// Sequences that wait for a place, for memory or for an adapter slot.
    pub waiting: u32,
    /// Of the waiting, those passed over in the last round because no adapter slot was free.
    pub waiting_deferred: u32,
    /// KV blocks held by sequences; cached blocks that nobody uses count as free.
    pub kv_blocks_used: u32,
    /// KV blocks in total.
    pub kv_blocks: u32,
}

impl Gauges {
    /// KV-cache utilization, 0 to 1.
    pub fn kv_usage(&self) -> f64 {
        f64::from(self.kv_blocks_used) / f64::from(self.kv_blocks.max(1))
    }
}
