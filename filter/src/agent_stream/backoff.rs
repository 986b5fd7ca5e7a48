//! How long to wait before the next attempt: doubling, bounded, jittered.

use picker::{Entropy, SplitMix64};

const FIRST_MS: u64 = 100;
const LONGEST_MS: u64 = 2_000;

/// The delays between attempts.
#[derive(Debug)]
pub(super) struct Backoff {
    next_ms: u64,
    entropy: SplitMix64,
}

impl Backoff {
    pub(super) const fn new(entropy: SplitMix64) -> Self {
        Self {
            next_ms: FIRST_MS,
            entropy,
        }
    }

    /// The delay before the next attempt in milliseconds: half to one and a half times its nominal
    /// length, so that the gateways of one agent do not return all at once.
    pub(super) fn next(&mut self) -> u64 {
        let nominal = self.next_ms;
        self.next_ms = nominal.saturating_mul(2).min(LONGEST_MS);
        let jittered = nominal as f64 * (0.5 + self.entropy.unit());
        jittered as u64
    }

    /// An attempt did its work.
    pub(super) const fn reset(&mut self) {
        self.next_ms = FIRST_MS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_two_seconds_and_start_over_after_a_success() {
        let mut backoff = Backoff::new(SplitMix64::new(3));
        for nominal in [100u64, 200, 400, 800, 1_600, 2_000, 2_000] {
            let delay = backoff.next();
            assert!(
                (nominal / 2..=nominal * 3 / 2).contains(&delay),
                "{delay} ms for nominal {nominal} ms"
            );
        }
        backoff.reset();
        assert!(backoff.next() <= 150);
    }
}
