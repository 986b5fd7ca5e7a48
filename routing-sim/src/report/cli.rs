//! The command line of `bench-routing`.

use std::{fs, path::PathBuf, process::ExitCode, thread};

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{
    bench::{Bench, in_repository},
    capacity,
    experiment::Seconds,
    matrix::{LOADS, Matrix},
    policies,
    replay::replay,
    robustness::Robustness,
    runner::Runner,
    seed::{QPS, SeedBenchmark},
    sizes::Sizes,
    slo::Slo,
};
use crate::{PolicyUnderTest, profile::Profile, workload::WorkloadName};

/// Simulates pools under every policy, judges ours by the measures and writes
/// target/bench/routing.json.
#[derive(Debug, Parser)]
#[command(name = "bench-routing")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Only the seed's benchmark: 100 to 1,000 requests per second; writes routing-seed.json
    Seed,
    /// Measures the capacities that loads are fractions of, to be put into report/capacity.rs
    Calibrate,
    /// Replays a trace in Mooncake's published shape under the policies
    Trace {
        /// The trace: one JSON object a line
        file: PathBuf,
        /// By how much pauses are shortened
        #[arg(long, default_value_t = 1.0)]
        times_faster: f64,
    },
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Every workload, policy and load
    Matrix,
    /// The same on grouped-query engines
    Gqa,
    /// Old signals, eight gateways, no agent
    Robustness,
    /// Capacity under the SLO
    Slo,
    /// Small and large pools, many gateways
    Sizes,
    /// The seed's sweep
    Seed,
    /// How fast the simulator is
    Speed,
}

#[derive(Debug, Args)]
struct Options {
    /// A smoke test: one seed, few seconds, few loads
    #[arg(long, global = true)]
    quick: bool,
    /// Only these workloads, such as w1,w2s
    #[arg(long, global = true, value_delimiter = ',', value_parser = workload)]
    only: Vec<WorkloadName>,
    /// Only these policies, such as cost,rr,oracle
    #[arg(long, global = true, value_delimiter = ',', value_parser = policy)]
    policies: Vec<PolicyUnderTest>,
    /// Only these loads, as shares of the capacity, such as 0.9
    #[arg(long, global = true, value_delimiter = ',', value_parser = load)]
    loads: Vec<u32>,
    /// Seeds; 1 and 2 are for tuning, reports use others
    #[arg(long, global = true, value_delimiter = ',', default_values_t = [11, 12, 13])]
    seeds: Vec<u64>,
    /// Simulated seconds that are measured, after half as many of warm-up
    #[arg(long, global = true, default_value_t = 40)]
    seconds: u32,
    /// Runs at the same time; as many as cores unless given
    #[arg(long, global = true)]
    threads: Option<usize>,
    /// Only these parts
    #[arg(long, global = true, value_delimiter = ',', value_enum)]
    parts: Vec<Part>,
    /// Writes pictures and tables into docs/benchmarks
    #[arg(long, global = true)]
    write_docs: bool,
    /// Where the JSON goes
    #[arg(long, global = true)]
    output: Option<PathBuf>,
}

fn workload(name: &str) -> Result<WorkloadName, String> {
    WorkloadName::parse(name).ok_or_else(|| {
        let names = WorkloadName::ALL.map(WorkloadName::as_str);
        format!("must be one of {}", names.join(", "))
    })
}

fn policy(name: &str) -> Result<PolicyUnderTest, String> {
    policies::parse(name).ok_or_else(|| {
        let names: Vec<&str> = policies::all().map(|policy| policy.as_str()).collect();
        format!("must be one of {}", names.join(", "))
    })
}

fn load(share: &str) -> Result<u32, String> {
    let share: f64 = share.parse().map_err(|_| "must be a number".to_owned())?;
    if (0.01..=3.0).contains(&share) {
        Ok((share * 100.0).round() as u32)
    } else {
        Err("must be from 0.01 to 3".to_owned())
    }
}

