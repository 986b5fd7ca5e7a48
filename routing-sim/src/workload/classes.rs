//! W5: half of the requests matter (priority 1, critical), half may be shed (in the records priority 0,
//! for admission -1: sheddable).
//!
//! Lengths and arrivals are those of the workload around which this is put. It is meant for
//! overload: shares and classes are the study's.

use model_sim::engine::SimTime;
use picker::{Criticality, Entropy, Priority, SplitMix64};

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
        let facts = &mut arrival.facts;
        (arrival.priority, facts.criticality, facts.priority) = if self.entropy.unit() < 0.5 {
            (1, Criticality::Critical, Priority(1))
        } else {
            (0, Criticality::Sheddable, Priority(-1))
        };
        Some(arrival)
    }

    fn on_ended(&mut self, _: ConversationId, _: bool, _: SimTime) -> Option<Arrival> {
        None
    }
}
