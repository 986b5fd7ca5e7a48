//! The agent's clocks: one monotonic for ages, one on the wall for people and for epochs.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use picker::Millis;

/// Reads the time. Copies share one origin, so their moments can be compared.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// The clock's origin lies an hour before its making, so that ages of that length can be told
    /// at once (an age ends at the origin).
    const HEAD_START_MS: u64 = 3_600_000;

    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// The present moment on the monotonic clock.
    #[must_use]
    pub fn now(&self) -> Millis {
        let elapsed = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        Millis(elapsed.saturating_add(Self::HEAD_START_MS))
    }

    /// Milliseconds since the clock was made.
    #[must_use]
    pub fn uptime_ms(&self) -> u64 {
        self.now().0.saturating_sub(Self::HEAD_START_MS)
    }

    /// Milliseconds since 1970 on the wall clock; 0 when it stands before that.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .ok()
            .and_then(|since| u64::try_from(since.as_millis()).ok())
            .unwrap_or(0)
    }
}
