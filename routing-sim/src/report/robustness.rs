//! Ours with old signals, with several gateways and with a dead agent or none.

use super::{
    experiment::{Experiment, Load},
    figure::Figure,
    matrix::JUDGED,
    measure::Measure,
    policies::COST,
    runner::{Plan, Results},
    table::{Table, number},
};
use crate::{profile::Profile, workload::WorkloadName};

/// A circumstance that the benchmark's usual ones are kind about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hardship {
    /// Signals every second instead of every 50 ms.
    OldSignals,
    /// Eight gateways that hear of each other through one agent; every request comes through any.
    EightGateways,
    /// The same where a conversation keeps to one connection.
    EightGatewaysKept,
    /// The agent dies before the measurement: what it told has expired by then.
    DeadAgent,
    /// No agent ever: nobody tells anything that the gateway did not see itself.
    NoAgent,
}

impl Hardship {
    const ALL: [Self; 5] = [
        Self::OldSignals,
        Self::EightGateways,
        Self::EightGatewaysKept,
        Self::DeadAgent,
        Self::NoAgent,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::OldSignals => "cost_1s_over_50ms",
            Self::EightGateways => "cost_8gateways_over_1",
            Self::EightGatewaysKept => "cost_8gateways_kept_over_1",
            Self::DeadAgent => "cost_dead_agent_over_50ms",
            Self::NoAgent => "cost_no_agent_over_50ms",
        }
    }

    const fn demand(self) -> &'static str {
        match self {
            Self::OldSignals => "1 s signals: p90 TTFT over that with 50 ms, all workloads at 0.9",
            Self::EightGateways => {
                "8 gateways, one agent: p90 TTFT over one gateway's, all workloads at 0.9"
            }
            Self::EightGatewaysKept => {
                "the same, each conversation over one connection: p90 TTFT over one gateway's"
            }
            Self::DeadAgent => "agent dead: p90 TTFT over that with it, all workloads at 0.9",
            Self::NoAgent => "never an agent: p90 TTFT over that with one, all workloads at 0.9",
        }
    }

    const fn goal(self) -> f64 {
        match self {
            Self::OldSignals => 1.3,
            Self::EightGateways | Self::EightGatewaysKept => 1.2,
            Self::DeadAgent | Self::NoAgent => 1.5,
        }
    }

    fn strike(self, usual: Experiment) -> Experiment {
        match self {
            Self::OldSignals => Experiment {
                scrape_ms: 1_000,
                ..usual
            },
            Self::EightGateways => Experiment {
                gateways: 8,
                ..usual
            },
            Self::EightGatewaysKept => Experiment {
                gateways: 8,
                conversations_stay: true,
                ..usual
            },
            Self::DeadAgent => Experiment {
                agent_dies: true,
                ..usual
            },
            Self::NoAgent => Experiment {
                scrape_ms: 0,
                ..usual
            },
        }
    }
}

/// The part of the benchmark that makes life hard.
#[derive(Clone, Debug, PartialEq)]
pub struct Robustness {
    /// The workloads.
    pub workloads: Vec<WorkloadName>,
}

impl Robustness {
    /// Asks for its experiments.
    pub fn plan(&self, plan: &mut Plan) {
        for workload in &self.workloads {
            plan.add(usual(*workload));
            for hardship in Hardship::ALL {
                plan.add(hardship.strike(usual(*workload)));
            }
        }
    }

    /// The demands.
    pub fn measures(&self, results: &Results) -> Vec<Measure> {
        Hardship::ALL
            .iter()
            .map(|hardship| {
                let figures = self.workloads.iter().filter_map(|workload| {
                    let ratio = ratio(results, *workload, *hardship)?;
                    let load = f64::from(JUDGED) / 100.0;
                    let (workload, name) = (workload.as_str(), hardship.name());
                    let id = format!("routing.{workload}.{name}.ttft_p90@{load}");
                    Some(Figure::at_most(id, ratio, hardship.goal()))
                });
                Measure::new("robustness", hardship.demand(), figures)
            })
            .collect()
    }

    /// The p90 time to the first token of every workload.
    pub fn table(&self, results: &Results) -> Table {
        let mut table = Table::new([
            "p90 TTFT (s) at 0.9",
            "usual",
            "1 s signals",
            "8 gateways",
            "8 gateways, kept connections",
            "dead agent",
            "never an agent",
        ]);
        for workload in &self.workloads {
            let ttft = |experiment| {
                let scores = results.get(&experiment);
                scores.map_or_else(String::new, |scores| number(scores.ttft_p90))
            };
            let mut row = vec![workload.title().to_owned(), ttft(usual(*workload))];
            row.extend(Hardship::ALL.map(|hardship| ttft(hardship.strike(usual(*workload)))));
            table.rows.push(row);
        }
        table
    }
}

fn usual(workload: WorkloadName) -> Experiment {
    Experiment::new(Profile::Llama2, workload, COST, Load::Percent(JUDGED))
}

fn ratio(results: &Results, workload: WorkloadName, hardship: Hardship) -> Option<f64> {
    let hard = results.get(&hardship.strike(usual(workload)))?;
    Some(hard.ttft_p90 / results.get(&usual(workload))?.ttft_p90)
}
