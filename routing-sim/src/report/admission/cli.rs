//! The command line of `bench-admission`.

use std::{fs, path::PathBuf, process::ExitCode, thread};

use admission::RawAdmissionConfig;
use clap::Parser;

use super::{Bench, LOADS, System};
use crate::report::{
    bench::in_repository,
    experiment::Seconds,
    figure::{self, Better, Figure},
    page,
};

/// Requests a second that one worker should queue and dispatch in V8.
const OPS_GOAL: f64 = 100_000.0;
/// What admission may cost a request when the pool is not full, in microseconds.
const IDLE_OVERHEAD_GOAL_US: f64 = 2.0;

/// Simulates a pool under overload, with admission and with the reference's saturation rule, and writes
/// its figures into target/bench/admission.json.
#[derive(Debug, Parser)]
#[command(name = "bench-admission")]
struct Arguments {
    /// A smoke test: one seed, few seconds, few loads
    #[arg(long)]
    quick: bool,
    /// Loads in percent of the capacity
    #[arg(long, value_delimiter = ',')]
    loads: Vec<u32>,
    /// Seeds; 1 and 2 are for tuning, reports use others
    #[arg(long, value_delimiter = ',', default_values_t = [11, 12, 13])]
    seeds: Vec<u64>,
    /// Simulated seconds that are measured, after half as many of warm-up
    #[arg(long, default_value_t = 100)]
    seconds: u32,
    /// Workers of the gateway
    #[arg(long, default_value_t = 2)]
    workers: u32,
    /// How zerohop admits, as in the filter's `admission.rules`, such as '{"ttft_target_ms": 100}'
    #[arg(long, default_value = "{}")]
    rules: String,
    /// Only the first so many of the systems
    #[arg(long)]
    first: Option<usize>,
    /// Runs at the same time; as many as cores unless given
    #[arg(long)]
    threads: Option<usize>,
    /// Writes pictures and tables into docs/benchmarks
    #[arg(long)]
    write_docs: bool,
    /// What was measured in V8: requests a second that one worker queues and dispatches
    #[arg(long)]
    ops_per_s: Option<f64>,
    /// What was measured in V8, with Envoy's part: microseconds that admission costs a request when the
    /// pool is not full
    #[arg(long)]
    idle_overhead_us: Option<f64>,
    /// Where the JSON goes
    #[arg(long)]
    output: Option<PathBuf>,
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench-admission: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<String, String> {
    let measured = if arguments.quick {
        10
    } else {
        arguments.seconds
    };
    let cores = || thread::available_parallelism().map_or(1, |cores| cores.get());
    let first = arguments.seeds.iter().copied().take(1);
    let loads = match (arguments.loads.as_slice(), arguments.quick) {
        ([], true) => vec![120, 150, 200],
        ([], false) => LOADS.to_vec(),
        (loads, _) => loads.to_vec(),
    };
    let raw: RawAdmissionConfig =
        serde_json::from_str(&arguments.rules).map_err(|error| format!("--rules: {error}"))?;
    let mut mistakes = Vec::new();
    let rules = raw.check("--rules", &mut mistakes);
    let bench = Bench {
        rules: rules.ok_or_else(|| mistakes.join("; "))?,
        systems: System::ALL
            .into_iter()
            .take(arguments.first.unwrap_or(usize::MAX))
            .collect(),
        loads,
        seeds: if arguments.quick {
            first.collect()
        } else {
            arguments.seeds.clone()
        },
        seconds: Seconds {
            warm_up: measured.div_ceil(2),
            measured,
        },
        workers: arguments.workers,
        threads: arguments.threads.unwrap_or_else(cores),
    };
    let report = bench.run();
    let folder = arguments.output.clone();
    let folder = folder.unwrap_or_else(|| in_repository("target/bench"));
    let mut figures = report.figures();
    figures.extend(arguments.ops_per_s.map(|rate| Figure {
        goal: Some(OPS_GOAL),
        ..Figure::new(
            "admission.ops_per_s".to_owned(),
            rate,
            "1/s",
            Better::Higher,
        )
    }));
    figures.extend(arguments.idle_overhead_us.map(|us| Figure {
        goal: Some(IDLE_OVERHEAD_GOAL_US),
        ..Figure::new(
            "admission.idle_overhead_us".to_owned(),
            us,
            "us",
            Better::Lower,
        )
    }));
    figure::merge(&folder, "admission", &figures)
        .map_err(|error| format!("{}: {error}", folder.display()))?;
    let table = report.table();
    if arguments.write_docs {
        let docs = in_repository("docs/benchmarks");
        for (file, sheet) in report.sheets() {
            fs::write(docs.join(format!("{file}.svg")), sheet.render())
                .map_err(|error| format!("{file}.svg: {error}"))?;
        }
        let path = docs.join("admission.md");
        let text = fs::read_to_string(&path).map_err(|error| format!("admission.md: {error}"))?;
        let text = page::replace(&text, "overload", &table.to_markdown())
            .ok_or("admission.md: needs the markers of overload, once")?;
        fs::write(path, text).map_err(|error| format!("admission.md: {error}"))?;
    }
    let verdicts = figures.iter().filter(|figure| figure.goal.is_some());
    let verdicts = verdicts.map(|figure| {
        let verdict = if figure.is_met() { "met" } else { "MISSED" };
        let (id, value) = (&figure.id, figure.value);
        let goal = figure.goal.unwrap_or(f64::NAN);
        format!("{id}: {value:.4}, goal {goal:.4}: {verdict}\n")
    });
    Ok(format!(
        "{}\n\n{}",
        table.to_text(),
        verdicts.collect::<String>()
    ))
}