impl Options {
    fn runner(&self) -> Runner {
        let threads = || thread::available_parallelism().map_or(1, |cores| cores.get());
        let measured = if self.quick { 10 } else { self.seconds };
        Runner {
            seeds: if self.quick {
                self.seeds.iter().copied().take(1).collect()
            } else {
                self.seeds.clone()
            },
            seconds: Seconds {
                warm_up: measured.div_ceil(2),
                measured,
            },
            threads: self.threads.unwrap_or_else(threads),
        }
    }

    fn workloads(&self) -> Vec<WorkloadName> {
        let wanted = |workload: &WorkloadName| self.only.is_empty() || self.only.contains(workload);
        WorkloadName::ALL.into_iter().filter(wanted).collect()
    }

    fn matrix(&self, profile: Profile) -> Matrix {
        let wanted =
            |policy: &PolicyUnderTest| self.policies.is_empty() || self.policies.contains(policy);
        let loads = match (self.loads.as_slice(), self.quick) {
            ([], false) => LOADS.to_vec(),
            ([], true) => vec![90],
            (loads, _) => loads.to_vec(),
        };
        Matrix {
            profile,
            policies: policies::all().filter(wanted).collect(),
            workloads: self.workloads(),
            loads,
        }
    }

    fn seed_benchmark(&self) -> SeedBenchmark {
        let qps = if self.quick {
            vec![100, 200, 450]
        } else {
            QPS.to_vec()
        };
        SeedBenchmark { qps }
    }

    fn calibrated(&self) -> String {
        let mut text = String::new();
        for profile in [Profile::Llama2, Profile::GroupedQuery8b] {
            for workload in self.workloads() {
                let found = capacity::calibrate(profile, workload);
                let (profile, workload) = (profile.as_str(), workload.as_str());
                text.push_str(&format!("{profile} {workload} {found:.0}\n"));
            }
        }
        text
    }

    fn everything(&self) -> Bench {
        let workloads = self.workloads();
        // Too long for a smoke test.
        let quick_has = |part| !matches!(part, Part::Slo | Part::Sizes | Part::Speed);
        let wanted = |part: Part| {
            if self.parts.is_empty() {
                !self.quick || quick_has(part)
            } else {
                self.parts.contains(&part)
            }
        };
        let profiles = [
            (Part::Matrix, Profile::Llama2),
            (Part::Gqa, Profile::GroupedQuery8b),
        ];
        Bench {
            matrices: profiles
                .into_iter()
                .filter(|(part, _)| wanted(*part))
                .map(|(_, profile)| self.matrix(profile))
                .collect(),
            robustness: wanted(Part::Robustness).then(|| Robustness {
                workloads: workloads.clone(),
            }),
            slo: wanted(Part::Slo).then(|| Slo {
                workloads: workloads.clone(),
            }),
            sizes: wanted(Part::Sizes).then_some(Sizes { workloads }),
            seed: wanted(Part::Seed).then(|| self.seed_benchmark()),
            speed: wanted(Part::Speed),
        }
    }
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench-routing: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<String, String> {
    let options = &arguments.options;
    let (bench, name) = match &arguments.command {
        None => (options.everything(), "routing"),
        Some(Command::Seed) => {
            let bench = Bench {
                seed: Some(options.seed_benchmark()),
                ..Bench::default()
            };
            (bench, "routing-seed")
        }
        Some(Command::Calibrate) => return Ok(options.calibrated()),
        Some(Command::Trace { file, times_faster }) => {
            let path = file.display();
            let text = fs::read_to_string(file).map_err(|error| format!("{path}: {error}"))?;
            let policies = options.matrix(Profile::Llama2).policies;
            return replay(&text, *times_faster, &policies)
                .map_err(|error| format!("{path}: {error}"));
        }
    };
    let report = bench.run(&options.runner());
    let folder = options.output.clone();
    let folder = folder.unwrap_or_else(|| in_repository("target/bench"));
    report
        .write_figures(&folder, name)
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    if options.write_docs {
        let page = in_repository("docs/benchmarks");
        report
            .write_docs(&page)
            .map_err(|error| format!("docs: {error}"))?;
    }
    Ok(report.to_text())
}
