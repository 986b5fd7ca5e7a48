//! The picker's clock beside the simulator's.

use std::time::Duration;

use model_sim::engine::SimTime;
use picker::Millis;

/// The picker's clock at the start: a machine that has been up for an hour, so that "so long ago" is
/// never before the beginning of time.
const START_MS: u64 = 3_600_000;

/// The picker's time at a moment.
pub(super) fn millis(at: SimTime) -> Millis {
    Millis(START_MS + at.as_nanos() / 1_000_000)
}

/// A share of `interval` drawn by `bits`: the phase of something that happens again and again.
pub(super) fn phase(interval: Duration, bits: u64) -> Duration {
    interval.mul_f64((bits >> 11) as f64 / (1u64 << 53) as f64)
}
