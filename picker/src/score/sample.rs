//! What the scorers look at: one endpoint's signals, cleaned, aged and corrected by the ledger.
//!
//! ```text
//!     scrape taken               now
//!   -------+----------------------+-----> time
//!     waiting, running        in flight
//!          '---- in flight then --'
//!                 difference = requests that the scrape cannot know
//! ```
//!
//! The correction is what keeps a herd from forming. All picks between two scrapes see the same
//! signals; a choice by signals alone would send all of them to the same minimum. Each pick raises
//! the ledger, and the raised ledger counts as waiting at once.

use super::{Reading, greater, lesser};
use crate::{
    endpoint::Endpoint, freshness::Ladder, signal::Signal, time::Millis, view::LocalState,
};

/// The in-flight requests of an endpoint at the moment when its present scrape was first seen.
///
/// Taking the difference to now, instead of comparing what is in flight with what the endpoint
/// admits to running, means that no claim about running requests can hide new ones.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Baseline {
    taken_at: Option<Millis>,
    in_flight: f32,
}

impl Baseline {
    /// The requests that came since the scrape (negative when more ended than came).
    fn since_scrape(&mut self, taken_at: Option<Millis>, in_flight: f32) -> f32 {
        if self.taken_at != taken_at {
            *self = Self {
                taken_at,
                in_flight,
            };
        }
        in_flight - self.in_flight
    }
}

/// One candidate as the scorers see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Requests that wait there by its own account, per unit of capacity.
    pub(crate) waiting: Reading,
    /// Requests that its account cannot know yet, per unit of capacity; unknown without an account.
    pub(crate) unaccounted: Reading,
    /// KV-cache utilization, `0.0..=1.0`.
    pub(crate) kv_usage: Reading,
    /// Requests of ours and of other gateways, per unit of capacity.
    pub(crate) in_flight: f32,
    /// Requests there beyond those, per unit of capacity.
    pub(crate) foreign: Reading,
    /// The operator's relative capacity.
    pub(crate) capacity: f32,
    /// How much the most trusted of waiting, running and KV-cache utilization is to be believed.
    pub(crate) trust: f32,
}

impl Sample {
    pub(crate) fn take(
        endpoint: &Endpoint,
        local: LocalState,
        baseline: &mut Baseline,
        ladder: &Ladder,
        now: Millis,
    ) -> Self {
        let signals = &endpoint.signals;
        let waiting = count(signals.waiting.as_ref(), ladder, now);
        let running = count(signals.running.as_ref(), ladder, now);
        let kv_usage = count(signals.kv_usage.as_ref(), ladder, now);
        let in_flight = in_flight(endpoint, local, ladder, now);
        let taken_at = |signal: &Option<Signal<f32>>| signal.map(|signal| signal.taken_at);
        let newest = taken_at(&signals.waiting).max(taken_at(&signals.running));
        let since = baseline.since_scrape(newest, in_flight);
        let capacity = capacity(endpoint);

        // What came since the scrape, or what is in flight and neither runs nor waits: the greater.
        // The first holds for an endpoint that claims to run more than it does, the second for a
        // worker that was idle while others sent.
        let unaccounted = match (waiting.is_known(), running.is_known()) {
            (false, false) => Reading::UNKNOWN,
            (_, false) => Reading::new(greater(since, 0.0), 1.0),
            (_, true) => {
                let missing = in_flight - running.value - waiting.value;
                Reading::new(greater(greater(since, running.trust * missing), 0.0), 1.0)
            }
        };
        let foreign = if unaccounted.is_known() {
            let there = waiting.value + running.value + since;
            Reading::new(
                greater(there - in_flight, 0.0),
                greater(waiting.trust, running.trust),
            )
        } else {
            Reading::UNKNOWN
        };
        let per_capacity = |reading: Reading| Reading::new(reading.value / capacity, reading.trust);
        Self {
            waiting: per_capacity(waiting),
            unaccounted: per_capacity(unaccounted),
            kv_usage: Reading::new(lesser(kv_usage.value, 1.0), kv_usage.trust),
            in_flight: in_flight / capacity,
            foreign: per_capacity(foreign),
            capacity,
            trust: greater(greater(waiting.trust, running.trust), kv_usage.trust),
        }
    }
}

/// A signal that must be finite and not negative; anything else is unknown.
fn count(signal: Option<&Signal<f32>>, ladder: &Ladder, now: Millis) -> Reading {
    match signal {
        Some(signal) if (0.0..=f32::MAX).contains(&signal.value) => {
            let trust = ladder.trust(Some(signal), now);
            if trust > 0.0 {
                Reading::new(lesser(signal.value, MOST_REQUESTS), trust)
            } else {
                Reading::UNKNOWN
            }
        }
        _ => Reading::UNKNOWN,
    }
}

/// Above any real count, below what single precision tells apart by ones.
const MOST_REQUESTS: f32 = 1_000_000.0;

/// Requests of this gateway and, as far as their count is to be believed, of the others.
pub(crate) fn in_flight(
    endpoint: &Endpoint,
    local: LocalState,
    ladder: &Ladder,
    now: Millis,
) -> f32 {
    let own = local.in_flight.requests as f32;
    let others = endpoint.signals.others_in_flight.as_ref();
    let trust = ladder.trust(others, now);
    own + others.map_or(0.0, |others| trust * others.value.requests as f32)
}

/// The operator's relative capacity, 1 when it makes no sense.
pub(crate) fn capacity(endpoint: &Endpoint) -> f32 {
    let weight = endpoint.weight;
    if weight.is_finite() && weight > 0.0 {
        weight.clamp(0.01, 100.0)
    } else {
        1.0
    }
}
