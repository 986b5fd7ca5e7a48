//! The benchmark of admission: W5, half critical and half sheddable, from below capacity to far beyond.
//!
//! ```text
//!   systems x loads x seeds --threads--> Row (goodput, p90 TTFT by priority)
//!                                          |--> figures --merged--> admission.json
//!                                          '--> tables, pictures --> docs/benchmarks/admission.md
//! ```
//!
//! What is shown of the reference is simulated like everything else: its policies of scraped metrics with its
//! saturation rule, on the same pods and requests.

pub mod cli;
mod system;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use admission::AdmissionConfig;
pub use system::System;

use super::{
    experiment::{Experiment, Load, Seconds},
    figure::{Better, Figure},
    plot::{Panel, Series, Sheet},
    scores::NO_ANSWER,
    table::{Table, number},
};
use crate::{Outcome, Status, profile::Profile, simulate, workload::WorkloadName};

/// The priority of critical requests in the records.
const CRITICAL: i32 = 1;
/// The loads, in percent of the capacity.
pub const LOADS: [u32; 9] = [60, 80, 100, 110, 120, 135, 150, 175, 200];
/// Goodput of all requests should be at least this share of the reference's.
const GOODPUT_GOAL: f64 = 1.08;
/// Critical p90 TTFT should be at most this share of the reference's.
const TTFT_GOAL: f64 = 0.15;

/// What a panel shows of a row.
type Shown = fn(&Row) -> f64;

/// What came of one system at one load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Row {
    /// The share of all requests that were answered within the SLO.
    pub goodput: f64,
    /// The same of the critical ones.
    pub critical_goodput: f64,
    /// 90th percentile of the critical ones' time to the first token, in seconds; those without an answer
    /// count as [`NO_ANSWER`].
    pub critical_ttft_p90: f64,
    /// The same of the sheddable ones that were answered.
    pub sheddable_ttft_p90: f64,
    /// The share of the sheddable ones that were refused.
    pub shed: f64,
    /// The share of the critical ones that were not answered.
    pub critical_lost: f64,
}

impl Row {
    /// Reads an outcome.
    fn of(outcome: &Outcome) -> Self {
        let of = |critical: bool| {
            let requests = outcome.requests.iter();
            requests.filter(move |request| (request.priority == CRITICAL) == critical)
        };
        let count = |critical| of(critical).count() as f64;
        let lost = |critical| {
            let lost = of(critical).filter(|request| request.status != Status::Finished);
            lost.count() as f64 / count(critical)
        };
        let ttft = |critical: bool, of_the_lost: bool| {
            let mut values: Vec<f64> = of(critical)
                .filter_map(|request| match request.status {
                    Status::Finished => Some(request.ttft),
                    Status::Refused | Status::Failed => of_the_lost.then_some(NO_ANSWER),
                })
                .collect();
            values.sort_unstable_by(f64::total_cmp);
            let at = (values.len() * 9 / 10).min(values.len().saturating_sub(1));
            values.get(at).copied().unwrap_or(f64::NAN)
        };
        Self {
            goodput: outcome.goodput(),
            critical_goodput: of(true).filter(|request| request.is_good()).count() as f64
                / count(true),
            critical_ttft_p90: ttft(true, true),
            sheddable_ttft_p90: ttft(false, false),
            shed: lost(false),
            critical_lost: lost(true),
        }
    }

    fn mean(rows: &[Self]) -> Self {
        let mean = |value: fn(&Self) -> f64| {
            let values = rows.iter().map(value).filter(|value| !value.is_nan());
            let (count, sum) =
                values.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
            sum / count
        };
        Self {
            goodput: mean(|row| row.goodput),
            critical_goodput: mean(|row| row.critical_goodput),
            critical_ttft_p90: mean(|row| row.critical_ttft_p90),
            sheddable_ttft_p90: mean(|row| row.sheddable_ttft_p90),
            shed: mean(|row| row.shed),
            critical_lost: mean(|row| row.critical_lost),
        }
    }
}

/// What is to be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Bench {
    /// Who is compared.
    pub systems: Vec<System>,
    /// Percent of the capacity.
    pub loads: Vec<u32>,
    /// Each runs once with each of these.
    pub seeds: Vec<u64>,
    /// How long.
    pub seconds: Seconds,
    /// Workers of the gateway.
    pub workers: u32,
    /// How zerohop admits.
    pub rules: AdmissionConfig,
    /// Runs at the same time.
    pub threads: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    bench: Bench,
    rows: BTreeMap<(System, u32), Row>,
}

impl Bench {
    fn one(&self, system: System, load: u32, seed: u64) -> Row {
        let workload = WorkloadName::W5;
        let experiment = Experiment {
            workers: self.workers,
            ..Experiment::new(
                Profile::Llama2,
                workload,
                system.policy(),
                Load::Percent(load),
            )
        };
        let mut scenario = experiment.scenario(seed, self.seconds);
        scenario.admission = system.admission(self.rules);
        let mut requests = workload.requests(seed, experiment.requests_per_second());
        Row::of(&simulate(&scenario, requests.as_mut()))
    }

