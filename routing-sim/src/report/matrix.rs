//! Every workload under every policy at every load: tables, and how far ours is from the oracle and
//! from the best of the others.

use super::{
    experiment::{Experiment, Load},
    figure::{Better, Figure},
    measure::Measure,
    policies::{BASELINES, BLEND, COST, GIE_0605, GIE_V03, ORACLE},
    runner::{Plan, Results},
    scores::{Metric, Scores},
    table::{Table, number},
};
use crate::{PolicyUnderTest, profile::Profile, workload::WorkloadName};

/// The load at which policies are judged against the oracle, in percent.
pub const JUDGED: u32 = 90;
/// The loads at which nothing may be worse than a baseline, in percent.
pub const LOADS: [u32; 6] = [30, 50, 70, 90, 100, 110];

/// The most that ours may need of the oracle's p90 time to the first token.
const ORACLE_GOAL: f64 = 1.15;
/// The most that ours may need of the better scraped policy's.
const SCRAPED_GOAL: f64 = 0.5;
/// The most by which ours may be worse than any baseline in any metric, as a factor.
const BASELINE_GOAL: f64 = 1.05;
/// The same for the time to the first token of W2s.
const BASELINE_GOAL_W2S: f64 = 1.07;
/// The least share of the oracle's prefix hits in conversations.
const HIT_GOAL: f64 = 0.95;

/// A part of the matrix: one kind of engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// The engines.
    pub profile: Profile,
    /// Rows of tables.
    pub policies: Vec<PolicyUnderTest>,
    /// A table each.
    pub workloads: Vec<WorkloadName>,
    /// In percent of the capacity.
    pub loads: Vec<u32>,
}

impl Matrix {
    /// Asks for its experiments.
    pub fn plan(&self, plan: &mut Plan) {
        for workload in &self.workloads {
            for load in &self.loads {
                for policy in &self.policies {
                    plan.add(self.experiment(*workload, *policy, *load));
                }
            }
        }
    }

    fn experiment(&self, workload: WorkloadName, policy: PolicyUnderTest, load: u32) -> Experiment {
        Experiment::new(self.profile, workload, policy, Load::Percent(load))
    }

    fn scores(
        &self,
        results: &Results,
        workload: WorkloadName,
        policy: PolicyUnderTest,
        load: u32,
    ) -> Option<Scores> {
        results.get(&self.experiment(workload, policy, load))
    }

    /// The value of each policy's each metric.
    pub fn figures(&self, results: &Results) -> Vec<Figure> {
        let mut figures = Vec::new();
        for (workload, load, policy) in self.cells() {
            let Some(scores) = self.scores(results, workload, policy, load) else {
                continue;
            };
            for metric in Metric::ALL {
                let better = if metric.more_is_better() {
                    Better::Higher
                } else {
                    Better::Lower
                };
                let name = format!("{}.{}", policy.as_str(), metric.as_str());
                let id = self.id(workload, &name, load);
                figures.push(Figure::new(id, scores.get(metric), metric.unit(), better));
            }
        }
        figures
    }

