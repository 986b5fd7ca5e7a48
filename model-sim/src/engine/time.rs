//! Virtual time: nanoseconds since the engine started, brought by the caller.

use std::ops::Add;
use std::time::Duration;

/// A point in virtual time, in nanoseconds since the engine's start.
///
/// The engine reads no clock. A live server derives it from a monotonic clock, a discrete-event
/// simulator from its event queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimTime(u64);

impl SimTime {
    /// The engine's start.
    pub const ZERO: SimTime = SimTime(0);

    /// A point `nanos` nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Self {
        SimTime(nanos)
    }

    /// A point `seconds` after the start; negative and non-finite values become the start.
    pub fn from_seconds(seconds: f64) -> Self {
        SimTime::ZERO.plus_seconds(seconds)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds since the start.
    pub fn as_seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Seconds from `earlier` to this point, 0 if `earlier` is later.
    pub fn seconds_since(self, earlier: SimTime) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / 1e9
    }

    /// This point moved by `seconds`, rounded to a nanosecond.
    pub(crate) fn plus_seconds(self, seconds: f64) -> Self {
        // A float-to-integer cast saturates, and turns NaN and negative values into 0.
        SimTime(self.0.saturating_add((seconds * 1e9).round() as u64))
    }
}

impl Add<Duration> for SimTime {
    type Output = SimTime;

    fn add(self, after: Duration) -> SimTime {
        SimTime(
            self.0
                .saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}
