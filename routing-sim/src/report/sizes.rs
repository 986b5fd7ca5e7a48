//! Small and large pools, many gateways and workers.

use super::{
    experiment::{Experiment, Load},
    matrix::JUDGED,
    policies::{BLEND, COST, ORACLE, ROUND_ROBIN},
    runner::{Plan, Results},
    table::{Table, number},
};
use crate::{PolicyUnderTest, profile::Profile, workload::WorkloadName};

const PODS: [u32; 4] = [3, 10, 50, 200];
const POLICIES: [PolicyUnderTest; 4] = [COST, BLEND, ROUND_ROBIN, ORACLE];
/// Gateways and workers of each.
const GATEWAYS: [(u32, u32); 7] = [(1, 1), (1, 8), (4, 1), (8, 2), (16, 1), (50, 1), (50, 8)];
/// Pods behind them: at 400 workers over ten pods most workers would see a request a second.
const PODS_OF_GATEWAYS: u32 = 50;

/// The workloads that are looked at: plain chat, much to share, long prompts.
const WORKLOADS: [WorkloadName; 3] = [WorkloadName::W1, WorkloadName::W2s, WorkloadName::W3];

/// The part of the benchmark about sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizes {
    /// The workloads; only plain chat, big system prompts and long prompts are looked at.
    pub workloads: Vec<WorkloadName>,
}

impl Sizes {
    /// Those that there are tables of.
    pub fn workloads(&self) -> impl Iterator<Item = WorkloadName> + '_ {
        let wanted = |workload: &WorkloadName| self.workloads.contains(workload);
        WORKLOADS.into_iter().filter(wanted)
    }

    /// Asks for its experiments.
    pub fn plan(&self, plan: &mut Plan) {
        for workload in self.workloads() {
            for policy in POLICIES {
                for pods in PODS {
                    plan.add(of_pods(workload, policy, pods));
                }
            }
            for policy in [COST, BLEND, ROUND_ROBIN] {
                for gateways in GATEWAYS {
                    plan.add(of_gateways(workload, policy, gateways));
                }
            }
        }
    }

    /// The p90 time to the first token over the pool's size.
    pub fn pods(&self, results: &Results, workload: WorkloadName) -> Table {
        let mut table = Table::new(["p90 TTFT (s) at 0.9"]);
        table.head.extend(PODS.map(|pods| format!("{pods} pods")));
        for policy in POLICIES {
            let mut row = vec![policy.as_str().to_owned()];
            row.extend(PODS.map(|pods| ttft(results, &of_pods(workload, policy, pods))));
            table.rows.push(row);
        }
        table
    }

    /// The p90 time to the first token over gateways and workers, with 50 pods.
    pub fn gateways(&self, results: &Results, workload: WorkloadName) -> Table {
        let mut table = Table::new(["p90 TTFT (s) at 0.9, gateways x workers"]);
        let names = GATEWAYS.map(|(gateways, workers)| format!("{gateways} x {workers}"));
        table.head.extend(names);
        for policy in [COST, BLEND, ROUND_ROBIN] {
            let mut row = vec![policy.as_str().to_owned()];
            let cells = GATEWAYS.map(|size| ttft(results, &of_gateways(workload, policy, size)));
            row.extend(cells);
            table.rows.push(row);
        }
        table
    }
}

fn of_pods(workload: WorkloadName, policy: PolicyUnderTest, pods: u32) -> Experiment {
    Experiment {
        pods,
        ..Experiment::new(Profile::Llama2, workload, policy, Load::Percent(JUDGED))
    }
}

fn of_gateways(
    workload: WorkloadName,
    policy: PolicyUnderTest,
    (gateways, workers): (u32, u32),
) -> Experiment {
    Experiment {
        gateways,
        workers,
        ..of_pods(workload, policy, PODS_OF_GATEWAYS)
    }
}

fn ttft(results: &Results, experiment: &Experiment) -> String {
    let scores = results.get(experiment);
    scores.map_or_else(String::new, |scores| number(scores.ttft_p90))
}
