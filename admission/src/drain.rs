//! How long it takes until what waits is served.

use picker::Millis;

/// How long a dispatch is remembered, in milliseconds.
const WINDOW_MS: f32 = 2_000.0;
/// The bounds of what clients are told, in seconds.
const LEAST_S: u32 = 1;
const MOST_S: u32 = 60;

/// The rate at which one worker's requests are dispatched, in predicted tokens: a sum that fades.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Drain {
    tokens: f32,
    at: Millis,
}

impl Drain {
    /// Notes a dispatch.
    pub(crate) fn dispatched(&mut self, tokens: u32, now: Millis) {
        self.tokens = self.faded(now) + tokens as f32;
        self.at = now;
    }

    fn faded(&self, now: Millis) -> f32 {
        self.tokens * (-(now.since(self.at) as f32) / WINDOW_MS).exp()
    }

    /// Milliseconds until `tokens` are dispatched; infinite when nothing was dispatched for long.
    pub(crate) fn wait_ms(&self, tokens: u64, now: Millis) -> f32 {
        if tokens == 0 {
            return 0.0;
        }
        let per_ms = self.faded(now) / WINDOW_MS;
        if per_ms > 1e-6 {
            tokens as f32 / per_ms
        } else {
            f32::INFINITY
        }
    }

    /// What to tell a client behind `tokens`: whole seconds, `1..=60`.
    pub(crate) fn retry_after_s(&self, tokens: u64, now: Millis) -> u32 {
        let seconds = (self.wait_ms(tokens, now) / 1_000.0).ceil();
        // A cast from a float saturates.
        (seconds as u32).clamp(LEAST_S, MOST_S)
    }
}
