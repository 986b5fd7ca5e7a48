//! How fast the simulator is: ten pods at 1,000 requests per second.

use std::time::Instant;

use super::{
    experiment::{Experiment, Load, Seconds},
    figure::{Better, Figure},
    measure::Measure,
    policies::COST,
};
use crate::{profile::Profile, simulate, workload::WorkloadName};

/// The least simulated seconds per second on one core.
const GOAL: f64 = 100.0;

/// Measures it; the one figure that depends on the machine and on what else it does.
pub fn measure() -> Measure {
    let experiment = Experiment::new(Profile::SeedH100, WorkloadName::W1, COST, Load::Qps(1_000));
    let seconds = Seconds {
        warm_up: 5,
        measured: 20,
    };
    let scenario = experiment.scenario(1, seconds);
    let mut requests = experiment
        .workload
        .requests(1, experiment.requests_per_second());
    let began = Instant::now();
    let outcome = simulate(&scenario, requests.as_mut());
    let times = outcome.simulated_seconds / began.elapsed().as_secs_f64();
    let figure = Figure {
        goal: Some(GOAL),
        ..Figure::new(
            "routing.sim_speed.10x1000".to_owned(),
            times,
            "x",
            Better::Higher,
        )
    };
    Measure::new(
        "speed",
        "simulated seconds per second, 10 pods at 1,000 QPS",
        [figure],
    )
}
