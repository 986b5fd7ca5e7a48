//! W5: half of the requests matter (priority 1, critical), half may be shed (priority 0, sheddable).
//!
//! Lengths and arrivals are those of the workload around which this is put. It is meant for
//! overload: shares and classes are the study's.

use model_sim::engine::SimTime;
use picker::{Criticality, Entropy, SplitMix64};

use super::{Arrival, ConversationId, Workload};

/// A workload of two classes.
#[derive(Debug, Clone)]
pub struct Classes<W> {
    inner: W,
    entropy: SplitMix64,
}

impl<W: Workload> Classes<W> {
    /// `inner` with classes drawn from `seed`.
    #[must_use]
    pub fn new(seed: u64, inner: W) -> Self {
        Self {
            inner,
            entropy: SplitMix64::new(seed ^ 0xc1a5),
        }
    }
}

impl<W: Workload> Workload for Classes<W> {
    fn next_arrival(&mut self) -> Option<Arrival> {
        let mut arrival = self.inner.next_arrival()?;
        (arrival.priority, arrival.facts.criticality) = if self.entropy.unit() < 0.5 {
            (1, Criticality::Critical)
        } else {
            (0, Criticality::Sheddable)
        };
        Some(arrival)
    }

    fn on_ended(&mut self, _: ConversationId, _: bool, _: SimTime) -> Option<Arrival> {
        None
    }
}
