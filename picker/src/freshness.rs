//! The freshness ladder: how much a signal still counts at its age.
//!
//! ```text
//!   weight
//!     1 |---------.
//!       |          \.
//!       |            \.
//!     0 |              `-----------
//!       +---------|------|--------> age
//!            fresh_ms  expired_ms
//!          Fresh   Ageing   Expired
//! ```
//!
//! Fresh signals are used as they are. While they age, what they say fades towards the mean of the
//! pool and the in-flight ledger takes over; expired signals say nothing. The fade is continuous, so
//! that no tick of the clock moves a whole pool's traffic.

use crate::{signal::Signal, time::Millis};

/// Where a signal or a view stands on the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Freshness {
    /// Young enough to be used as it is.
    Fresh,
    /// It fades; the in-flight ledger leads.
    Ageing,
    /// It says nothing any more, or was never known.
    Expired,
}

/// The two ages that make the ladder, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ladder {
    /// Up to this age a signal counts in full, in milliseconds.
    fresh_ms: u64,
    /// From this age on it says nothing, in milliseconds; greater than `fresh_ms`.
    expired_ms: u64,
}

impl Default for Ladder {
    /// Fresh up to 1 s, expired from 5 s.
    fn default() -> Self {
        Self {
            fresh_ms: 1_000,
            expired_ms: 5_000,
        }
    }
}

impl Ladder {
    /// A ladder; `None` unless `fresh_ms < expired_ms`.
    #[must_use]
    pub const fn new(fresh_ms: u64, expired_ms: u64) -> Option<Self> {
        if fresh_ms < expired_ms {
            Some(Self {
                fresh_ms,
                expired_ms,
            })
        } else {
            None
        }
    }

    /// The age up to which a signal counts in full, in milliseconds.
    #[must_use]
    pub const fn fresh_ms(&self) -> u64 {
        self.fresh_ms
    }

    /// The age from which a signal says nothing, in milliseconds.
    #[must_use]
    pub const fn expired_ms(&self) -> u64 {
        self.expired_ms
    }

    /// How much a signal of this age counts, in `0.0..=1.0`; never rises with age.
    #[must_use]
    pub fn weight(&self, age_ms: u64) -> f32 {
        if age_ms <= self.fresh_ms {
            1.0
        } else if age_ms >= self.expired_ms {
            0.0
        } else {
            (self.expired_ms - age_ms) as f32 / (self.expired_ms - self.fresh_ms) as f32
        }
    }

    /// How much `signal` counts at `now`, in `0.0..=1.0`; an unknown signal counts 0. A signal from
    /// the future (the clock stepped back) counts in full.
    #[must_use]
    pub fn trust<T>(&self, signal: Option<&Signal<T>>, now: Millis) -> f32 {
        signal.map_or(0.0, |signal| self.weight(signal.age_ms(now)))
    }

    /// The step of the ladder that an age stands on.
    #[must_use]
    pub const fn classify(&self, age_ms: u64) -> Freshness {
        if age_ms <= self.fresh_ms {
            Freshness::Fresh
        } else if age_ms < self.expired_ms {
            Freshness::Ageing
        } else {
            Freshness::Expired
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn the_weight_fades_in_a_straight_line() {
        let ladder = Ladder::default();
        for (age_ms, weight) in [
            (0, 1.0),
            (1_000, 1.0),
            (2_000, 0.75),
            (3_000, 0.5),
            (4_999, 0.000_25),
            (5_000, 0.0),
            (u64::MAX, 0.0),
        ] {
            assert!(
                (ladder.weight(age_ms) - weight).abs() < 1e-6,
                "age {age_ms} ms"
            );
        }
    }

    #[test]
    fn weight_and_class_agree() {
        let ladder = Ladder::default();
        for age_ms in 0..6_000 {
            let expected = match ladder.weight(age_ms) {
                1.0 => Freshness::Fresh,
                0.0 => Freshness::Expired,
                _ => Freshness::Ageing,
            };
            assert_eq!(ladder.classify(age_ms), expected, "age {age_ms} ms");
        }
    }

    #[test]
    fn unknown_counts_nothing_and_the_future_counts_in_full() {
        let ladder = Ladder::default();
        assert_eq!(ladder.trust::<f32>(None, Millis(0)), 0.0);
        let signal = Signal::new(1.0, Millis(9_000));
        assert_eq!(ladder.trust(Some(&signal), Millis(1)), 1.0);
    }

    #[test]
    fn the_two_ages_must_be_in_order() {
        assert_eq!(Ladder::new(5, 5), None);
        assert!(Ladder::new(5, 6).is_some());
    }
}
