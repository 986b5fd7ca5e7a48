//! Randomness for jitter. Nothing here needs to be unpredictable, only different: among endpoints,
//! among agents and from one start to the next.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    time::Duration,
};

use picker::{Entropy, SplitMix64};

/// A generator with a seed of the operating system's.
#[must_use]
pub fn seeded() -> SplitMix64 {
    SplitMix64::new(RandomState::new().build_hasher().finish())
}

/// `duration` times a factor drawn from `1 - share ..= 1 + share`.
pub fn jittered(duration: Duration, share: f64, entropy: &mut impl Entropy) -> Duration {
    duration.mul_f64((1.0 + share * (2.0 * entropy.unit() - 1.0)).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_its_share() {
        let mut entropy = seeded();
        let base = Duration::from_millis(200);
        let drawn: Vec<Duration> = (0..1_000)
            .map(|_| jittered(base, 0.1, &mut entropy))
            .collect();
        assert!(drawn.iter().all(|d| (180..=220).contains(&d.as_millis())));
        assert!(drawn.iter().any(|d| d.as_millis() < 190));
        assert!(drawn.iter().any(|d| d.as_millis() > 210));
    }
}
