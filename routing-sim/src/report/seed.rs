//! The seed's benchmark, repeated in the simulator: ShareGPT-like chat at 100 to 1,000 requests per
//! second over ten pods that saturate where the published ones did.

use super::{
    experiment::{Experiment, Load},
    figure::{Better, Figure},
    measure::Measure,
    plot::{Panel, Series, Sheet},
    policies::{BLEND, COST, GIE_V03, ORACLE, RANDOM, ROUND_ROBIN},
    runner::{Plan, Results},
    scores::Scores,
    table::{Table, number},
};
use crate::{PolicyUnderTest, profile::Profile, workload::WorkloadName};
use picker::policy::PolicyName;

/// Requests per second: the published steps, and more of them around the knee.
pub const QPS: [u32; 15] = [
    100, 200, 250, 300, 325, 350, 375, 400, 425, 450, 500, 600, 700, 800, 1_000,
];
/// Rows and lines: ours, the K8s Service (round robin at its best, random as connections are dealt),
/// the picker of June 2025, today's peers, and what could be had at most.
const POLICIES: [PolicyUnderTest; 8] = [
    COST,
    ROUND_ROBIN,
    RANDOM,
    GIE_V03,
    BLEND,
    PolicyUnderTest::Picker(PolicyName::Sticky),
    PolicyUnderTest::Picker(PolicyName::Higress),
    ORACLE,
];
/// The knee: the lowest load at which round robin's time per token is more than this many times its
/// value at half of the capacity.
const KNEE: f64 = 3.0;
/// The most that ours may need of round robin's time per token there.
const KNEE_GOAL: f64 = 0.5;
/// The least share of round robin's throughput up to there.
const THROUGHPUT_GOAL: f64 = 0.98;

/// The seed's benchmark.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedBenchmark {
    /// Requests per second, in order.
    pub qps: Vec<u32>,
}

impl SeedBenchmark {
    /// Asks for its experiments.
    pub fn plan(&self, plan: &mut Plan) {
        for policy in POLICIES {
            for qps in &self.qps {
                plan.add(experiment(policy, *qps));
            }
        }
    }

    fn curve(
        &self,
        results: &Results,
        policy: PolicyUnderTest,
        value: impl Fn(Scores) -> f64,
    ) -> Vec<(f64, f64)> {
        let points = self.qps.iter().filter_map(|qps| {
            let scores = results.get(&experiment(policy, *qps))?;
            Some((f64::from(*qps), value(scores)))
        });
        points.collect()
    }

    /// The lowest swept load at which round robin's time per output token has its knee, in requests
    /// per second.
    pub fn knee(&self, results: &Results) -> Option<u32> {
        let half = super::capacity::of_ten(Profile::SeedH100, WorkloadName::W1) / 2.0;
        let curve = self.curve(results, ROUND_ROBIN, |scores| scores.ntpot_p90);
        let distance = |point: &(f64, f64)| (point.0 - half).abs();
        let at_half = curve
            .iter()
            .min_by(|one, other| distance(one).total_cmp(&distance(other)))?;
        let knee = curve.iter().find(|point| point.1 > KNEE * at_half.1)?;
        Some(knee.0 as u32)
    }

    /// The demands.
    pub fn measures(&self, results: &Results) -> Vec<Measure> {
        let knee = self.knee(results);
        let time_per_token = knee.and_then(|knee| {
            let [cost, rr] =
                [COST, ROUND_ROBIN].map(|policy| results.get(&experiment(policy, knee)));
            Some(Figure::at_most(
                "routing.seed.cost_over_rr.ntpot_p90@knee".to_owned(),
                cost?.ntpot_p90 / rr?.ntpot_p90,
                KNEE_GOAL,
            ))
        });
        let throughputs = self
            .qps
            .iter()
            .filter(|qps| knee.is_some_and(|knee| **qps <= knee));
        let throughput = throughputs.filter_map(|qps| {
            let [cost, rr] =
                [COST, ROUND_ROBIN].map(|policy| results.get(&experiment(policy, *qps)));
            Some(Figure::at_least(
                format!("routing.seed.cost_over_rr.throughput@{qps}qps"),
                cost?.throughput / rr?.throughput,
                THROUGHPUT_GOAL,
            ))
        });
        let at = knee.map_or("none".to_owned(), |knee| format!("{knee} requests/s"));
        vec![
            Measure::new(
                "seed",
                format!("seed's benchmark: p90 per token over round robin's at the knee ({at})"),
                time_per_token,
            ),
            Measure::new(
                "seed",
                "seed's benchmark: throughput over round robin's up to the knee",
                throughput,
            ),
        ]
    }

