//! How much a pool can serve: the rate of requests that load is a fraction of.
//!
//! ```text
//!   p90 TTFT of the oracle
//!      |                 |
//!   1s +- - - - - - - - /          a queue grows by what is too much, so the curve is steep
//!      |______________ /           and the second is crossed within 1 % of where the pool
//!      +--------------|--> rate    stops keeping up
//!                  capacity
//! ```

use std::time::Duration;

use crate::{
    outcome::SLO_TTFT,
    profile::Profile,
    scenario::{PolicyUnderTest, Scenario},
    simulation::simulate,
    workload::{Workload, WorkloadName},
};

/// How exactly [`find`] finds: the two ends of the last interval differ by this share.
const PRECISION: f64 = 0.01;
/// The seed of the runs; benchmarks use others.
pub const SEED: u64 = 77;

/// The greatest rate, in requests per second, at which the oracle gives nine in ten requests their
/// first token within [`SLO_TTFT`], over a minute that begins after a minute of warm-up.
///
/// `scenario` says the pool, `requests` makes the workload of a rate, `guess` (above 0) is where the
/// search begins. Takes a dozen runs of two simulated minutes.
pub fn find(scenario: &Scenario, requests: impl Fn(f64) -> Box<dyn Workload>, guess: f64) -> f64 {
    let scenario = Scenario {
        policy: PolicyUnderTest::Oracle,
        warm_up: Duration::from_secs(60),
        duration: Duration::from_secs(60),
        cool_down: Duration::ZERO,
        ..scenario.clone()
    };
    let keeps_up = |rate| {
        let outcome = simulate(&scenario, requests(rate).as_mut());
        outcome.ttft_p90() < SLO_TTFT
    };
    let (mut low, mut high) = (guess, guess);
    while !keeps_up(low) && low > guess / 64.0 {
        high = low;
        low /= 1.25;
    }
    while high <= low || keeps_up(high) {
        low = high;
        high *= 1.25;
    }
    while high > low * (1.0 + PRECISION) {
        let middle = (low * high).sqrt();
        if keeps_up(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low * high).sqrt()
}

/// The scenario of a pool of `pods` engines of this profile under a workload.
#[must_use]
pub fn pool(profile: Profile, pods: usize, workload: WorkloadName) -> Scenario {
    let mut scenario = Scenario {
        seed: SEED,
        endpoints: vec![profile.engine(); pods],
        ..Scenario::default()
    };
    workload.prepare(&mut scenario);
    scenario
}
