//! W4: every request asks for one of 15 LoRA adapters, far more than the 4 slots of a pod.
//!
//! Adapters are drawn by Zipf's law with exponent 1 (three in ten requests ask for the first, one in
//! fifty for the last), lengths and arrivals are those of the workload around which this is put. The
//! numbers are the study's; how adapters are spread in real traffic is not published, and Zipf's law
//! is what popularity of most things follows.

use model_sim::engine::{LoraId, SimTime};
use picker::SplitMix64;

use super::{Arrival, ConversationId, Workload, Zipf, adapter_name};

/// Adapters that requests ask for.
pub const ADAPTERS: u32 = 15;

/// A workload whose requests each name an adapter.
#[derive(Debug, Clone)]
pub struct Adapters<W> {
    inner: W,
    popularity: Zipf,
    entropy: SplitMix64,
}

impl<W: Workload> Adapters<W> {
    /// `inner`, whose requests must share no prefixes (an adapter's KV blocks are its own), with
    /// adapters drawn from `seed`.
    #[must_use]
    pub fn new(seed: u64, inner: W) -> Self {
        Self {
            inner,
            popularity: Zipf::new(ADAPTERS, 1.0),
            entropy: SplitMix64::new(seed ^ 0xadab),
        }
    }
}

impl<W: Workload> Workload for Adapters<W> {
    fn next_arrival(&mut self) -> Option<Arrival> {
        let mut arrival = self.inner.next_arrival()?;
        let adapter = LoraId(self.popularity.draw(&mut self.entropy));
        arrival.lora = Some(adapter);
        arrival.facts.model = Some(adapter_name(adapter));
        Some(arrival)
    }

    fn on_ended(&mut self, _: ConversationId, _: bool, _: SimTime) -> Option<Arrival> {
        None
    }
}
