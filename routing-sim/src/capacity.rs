//! How much a pool can serve: the rate of requests that load is a fraction of.
//!
//! ```text
//!   goodput of the oracle
//!   1.0 |----------------.
//!   0.9 +- - - - - - - - - \       a queue grows by what is too much, so the curve is steep
//!       |                  |\      wherever waiting, and not the speed of decoding, breaks the SLO
//!       +------------------|--> rate
//!                       capacity
//! ```

use std::time::Duration;

use crate::{
    profile::Profile,
    scenario::{PolicyUnderTest, Scenario},
    simulation::simulate,
    workload::{Workload, WorkloadName},
};

/// How exactly [`find`] finds: the two ends of the last interval differ by this share.
const PRECISION: f64 = 0.01;
const MINUTE: Duration = Duration::from_secs(60);
/// The seed of the runs; benchmarks use others.
pub const SEED: u64 = 77;

/// The share of requests that the oracle must answer within the SLO
/// ([`RequestRecord::is_good`](crate::RequestRecord::is_good)).
const LEAST_GOODPUT: f64 = 0.9;

/// The greatest rate, in requests per second, at which the oracle answers nine in ten requests within
/// the SLO, over a minute that begins after a minute of warm-up.
///
/// `scenario` says the pool, `requests` makes the workload of a rate, `guess` (above 0) is where the
/// search begins. Takes a dozen runs of two simulated minutes.
pub fn find(scenario: &Scenario, requests: impl Fn(f64) -> Box<dyn Workload>, guess: f64) -> f64 {
    let scenario = Scenario {
        policy: PolicyUnderTest::Oracle,
        warm_up: MINUTE,
        duration: MINUTE,
        cool_down: Duration::ZERO,
        ..scenario.clone()
    };
    let keeps_up = |rate| {
        let outcome = simulate(&scenario, requests(rate).as_mut());
        outcome.goodput() >= LEAST_GOODPUT
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
        warm_up: MINUTE,
        duration: MINUTE,
        ..Scenario::default()
    };
    workload.prepare(&mut scenario);
    scenario
}