    fn cells(&self) -> impl Iterator<Item = (WorkloadName, u32, PolicyUnderTest)> + '_ {
        self.workloads.iter().flat_map(move |workload| {
            self.loads.iter().flat_map(move |load| {
                let policies = self.policies.iter();
                policies.map(move |policy| (*workload, *load, *policy))
            })
        })
    }

    fn id(&self, workload: WorkloadName, name: &str, load: u32) -> String {
        let load = f64::from(load) / 100.0;
        let profile = profile_prefix(self.profile);
        format!("routing.{profile}{}.{name}@{load}", workload.as_str())
    }

    /// The demands on these engines.
    pub fn measures(&self, results: &Results) -> Vec<Measure> {
        let mut measures = Vec::new();
        let engines = match self.profile {
            Profile::Llama2 => "",
            Profile::SeedH100 => " (seed's pods)",
            Profile::GroupedQuery8b => " (grouped-query 8B)",
        };
        if self.profile == Profile::Llama2 {
            measures.push(Measure::new(
                self.profile.as_str(),
                "p90 TTFT over the oracle's, W1-W4, W6, W7 at 0.9",
                self.over_oracle(results),
            ));
            measures.push(Measure::new(
                self.profile.as_str(),
                "p90 TTFT over the better of June-2025 tree and blend, W1, W3, W6, W7 at 0.9",
                self.over_scraped(results),
            ));
            measures.push(Measure::new(
                self.profile.as_str(),
                "prefix hits over the oracle's, W2, W2s at 0.9",
                self.hits(results),
            ));
        }
        for metric in Metric::COMPARED {
            measures.push(Measure::new(
                self.profile.as_str(),
                format!(
                    "{} against the best baseline, all workloads and loads{engines}",
                    metric.as_str()
                ),
                self.against_best(results, metric),
            ));
        }
        measures
    }

    fn over_oracle(&self, results: &Results) -> Vec<Figure> {
        use WorkloadName::{W1, W2, W3, W4, W6, W7};
        self.ratios([W1, W2, W3, W4, W6, W7], |workload| {
            let [cost, oracle] =
                [COST, ORACLE].map(|policy| self.scores(results, workload, policy, JUDGED));
            let id = self.id(workload, "cost_over_oracle.ttft_p90", JUDGED);
            Some(Figure::at_most(
                id,
                cost?.ttft_p90 / oracle?.ttft_p90,
                ORACLE_GOAL,
            ))
        })
    }

    fn over_scraped(&self, results: &Results) -> Vec<Figure> {
        use WorkloadName::{W1, W3, W6, W7};
        self.ratios([W1, W3, W6, W7], |workload| {
            let ttft = |policy| {
                let scores = self.scores(results, workload, policy, JUDGED);
                scores.map(|scores| scores.ttft_p90)
            };
            let scraped = [GIE_V03, GIE_0605, BLEND].into_iter().filter_map(ttft);
            let better = scraped.min_by(f64::total_cmp)?;
            let id = self.id(workload, "cost_over_scraped.ttft_p90", JUDGED);
            Some(Figure::at_most(id, ttft(COST)? / better, SCRAPED_GOAL))
        })
    }

    fn hits(&self, results: &Results) -> Vec<Figure> {
        use WorkloadName::{W2, W2s};
        self.ratios([W2, W2s], |workload| {
            let [cost, oracle] =
                [COST, ORACLE].map(|policy| self.scores(results, workload, policy, JUDGED));
            let id = self.id(workload, "cost_over_oracle.hit", JUDGED);
            Some(Figure::at_least(id, cost?.hit / oracle?.hit, HIT_GOAL))
        })
    }

    fn ratios(
        &self,
        workloads: impl IntoIterator<Item = WorkloadName>,
        figure: impl Fn(WorkloadName) -> Option<Figure>,
    ) -> Vec<Figure> {
        workloads.into_iter().filter_map(figure).collect()
    }

    /// By which factor ours is worse than the best baseline of each workload and load.
    fn against_best(&self, results: &Results, metric: Metric) -> Vec<Figure> {
        let mut figures = Vec::new();
        for workload in &self.workloads {
            for load in self.loads.iter().filter(|load| LOADS.contains(load)) {
                let value = |policy| {
                    let scores = self.scores(results, *workload, policy, *load);
                    scores.map(|scores| scores.get(metric))
                };
                let Some(ours) = value(COST) else {
                    continue;
                };
                let baselines = BASELINES.into_iter().filter_map(value);
                let worse = baselines.map(|other| metric.times_worse(ours, other));
                let Some(worst) = worse.max_by(f64::total_cmp) else {
                    continue;
                };
                let w2s = *workload == WorkloadName::W2s && metric == Metric::TtftP90;
                let goal = if w2s {
                    BASELINE_GOAL_W2S
                } else {
                    BASELINE_GOAL
                };
                let name = format!("cost_against_best.{}", metric.as_str());
                figures.push(Figure::at_most(
                    self.id(*workload, &name, *load),
                    worst,
                    goal,
                ));
            }
        }
        figures
    }

    /// A table of all policies and metrics at a load.
    pub fn table(&self, results: &Results, workload: WorkloadName, load: u32) -> Table {
        let classes = workload == WorkloadName::W5;
        let mut table = Table::new([
            "policy",
            "p90 TTFT (s)",
            "p90 per token (s)",
            "p90 latency (s)",
            "goodput",
            "prefix hits",
            "requests/s",
        ]);
        if classes {
            table.head.push("critical p90 TTFT (s)".to_owned());
        }
        for policy in &self.policies {
            let Some(scores) = self.scores(results, workload, *policy, load) else {
                continue;
            };
            let mut row = vec![policy.as_str().to_owned()];
            row.extend(Metric::ALL.map(|metric| number(scores.get(metric))));
            row.push(number(scores.throughput));
            if classes {
                row.push(number(scores.critical_ttft_p90));
            }
            table.rows.push(row);
        }
        table
    }

    /// One metric of a policy over the loads, as shares of the capacity.
    pub fn points(
        &self,
        results: &Results,
        workload: WorkloadName,
        policy: PolicyUnderTest,
        metric: Metric,
    ) -> Vec<(f64, f64)> {
        let points = self.loads.iter().filter_map(|load| {
            let scores = self.scores(results, workload, policy, *load)?;
            Some((f64::from(*load) / 100.0, scores.get(metric)))
        });
        points.collect()
    }

    /// One metric over the loads, a column each.
    pub fn curve(&self, results: &Results, workload: WorkloadName, metric: Metric) -> Table {
        let mut table = Table::new(["policy"]);
        let loads = self.loads.iter();
        let names = loads.map(|load| format!("{}", f64::from(*load) / 100.0));
        table.head.extend(names);
        for policy in &self.policies {
            let mut row = vec![policy.as_str().to_owned()];
            row.extend(self.loads.iter().map(|load| {
                let scores = self.scores(results, workload, *policy, *load);
                scores.map_or_else(String::new, |scores| number(scores.get(metric)))
            }));
            table.rows.push(row);
        }
        table
    }
}

/// What comes before the workload in the ids of figures.
pub fn profile_prefix(profile: Profile) -> &'static str {
    match profile {
        Profile::Llama2 => "",
        Profile::SeedH100 => "seed.",
        Profile::GroupedQuery8b => "gqa.",
    }
}
