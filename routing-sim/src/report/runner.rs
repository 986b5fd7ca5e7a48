//! Runs experiments on all cores; each seed of each experiment is a run of its own.

use std::{
    collections::{HashMap, HashSet},
    io::{IsTerminal, Write},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{
    experiment::{Experiment, Seconds},
    scores::Scores,
};

/// Experiments that are wanted, each once, in the order in which they were asked for.
#[derive(Debug, Default)]
pub struct Plan {
    experiments: Vec<Experiment>,
    known: HashSet<Experiment>,
}

impl Plan {
    /// Asks for an experiment.
    pub fn add(&mut self, experiment: Experiment) {
        if self.known.insert(experiment) {
            self.experiments.push(experiment);
        }
    }

    /// What of it has no result yet.
    pub fn without(mut self, results: &Results) -> Plan {
        self.experiments
            .retain(|experiment| !results.scores.contains_key(experiment));
        self
    }
}

/// How the experiments are run.
#[derive(Clone, Debug, PartialEq)]
pub struct Runner {
    /// Each experiment runs once with each of these.
    pub seeds: Vec<u64>,
    /// How long.
    pub seconds: Seconds,
    /// Runs at the same time, at least 1.
    pub threads: usize,
}

/// What came of the experiments.
#[derive(Debug, Default)]
pub struct Results {
    scores: HashMap<Experiment, Vec<Scores>>,
}

impl Results {
    /// The means over the seeds, if the experiment was run.
    pub fn get(&self, experiment: &Experiment) -> Option<Scores> {
        Scores::mean(self.scores.get(experiment)?)
    }

    /// Takes over other results.
    pub fn extend(&mut self, other: Results) {
        self.scores.extend(other.scores);
    }
}

impl Runner {
    /// Runs everything in `plan`. The results do not depend on the number of threads.
    pub fn run(&self, plan: &Plan) -> Results {
        let runs: Vec<(Experiment, u64)> = plan
            .experiments
            .iter()
            .flat_map(|experiment| self.seeds.iter().map(|seed| (*experiment, *seed)))
            .collect();
        let next = AtomicUsize::new(0);
        let done: Mutex<Vec<(usize, Scores)>> = Mutex::new(Vec::with_capacity(runs.len()));
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some((experiment, seed)) = runs.get(at) else {
                            return;
                        };
                        let scores = experiment.run(*seed, self.seconds);
                        // Poisoned only when another run panicked, and then the scope panics too.
                        if let Ok(mut done) = done.lock() {
                            done.push((at, scores));
                            progress(done.len(), runs.len());
                        }
                    }
                });
            }
        });
        let mut done = done.into_inner().unwrap_or_default();
        done.sort_unstable_by_key(|(at, _)| *at);
        let mut results = Results::default();
        for (at, scores) in done {
            if let Some((experiment, _)) = runs.get(at) {
                results.scores.entry(*experiment).or_default().push(scores);
            }
        }
        results
    }
}

/// Tells how far it is: on a terminal after each run, elsewhere a line for each tenth.
fn progress(done: usize, all: usize) {
    let mut output = std::io::stderr();
    let tenth = |done: usize| done * 10 / all.max(1);
    let text = if output.is_terminal() {
        let end = if done == all { "\n" } else { "" };
        format!("\r{done} of {all} runs{end}")
    } else if tenth(done) > tenth(done - 1) {
        format!("{done} of {all} runs\n")
    } else {
        return;
    };
    // Progress that cannot be shown is no reason to stop.
    write!(output, "{text}").unwrap_or_default();
}
