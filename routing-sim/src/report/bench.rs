//! The whole benchmark: plan, run, read, write.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    experiment::Seconds,
    figure::{self, Figure},
    matrix::{JUDGED, Matrix},
    measure::{Measure, verdict},
    page, pictures,
    robustness::Robustness,
    runner::{Plan, Results, Runner},
    seed::{SeedBenchmark, VIEWS},
    sizes::Sizes,
    slo::Slo,
    speed,
};

/// The most simulated seconds that pools of other sizes are measured, after as many of warm-up.
const BRIEF_SECONDS: u32 = 10;

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Bench {
    /// Parts of the matrix, one for each kind of engine.
    pub matrices: Vec<Matrix>,
    /// Old signals, many gateways, no agent.
    pub robustness: Option<Robustness>,
    /// Capacity under the SLO.
    pub slo: Option<Slo>,
    /// Small and large pools.
    pub sizes: Option<Sizes>,
    /// The seed's sweep.
    pub seed: Option<SeedBenchmark>,
    /// Whether the simulator's own speed is measured.
    pub speed: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    bench: Bench,
    results: Results,
    /// The list.
    pub measures: Vec<Measure>,
    /// Every figure, those with goals first.
    pub figures: Vec<Figure>,
}

impl Bench {
    /// Everything that is judged.
    fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        for matrix in &self.matrices {
            matrix.plan(&mut plan);
        }
        self.robustness.iter().for_each(|part| part.plan(&mut plan));
        self.slo.iter().for_each(|part| part.plan(&mut plan));
        self.seed.iter().for_each(|part| part.plan(&mut plan));
        plan
    }

    /// Runs everything.
    pub fn run(self, runner: &Runner) -> Report {
        // First, while no other run takes anything of the core.
        let speed = self.speed.then(speed::measure);
        let mut results = runner.run(&self.plan());
        // Large pools take long and nothing is judged by them; and they have many requests a second.
        let briefly = Runner {
            seeds: runner.seeds.iter().copied().take(1).collect(),
            seconds: Seconds {
                warm_up: runner.seconds.warm_up.min(BRIEF_SECONDS),
                measured: runner.seconds.measured.min(BRIEF_SECONDS),
            },
            ..runner.clone()
        };
        let mut sizes = Plan::default();
        self.sizes.iter().for_each(|part| part.plan(&mut sizes));
        results.extend(briefly.run(&sizes.without(&results)));
        let mut measures = Vec::new();
        for matrix in &self.matrices {
            measures.extend(matrix.measures(&results));
        }
        measures.extend(self.slo.iter().map(|part| part.measure(&results)));
        let robustness = self.robustness.iter();
        measures.extend(robustness.flat_map(|part| part.measures(&results)));
        let seed = self.seed.iter();
        measures.extend(seed.flat_map(|part| part.measures(&results)));
        measures.extend(speed);
        measures.retain(|measure| !measure.figures.is_empty());
        let mut figures: Vec<Figure> = measures
            .iter()
            .flat_map(|measure| measure.figures.clone())
            .collect();
        for matrix in &self.matrices {
            figures.extend(matrix.figures(&results));
        }
        figures.extend(self.slo.iter().flat_map(|part| part.figures(&results)));
        figures.extend(self.seed.iter().flat_map(|part| part.figures(&results)));
        Report {
            bench: self,
            results,
            measures,
            figures,
        }
    }
}

impl Report {
    /// Everything for the terminal.
    pub fn to_text(&self) -> String {
        let mut parts: Vec<String> = self
            .parts()
            .into_iter()
            .map(|part| format!("\n== {} ==\n{}", part.title, part.text))
            .collect();
        let (verdict, missed) = verdict(&self.measures);
        if !missed.rows.is_empty() {
            parts.push(format!("\n{}", missed.to_text()));
        }
        if !verdict.rows.is_empty() {
            parts.push(format!("\n{}", verdict.to_text()));
        }
        parts.join("\n")
    }

    fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        for matrix in &self.bench.matrices {
            let engines = matrix.profile.as_str();
            for workload in &matrix.workloads {
                for load in &matrix.loads {
                    parts.push(Part {
                        title: format!(
                            "{}, {engines}, load {}",
                            workload.title(),
                            f64::from(*load) / 100.0
                        ),
                        marker: (*load == JUDGED)
                            .then(|| format!("{}.{}", engines, workload.as_str())),
                        text: matrix.table(&self.results, *workload, *load).to_text(),
                        markdown: matrix.table(&self.results, *workload, *load).to_markdown(),
                    });
                }
            }
        }
        let mut push = |title: String, marker: &str, table: super::table::Table| {
            parts.push(Part {
                title,
                marker: Some(marker.to_owned()),
                text: table.to_text(),
                markdown: table.to_markdown(),
            });
        };
        if let Some(part) = &self.bench.robustness {
            push(
                "Robustness of cost".to_owned(),
                "robustness",
                part.table(&self.results),
            );
        }
        if let Some(part) = &self.bench.slo {
            push(
                "Capacity under the SLO".to_owned(),
                "slo",
                part.table(&self.results),
            );
        }
        if let Some(part) = &self.bench.sizes {
            for workload in part.workloads() {
                let name = workload.as_str();
                push(
                    format!("Pools, {}", workload.title()),
                    &format!("pods.{name}"),
                    part.pods(&self.results, workload),
                );
                push(
                    format!("Gateways, {}", workload.title()),
                    &format!("gateways.{name}"),
                    part.gateways(&self.results, workload),
                );
            }
        }
        if let Some(part) = &self.bench.seed {
            for view in VIEWS {
                push(
                    format!("Seed's benchmark: {}, {}", view.title, view.unit),
                    view.file,
                    part.table(&self.results, view.unit, view.value),
                );
            }
        }
        parts
    }

    /// Writes the figures to `<folder>/<name>.json`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_figures(&self, folder: &Path, name: &str) -> io::Result<()> {
        figure::write(folder, name, &self.figures)
    }

    /// Writes the pictures beside the page in `folder` and the tables into it.
    ///
    /// # Errors
    /// When a file cannot be read or written, or the page has not the markers for what was run.
    pub fn write_docs(&self, folder: &Path) -> io::Result<()> {
        for (file, sheet) in self.sheets() {
            fs::write(folder.join(format!("{file}.svg")), sheet.render())?;
        }
        let path = folder.join("README.md");
        let mut text = fs::read_to_string(&path)?;
        let marked = self.parts().into_iter();
        let marked = marked.filter_map(|part| Some((part.marker?, part.markdown)));
        for (marker, markdown) in marked.chain(self.verdicts()) {
            text = page::replace(&text, &marker, &markdown).ok_or_else(|| {
                io::Error::other(format!(
                    "{}: needs the markers <!-- begin {marker} --> and <!-- end {marker} -->, once",
                    path.display()
                ))
            })?;
        }
        fs::write(path, text)
    }

    /// The verdict of each part that was run, by its marker.
    fn verdicts(&self) -> Vec<(String, String)> {
        let mut parts: Vec<&str> = self.measures.iter().map(|measure| measure.part).collect();
        parts.dedup();
        let of_part = |part: &&str| {
            let measures = self.measures.iter().filter(|one| one.part == *part);
            let (verdict, missed) = verdict(measures);
            let mut text = verdict.to_markdown();
            if !missed.rows.is_empty() {
                text.push_str("\n\n");
                text.push_str(&missed.to_markdown());
            }
            (format!("verdict.{part}"), text)
        };
        parts.iter().map(of_part).collect()
    }

    fn sheets(&self) -> Vec<(&'static str, super::plot::Sheet)> {
        let mut sheets = Vec::new();
        if let Some(part) = &self.bench.seed {
            sheets.extend(VIEWS.map(|view| (view.file, part.sheet(&self.results, &view))));
        }
        if let Some(matrix) = self.bench.matrices.first() {
            sheets.push((
                "ttft-by-workload",
                pictures::first_token(matrix, &self.results),
            ));
            sheets.push(("prefix-hits", pictures::hits(matrix, &self.results)));
        }
        sheets
    }
}

struct Part {
    title: String,
    /// Where it stands on the page, if it does.
    marker: Option<String>,
    text: String,
    markdown: String,
}

/// `path` in the repository.
pub fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
