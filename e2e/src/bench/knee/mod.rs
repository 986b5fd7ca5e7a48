//! Where Envoy's own round robin breaks down, and what the decision makes of that load: the scaled
//! version of the published benchmark, in wall-clock time.
//!
//! ```text
//!                   +--> Envoy, round robin -----> 10 simulated pods
//!   one seeded      |
//!   list of      ---+--> Envoy, least request ---> 10 simulated pods
//!   arrivals        |
//!                   +--> Envoy with the filter --> 10 simulated pods <-- agent
//! ```
//!
//! Every lane has an Envoy and pods of its own and gets the same requests at the same moments, so
//! that whatever else the machine does hits all of them alike. [`Plan`] says which loads, [`pods`]
//! what a pod is, [`traffic`] what is sent, [`lane`] who decides, [`summary`] what is made of it.

pub mod lane;
pub mod pods;
mod stage;
pub mod summary;
mod table;
pub mod traffic;

use std::time::Duration;

pub use lane::Balancer;

use self::{stage::Stage, summary::Sweep};
use super::figures::Figure;
use crate::rig::RigError;

/// The load that the knee is measured against.
const HALF: f64 = 0.5;

/// What is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The loads, ascending, as fractions of the pods' capacity; the first is one half.
    pub loads: Vec<f64>,
    /// How long a load is on before its requests count.
    pub warm_up: Duration,
    /// For how long requests are sent that count.
    pub measured: Duration,
    /// Who decides, one lane each.
    pub balancers: Vec<Balancer>,
}

impl Plan {
    /// The sweep whose figures are kept: a quarter of an hour.
    #[must_use]
    pub fn full() -> Self {
        Self {
            loads: vec![HALF, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.1],
            warm_up: Duration::from_secs(20),
            measured: Duration::from_secs(75),
            balancers: Balancer::ALL.to_vec(),
        }
    }

    /// Whether everything works, in half a minute; its figures say nothing.
    #[must_use]
    pub fn quick() -> Self {
        Self {
            loads: vec![HALF, 0.9],
            warm_up: Duration::from_secs(2),
            measured: Duration::from_secs(8),
            ..Self::full()
        }
    }
}

/// Runs the sweep and prints it as it goes.
///
/// # Errors
/// When something does not start, or any request fails.
pub async fn run(plan: &Plan) -> Result<Vec<Figure>, RigError> {
    let capacity = pods::capacity() * pods::COUNT as f64;
    println!(
        "{} pods a lane, saturated at {capacity:.0} requests/s; {} s of warm-up and {} s measured per load",
        pods::COUNT,
        plan.warm_up.as_secs(),
        plan.measured.as_secs()
    );
    let stage = Stage::set(&plan.balancers).await?;
    table::head();
    let mut sweep = Sweep::default();
    for (number, load) in (0..).zip(&plan.loads) {
        let arrivals = traffic::arrivals(capacity * load, plan.warm_up + plan.measured, number);
        let step = stage.step(&arrivals, plan.warm_up).await?;
        table::step(*load, &step);
        sweep.push(*load, step);
    }
    table::verdict(&sweep);
    Ok(sweep.figures())
}
