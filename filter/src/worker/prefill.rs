//! When the prefill of a counted request is over.
//!
//! ```text
//!   streamed answer:   its first chunk ----------------------+
//!   one document:      the predicted time has passed --------+--> Ledger::first_token, once
//!                      the answer came or ended before that -+
//! ```
//!
//! The engine sends a document when it is complete, so that its first token is never seen; the
//! decode that follows is most of the time, and what is held to be prefill all that while would keep
//! others away for no reason.

use std::{cell::Cell, cmp::Ordering, collections::BinaryHeap, rc::Rc};

use picker::{EndpointId, Millis};

/// The most predictions that wait at a time; with more requests in flight than that the rest waits
/// for the answer, so that memory stays bounded.
const MAX_WAITING: usize = 4_096;
/// The longest prediction that is waited for, in milliseconds: later ones are no better than a guess.
const MAX_WAIT_MS: f32 = 600_000.0;

/// A counted request's first token, noted by whoever sees or supposes it first.
#[derive(Debug, Clone, Default)]
pub(super) struct Prefill(Rc<Cell<Option<EndpointId>>>);

impl Prefill {
    /// The request is counted as prefilling at `endpoint` now; at none with `None`.
    pub(super) fn set(&self, endpoint: Option<EndpointId>) {
        self.0.set(endpoint);
    }

    /// Where the request is counted as prefilling.
    pub(super) fn get(&self) -> Option<EndpointId> {
        self.0.get()
    }
}

/// The predicted first tokens of requests that will not show them, soonest first.
#[derive(Debug, Default)]
pub(super) struct Predictions(BinaryHeap<Prediction>);

#[derive(Debug)]
struct Prediction {
    at: Millis,
    tokens: u32,
    prefill: Prefill,
}

impl Predictions {
    /// Supposes the first token of a request with so many tokens to prefill `after_ms` from now; a
    /// time that is no positive number says nothing.
    pub(super) fn push(&mut self, now: Millis, after_ms: f32, tokens: u32, prefill: &Prefill) {
        if after_ms.is_nan() || after_ms <= 0.0 {
            return;
        }
        if self.0.len() >= MAX_WAITING {
            self.0.retain(|waiting| waiting.prefill.get().is_some());
        }
        if self.0.len() < MAX_WAITING {
            self.0.push(Prediction {
                at: now.plus(after_ms.min(MAX_WAIT_MS) as u64),
                tokens,
                prefill: prefill.clone(),
            });
        }
    }

    /// The next request that is supposed to have its first token by now, with its tokens.
    pub(super) fn pop(&mut self, now: Millis) -> Option<(u32, Prefill)> {
        if self.0.peek()?.at > now {
            return None;
        }
        self.0.pop().map(|due| (due.tokens, due.prefill))
    }
}

impl Ord for Prediction {
    /// The heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl PartialOrd for Prediction {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Prediction {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Prediction {}

#[cfg(test)]
mod tests {
    use super::*;

    fn somewhere() -> Prefill {
        let prefill = Prefill::default();
        prefill.set(Some(EndpointId {
            address: ([10, 0, 0, 1], 80).into(),
            generation: 1,
        }));
        prefill
    }

    #[test]
    fn what_is_due_comes_soonest_first_and_nothing_else() {
        let mut predictions = Predictions::default();
        let prefill = somewhere();
        for after in [30.0, 10.0, 20.0, 0.0, -1.0, f32::NAN, f32::INFINITY] {
            predictions.push(Millis(1_000), after, after as u32, &prefill);
        }
        let mut due = |now| predictions.pop(Millis(now)).map(|(tokens, _)| tokens);
        assert_eq!(due(1_009), None);
        assert_eq!(
            [due(1_030), due(1_030), due(1_030), due(1_030)],
            [Some(10), Some(20), Some(30), None]
        );
        assert_eq!(due(1_000 + MAX_WAIT_MS as u64), Some(u32::MAX), "bounded");
    }

    #[test]
    fn those_that_ended_make_room_and_more_than_fits_is_not_kept() {
        let mut predictions = Predictions::default();
        let (going, ended) = (somewhere(), somewhere());
        for index in 0..MAX_WAITING {
            predictions.push(
                Millis(0),
                5.0,
                1,
                if index % 2 == 0 { &going } else { &ended },
            );
        }
        predictions.push(Millis(0), 1.0, 2, &going);
        assert_eq!(
            predictions.0.len(),
            MAX_WAITING,
            "full of requests in flight"
        );
        ended.set(None);
        predictions.push(Millis(0), 1.0, 2, &going);
        assert_eq!(predictions.0.len(), MAX_WAITING / 2 + 1);
        assert_eq!(
            predictions.pop(Millis(1)).map(|(tokens, _)| tokens),
            Some(2)
        );
    }
}
