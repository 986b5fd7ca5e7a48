//! Capacity under the SLO: how much a policy can be given before more than one request in a hundred
//! waits longer than a second for its first token or longer than 50 ms for each of the others.
//!
//! Goodput is measured on a grid of loads and drawn as straight lines between them; the capacity is
//! where it first falls below 0.99, the least that the scheduling study calls kept. Where it falls
//! below 0.9 and what the oracle reaches are told beside it: the later one looks, the more all
//! policies are just overloaded.

use super::{
    experiment::{Experiment, Load},
    figure::{Better, Figure},
    measure::Measure,
    policies::{COST, ORACLE, ROUND_ROBIN},
    runner::{Plan, Results},
    table::{Table, number},
};
use crate::{PolicyUnderTest, profile::Profile, workload::WorkloadName};

/// The share of requests that must be answered within the SLO, and its name in figures.
const JUDGED: (f64, &str) = (0.99, "capacity");
/// Another share, for comparison.
const LENIENT: (f64, &str) = (0.9, "capacity_at_0.9");
/// The loads of the grid, in percent.
const FIRST: u32 = 60;
const LAST: u32 = 150;
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
                for policy in [COST, ORACLE, ROUND_ROBIN] {
                    plan.add(experiment(workload, policy, load));
                }
            }
        }
    }

    /// The demand.
    pub fn measure(&self, results: &Results) -> Measure {
        let figures = self.gains().filter_map(|(workload, goal)| {
            let gain = gain(results, workload, COST, JUDGED)?;
            Some(Figure {
                goal: Some(goal),
                ..gain
            })
        });
        Measure::new(
            "slo",
            "capacity under the SLO (99 in 100) over round robin's: W2s 1.2, W3 1.15, W6 1.5",
            figures,
        )
    }

    /// What to compare the demand's figures with.
    pub fn figures(&self, results: &Results) -> Vec<Figure> {
        let others = [(ORACLE, JUDGED), (COST, LENIENT), (ORACLE, LENIENT)];
        self.gains()
            .flat_map(|(workload, _)| {
                others.map(|(policy, share)| gain(results, workload, policy, share))
            })
            .flatten()
            .collect()
    }

    /// The capacities as shares of the oracle's at load 1.
    pub fn table(&self, results: &Results) -> Table {
        let mut table = Table::new([
            "load at which goodput falls below",
            "rr 0.99",
            "cost 0.99",
            "oracle 0.99",
            "rr 0.9",
            "cost 0.9",
            "oracle 0.9",
        ]);
        for (workload, _) in self.gains() {
            let mut row = vec![workload.title().to_owned()];
            for (share, _) in [JUDGED, LENIENT] {
                row.extend([ROUND_ROBIN, COST, ORACLE].map(|policy| {
                    let found = capacity(results, workload, policy, share);
                    found.map_or_else(|| "-".to_owned(), |load| number(load / 100.0))
                }));
            }
            table.rows.push(row);
        }
        table
    }
}

/// By which factor a policy's capacity exceeds round robin's.
fn gain(
    results: &Results,
    workload: WorkloadName,
    policy: PolicyUnderTest,
    (share, name): (f64, &str),
) -> Option<Figure> {
    let of = |policy| capacity(results, workload, policy, share);
    let id = format!(
        "routing.{}.{}_over_rr.{name}",
        workload.as_str(),
        policy.as_str()
    );
    let ratio = of(policy)? / of(ROUND_ROBIN)?;
    Some(Figure::new(id, ratio, "x", Better::Higher))
}

fn capacity(
    results: &Results,
    workload: WorkloadName,
    policy: PolicyUnderTest,
    share: f64,
) -> Option<f64> {
    let goodput = loads().map(|load| {
        let scores = results.get(&experiment(workload, policy, load))?;
        Some((f64::from(load), scores.goodput))
    });
    crossing(&goodput.collect::<Option<Vec<_>>>()?, share)
}

fn loads() -> impl Iterator<Item = u32> {
    (FIRST..=LAST).step_by(STEP)
}

fn experiment(workload: WorkloadName, policy: PolicyUnderTest, load: u32) -> Experiment {
    Experiment::new(Profile::Llama2, workload, policy, Load::Percent(load))
}

/// Where a curve of (load, goodput), in order of load, first falls below `share`; the last load
/// when it never does, `None` when it begins below.
fn crossing(curve: &[(f64, f64)], share: f64) -> Option<f64> {
    let mut above: Option<(f64, f64)> = None;
    for (load, goodput) in curve {
        if *goodput >= share {
            above = Some((*load, *goodput));
            continue;
        }
        let (from, value) = above?;
        return Some(from + (load - from) * (value - share) / (value - goodput));
    }
    above.map(|(load, _)| load)
}

#[cfg(test)]
mod tests {
    use super::crossing;

    #[test]
    fn the_crossing_lies_on_the_line_between_two_loads() {
        let curve = [(40.0, 1.0), (50.0, 1.0), (60.0, 0.8), (70.0, 0.95)];
        assert_eq!(crossing(&curve, 0.9), Some(55.0));
        assert_eq!(
            crossing(&curve[..2], 0.9),
            Some(50.0),
            "as far as was looked"
        );
        assert_eq!(crossing(&[(40.0, 0.5)], 0.9), None);
    }
}
