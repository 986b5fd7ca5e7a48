//! Wall time for an engine: starts at 0, stands still while the engine hangs.

use std::time::Duration;

use tokio::time::Instant;

use crate::engine::SimTime;

/// The engine's time as a function of the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EngineClock {
    origin: Instant,
    stopped_at: Option<SimTime>,
}

impl EngineClock {
    pub(crate) fn new() -> Self {
        EngineClock {
            origin: Instant::now(),
            stopped_at: None,
        }
    }

    pub(crate) fn now(&self) -> SimTime {
        self.stopped_at
            .unwrap_or_else(|| SimTime::ZERO + self.origin.elapsed())
    }

    /// When the monotonic clock will show this engine time; `None` while stopped.
    pub(crate) fn instant(&self, at: SimTime) -> Option<Instant> {
        self.stopped_at
            .is_none()
            .then(|| self.origin + Duration::from_nanos(at.as_nanos()))
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped_at.is_some()
    }

    pub(crate) fn stop(&mut self) {
        if self.stopped_at.is_none() {
            self.stopped_at = Some(self.now());
        }
    }

    /// Goes on from where it stopped.
    pub(crate) fn go_on(&mut self) {
        if let Some(stopped_at) = self.stopped_at.take() {
            let lived = Duration::from_nanos(stopped_at.as_nanos());
            self.origin = Instant::now().checked_sub(lived).unwrap_or(self.origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::EngineClock;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_stop_leaves_no_gap() {
        let mut clock = EngineClock::new();
        tokio::time::advance(Duration::from_secs(2)).await;
        clock.stop();
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.now().as_seconds(), 2.0);
        assert_eq!(clock.instant(clock.now()), None);
        clock.go_on();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.now().as_seconds(), 3.0);
    }
}