    /// Runs everything. The results do not depend on the number of threads.
    pub fn run(self) -> Report {
        let mut runs = Vec::new();
        for system in &self.systems {
            for load in &self.loads {
                runs.extend(self.seeds.iter().map(|seed| (*system, *load, *seed)));
            }
        }
        let next = AtomicUsize::new(0);
        let done: Mutex<BTreeMap<usize, Row>> = Mutex::default();
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    while let Some((system, load, seed)) =
                        runs.get(next.fetch_add(1, Ordering::Relaxed)).copied()
                    {
                        let row = self.one(system, load, seed);
                        let at = runs.iter().position(|run| *run == (system, load, seed));
                        // Poisoned only when another run panicked, and then the scope panics too.
                        if let (Some(at), Ok(mut done)) = (at, done.lock()) {
                            done.insert(at, row);
                        }
                    }
                });
            }
        });
        let done = done.into_inner().unwrap_or_default();
        let mut grouped: BTreeMap<(System, u32), Vec<Row>> = BTreeMap::new();
        for ((system, load, _), row) in runs.iter().zip(done.values()) {
            grouped.entry((*system, *load)).or_default().push(*row);
        }
        let means = grouped.iter().map(|(key, rows)| (*key, Row::mean(rows)));
        Report {
            rows: means.collect(),
            bench: self,
        }
    }
}

impl Report {
    fn row(&self, system: System, load: u32) -> Option<&Row> {
        self.rows.get(&(system, load))
    }

    /// The reference at its best: whichever of its systems does better.
    fn reference(&self, load: u32, value: fn(&Row) -> f64, better: Better) -> Option<f64> {
        let rows = System::REFERENCES.iter();
        let values = rows.filter_map(|system| Some(value(self.row(*system, load)?)));
        match better {
            Better::Higher => values.max_by(f64::total_cmp),
            Better::Lower => values.min_by(f64::total_cmp),
        }
    }

    /// The figures that the issue names, with their ratios as goals.
    pub fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        let mut compare = |id: &str, unit, load: u32, value: fn(&Row) -> f64, better, goal: f64| {
            let ours = self.row(System::Ours, load).map(value);
            let (Some(ours), Some(reference)) = (ours, self.reference(load, value, better)) else {
                return;
            };
            let share = f64::from(load) / 100.0;
            // As 2.0 and not 2: the loads are shares.
            let name = |who: &str| format!("admission.{id}.{who}@{share:.1}");
            figures.push(Figure {
                goal: Some(goal * reference),
                ..Figure::new(name("ours"), ours, unit, better)
            });
            figures.push(Figure::new(name("reference"), reference, unit, better));
        };
        for load in [120, 150] {
            let goodput: fn(&Row) -> f64 = |row| row.goodput;
            compare(
                "goodput",
                "share",
                load,
                goodput,
                Better::Higher,
                GOODPUT_GOAL,
            );
        }
        let ttft: fn(&Row) -> f64 = |row| row.critical_ttft_p90;
        compare(
            "critical_ttft_p90_s",
            "s",
            200,
            ttft,
            Better::Lower,
            TTFT_GOAL,
        );
        figures
    }

    /// Every system at every load.
    pub fn table(&self) -> Table {
        let mut table = Table::new([
            "load",
            "system",
            "goodput",
            "critical goodput",
            "critical p90 TTFT (s)",
            "critical lost",
            "sheddable p90 TTFT (s)",
            "sheddable refused",
        ]);
        for load in &self.bench.loads {
            for system in &self.bench.systems {
                let Some(row) = self.row(*system, *load) else {
                    continue;
                };
                table.rows.push(vec![
                    number(f64::from(*load) / 100.0),
                    system.title().to_owned(),
                    format!("{:.3}", row.goodput),
                    format!("{:.3}", row.critical_goodput),
                    number(row.critical_ttft_p90),
                    format!("{:.3}", row.critical_lost),
                    number(row.sheddable_ttft_p90),
                    format!("{:.3}", row.shed),
                ]);
            }
        }
        table
    }

    /// The pictures by file name.
    pub fn sheets(&self) -> [(&'static str, Sheet); 2] {
        let panel = |title: &str, y: &str, logarithmic, value: fn(&Row) -> f64| Panel {
            title: title.to_owned(),
            x: "offered load, as a share of capacity".to_owned(),
            y: y.to_owned(),
            logarithmic,
            ceiling: logarithmic.then_some(20.0),
            series: self
                .bench
                .systems
                .iter()
                .map(|system| Series {
                    name: system.title().to_owned(),
                    points: self.points(*system, value),
                })
                .collect(),
        };
        let sheet = |title: &str, panels| Sheet {
            title: format!("{title}, 10 pods (simulated)"),
            footnote:
                "W5: half of the requests critical, half sheddable; SLO: first token within 1 s, \
                       then 50 ms a token"
                    .to_owned(),
            columns: 2,
            panel_size: (330.0, 220.0),
            panels,
        };
        let all: Shown = |row| row.goodput;
        let critical: Shown = |row| row.critical_goodput;
        let important: Shown = |row| row.critical_ttft_p90;
        let rest: Shown = |row| row.sheddable_ttft_p90;
        [
            (
                "admission-goodput",
                sheet(
                    "Goodput under overload",
                    vec![
                        panel("all requests", "share within the SLO", false, all),
                        panel("critical requests", "share within the SLO", false, critical),
                    ],
                ),
            ),
            (
                "admission-ttft",
                sheet(
                    "p90 time to the first token under overload",
                    vec![
                        panel("critical requests", "p90 TTFT (s)", true, important),
                        panel(
                            "sheddable requests that were served",
                            "p90 TTFT (s)",
                            true,
                            rest,
                        ),
                    ],
                ),
            ),
        ]
    }

    fn points(&self, system: System, value: fn(&Row) -> f64) -> Vec<(f64, f64)> {
        let loads = self.bench.loads.iter();
        let point = |load: &u32| {
            let y = value(self.row(system, *load)?);
            Some((f64::from(*load) / 100.0, y))
        };
        loads.filter_map(point).collect()
    }
}