    /// The value of each policy's each metric, and what the oracle makes of the knee.
    pub fn figures(&self, results: &Results) -> Vec<Figure> {
        let mut figures = Vec::new();
        let at_knee = self.knee(results).and_then(|knee| {
            let [oracle, rr] =
                [ORACLE, ROUND_ROBIN].map(|policy| results.get(&experiment(policy, knee)));
            Some(oracle?.ntpot_p90 / rr?.ntpot_p90)
        });
        figures.extend(at_knee.map(|ratio| {
            let id = "routing.seed.oracle_over_rr.ntpot_p90@knee".to_owned();
            Figure::new(id, ratio, "x", Better::Lower)
        }));
        for policy in POLICIES {
            for qps in &self.qps {
                let Some(scores) = results.get(&experiment(policy, *qps)) else {
                    continue;
                };
                let mut figure = |metric, value, unit, better| {
                    let id = format!("routing.seed.{}.{metric}@{qps}qps", policy.as_str());
                    figures.push(Figure::new(id, value, unit, better));
                };
                figure("ttft_p90", scores.ttft_p90, "s", Better::Lower);
                figure("ntpot_p90", scores.ntpot_p90, "s", Better::Lower);
                figure("e2e_p90", scores.e2e_p90, "s", Better::Lower);
                figure("throughput", scores.throughput, "1/s", Better::Higher);
            }
        }
        figures
    }

    /// One value over the loads, a column each.
    pub fn table(&self, results: &Results, name: &str, value: fn(Scores) -> f64) -> Table {
        let mut table = Table::new([name]);
        table.head.extend(self.qps.iter().map(u32::to_string));
        for policy in POLICIES {
            let mut row = vec![policy.as_str().to_owned()];
            let curve = self.curve(results, policy, value);
            row.extend(curve.iter().map(|(_, value)| number(*value)));
            table.rows.push(row);
        }
        table
    }

    /// The picture of one value over the loads.
    pub fn sheet(&self, results: &Results, view: &View) -> Sheet {
        let series = POLICIES.iter().map(|policy| Series {
            name: policy.as_str().to_owned(),
            points: self.curve(results, *policy, view.value),
        });
        Sheet {
            title: format!("{}, 10 pods (simulated)", view.title),
            footnote: FOOTNOTE.to_owned(),
            columns: 1,
            panel_size: (640.0, 320.0),
            panels: vec![Panel {
                title: String::new(),
                x: "requests per second".to_owned(),
                y: view.unit.to_owned(),
                logarithmic: view.logarithmic,
                ceiling: view.ceiling,
                series: series.collect(),
            }],
        }
    }
}

/// What stands below every picture.
pub const FOOTNOTE: &str = "Simulated, other systems' policies too: ratios count, not milliseconds. \
                            Points on the upper edge lie beyond it.";

/// One way to look at the sweep.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// The picture's file without its ending.
    pub file: &'static str,
    /// What stands above picture and table.
    pub title: &'static str,
    /// What y is.
    pub unit: &'static str,
    /// Whether equal ratios take equal room.
    pub logarithmic: bool,
    /// Where the picture ends: what is beyond, refused requests too, lies on the upper edge.
    pub ceiling: Option<f64>,
    /// What is shown.
    pub value: fn(Scores) -> f64,
}

/// The views of the sweep: the published chart's three and the time to the first token.
pub const VIEWS: [View; 4] = [
    View {
        file: "seed-throughput",
        title: "Throughput",
        unit: "requests finished per second",
        logarithmic: false,
        ceiling: None,
        value: |scores| scores.throughput,
    },
    View {
        file: "seed-time-per-token",
        title: "p90 time per output token",
        unit: "seconds per token",
        logarithmic: true,
        ceiling: Some(1.0),
        value: |scores| scores.ntpot_p90,
    },
    View {
        file: "seed-latency",
        title: "p90 latency",
        unit: "seconds",
        logarithmic: true,
        ceiling: Some(100.0),
        value: |scores| scores.e2e_p90,
    },
    View {
        file: "seed-ttft",
        title: "p90 time to the first token",
        unit: "seconds",
        logarithmic: true,
        ceiling: Some(100.0),
        value: |scores| scores.ttft_p90,
    },
];

fn experiment(policy: PolicyUnderTest, qps: u32) -> Experiment {
    Experiment::new(Profile::SeedH100, WorkloadName::W1, policy, Load::Qps(qps))
}
