//! When the requests of an open loop arrive.

use model_sim::engine::SimTime;
use picker::{Entropy, SplitMix64};

/// Bursts last from 1 s to 3 s, evenly drawn, and the lull after each as long as the burst: shorter
/// than any autoscaler reacts, longer than most scrape intervals; chosen, not fitted.
const SHORTEST_BURST: f64 = 1.0;
const LONGEST_BURST: f64 = 3.0;
/// The rate in a burst and in a lull, as multiples of the mean rate; their mean is 1.
const BURST: f64 = 1.5;
const LULL: f64 = 0.5;

/// A point process of arrivals with a mean rate.
#[derive(Debug, Clone)]
pub struct Pace {
    requests_per_second: f64,
    bursty: Option<Phase>,
    entropy: SplitMix64,
    now: f64,
}

#[derive(Debug, Clone, Copy)]
struct Phase {
    factor: f64,
    length: f64,
    until: f64,
}

impl Pace {
    /// Poisson arrivals: exponential gaps of mean `1 / requests_per_second` (above 0).
    #[must_use]
    pub fn steady(seed: u64, requests_per_second: f64) -> Self {
        Self {
            requests_per_second,
            bursty: None,
            entropy: SplitMix64::new(seed),
            now: 0.0,
        }
    }

    /// The same, but the rate is 1.5 times and 0.5 times the mean in turn, for 1 s to 3 s each. A
    /// lull is as long as the burst before it, so that short runs have the mean rate too.
    #[must_use]
    pub fn bursty(seed: u64, requests_per_second: f64) -> Self {
        let lull = Phase {
            factor: LULL,
            length: 0.0,
            until: 0.0,
        };
        Self {
            bursty: Some(lull),
            ..Self::steady(seed, requests_per_second)
        }
    }

    /// The time of the next arrival in seconds, later than the one before.
    pub fn next_seconds(&mut self) -> f64 {
        // The gap as work: it shrinks by the rate times the time that passes.
        let mut work = exponential(&mut self.entropy, 1.0 / self.requests_per_second);
        while let Some(phase) = self.bursty {
            let end = self.now + work / phase.factor;
            if end <= phase.until {
                self.now = end;
                return end;
            }
            work -= (phase.until - self.now) * phase.factor;
            self.now = phase.until;
            let (factor, length) = if phase.factor > 1.0 {
                (LULL, phase.length)
            } else {
                let span = LONGEST_BURST - SHORTEST_BURST;
                (BURST, SHORTEST_BURST + span * self.entropy.unit())
            };
            self.bursty = Some(Phase {
                factor,
                length,
                until: self.now + length,
            });
        }
        self.now += work;
        self.now
    }

    /// [`Pace::next_seconds`] as a point in time.
    pub fn next_at(&mut self) -> SimTime {
        SimTime::from_seconds(self.next_seconds())
    }
}

/// An exponential draw of the given mean.
pub fn exponential(entropy: &mut dyn Entropy, mean: f64) -> f64 {
    -(1.0 - entropy.unit()).ln() * mean
}

#[cfg(test)]
mod tests {
    use super::Pace;

    /// Mean and variance of the number of arrivals in a second, over 2,000 s.
    fn per_second(mut pace: Pace) -> (f64, f64) {
        let mut counts = [0.0_f64; 2_000];
        while let Some(count) = counts.get_mut(pace.next_seconds() as usize) {
            *count += 1.0;
        }
        let mean = counts.iter().sum::<f64>() / 2_000.0;
        let square = counts.iter().map(|count| (count - mean).powi(2));
        (mean, square.sum::<f64>() / 2_000.0)
    }

    #[test]
    fn steady_arrivals_are_poisson() {
        let (mean, variance) = per_second(Pace::steady(5, 50.0));
        assert!((49.0..51.0).contains(&mean), "{mean}");
        assert!((43.0..57.0).contains(&variance), "{variance}");
    }

    #[test]
    fn bursts_keep_the_mean_and_spread_far_more() {
        let (mean, variance) = per_second(Pace::bursty(5, 50.0));
        assert!((48.0..52.0).contains(&mean), "{mean}");
        assert!(variance > 300.0, "{variance}");
    }
}
