//! Capacity under the SLO: how much a policy can be given before more than one request in ten waits
//! longer than a second for its first token or longer than 50 ms for each of the others.
//!
//! Goodput is measured on a grid of loads and drawn as straight lines between them; the capacity is
//! where it first falls below 0.9.

use super::{
    experiment::{Experiment, Load},
    figure::Figure,
    measure::Measure,
    policies::{COST, ROUND_ROBIN},
    runner::{Plan, Results},
};
use crate::{PolicyUnderTest, profile::Profile, workload::WorkloadName};

/// The share of requests that must be answered within the SLO.
const LEAST_GOODPUT: f64 = 0.9;
/// The loads of the grid, in percent.
const FIRST: u32 = 40;
const LAST: u32 = 120;
const STEP: usize = 5;

/// The workloads of which a gain is demanded, and the gain.
const GAINS: [(WorkloadName, f64); 3] = [
    (WorkloadName::W2s, 1.20),
    (WorkloadName::W3, 1.15),
    (WorkloadName::W6, 1.50),
];

/// The part of the benchmark about the SLO.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    /// The workloads, of those with a demand.
    pub workloads: Vec<WorkloadName>,
}

impl Slo {
    fn gains(&self) -> impl Iterator<Item = (WorkloadName, f64)> + '_ {
        let wanted = |workload| self.workloads.contains(&workload);
        GAINS
            .into_iter()
            .filter(move |(workload, _)| wanted(*workload))
    }

    /// Asks for its experiments.
    pub fn plan(&self, plan: &mut Plan) {
        for (workload, _) in self.gains() {
            for load in loads() {
                for policy in [COST, ROUND_ROBIN] {
                    plan.add(experiment(workload, policy, load));
                }
            }
        }
    }

    /// The demand.
    pub fn measure(&self, results: &Results) -> Measure {
        let figures = self.gains().filter_map(|(workload, goal)| {
            let capacity = |policy| {
                let goodput = loads().map(|load| {
                    let scores = results.get(&experiment(workload, policy, load))?;
                    Some((f64::from(load), scores.goodput))
                });
                crossing(&goodput.collect::<Option<Vec<_>>>()?)
            };
            let ratio = capacity(COST)? / capacity(ROUND_ROBIN)?;
            let id = format!("routing.{}.cost_over_rr.capacity", workload.as_str());
            Some(Figure::at_least(id, ratio, goal))
        });
        Measure::new(
            "capacity under the SLO over round robin's: W2s 1.2, W3 1.15, W6 1.5",
            figures,
        )
    }
}

fn loads() -> impl Iterator<Item = u32> {
    (FIRST..=LAST).step_by(STEP)
}

fn experiment(workload: WorkloadName, policy: PolicyUnderTest, load: u32) -> Experiment {
    Experiment::new(Profile::Llama2, workload, policy, Load::Percent(load))
}

/// Where a curve of (load, goodput), in order of load, first falls below [`LEAST_GOODPUT`]; the last
/// load when it never does, `None` when it begins below.
fn crossing(curve: &[(f64, f64)]) -> Option<f64> {
    let mut above: Option<(f64, f64)> = None;
    for (load, goodput) in curve {
        if *goodput >= LEAST_GOODPUT {
            above = Some((*load, *goodput));
            continue;
        }
        let (from, value) = above?;
        return Some(from + (load - from) * (value - LEAST_GOODPUT) / (value - goodput));
    }
    above.map(|(load, _)| load)
}

#[cfg(test)]
mod tests {
    use super::crossing;

    #[test]
    fn the_crossing_lies_on_the_line_between_two_loads() {
        let curve = [(40.0, 1.0), (50.0, 1.0), (60.0, 0.8), (70.0, 0.95)];
        assert_eq!(crossing(&curve), Some(55.0));
        assert_eq!(crossing(&curve[..2]), Some(50.0), "as far as was looked");
        assert_eq!(crossing(&[(40.0, 0.5)]), None);
    }
}
