//! What a bench found: a table for people, JSON for machines.

use std::{fs, path::PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use crate::rig::{RigError, artifacts};

/// One measured figure.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// Its name, the same for ever.
    pub id: String,
    /// What was measured.
    pub value: f64,
    /// The unit of value and goal.
    pub unit: &'static str,
    /// The most that it should be, or the least where higher is better; `None` for figures that are
    /// only compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal: Option<f64>,
    /// Which direction is better.
    pub better: &'static str,
}

impl Figure {
    /// A figure of which less is better.
    #[must_use]
    pub fn new(id: impl Into<String>, value: f64, unit: &'static str, goal: Option<f64>) -> Self {
        Self {
            id: id.into(),
            value: (value * 1_000.0).round() / 1_000.0,
            unit,
            goal,
            better: "lower",
        }
    }

    /// A figure of which more is better.
    #[must_use]
    pub fn higher(
        id: impl Into<String>,
        value: f64,
        unit: &'static str,
        goal: Option<f64>,
    ) -> Self {
        Self {
            better: "higher",
            ..Self::new(id, value, unit, goal)
        }
    }

    fn missed(&self) -> bool {
        let short = |goal| match self.better {
            "higher" => self.value < goal,
            _ => self.value > goal,
        };
        self.goal.is_some_and(short)
    }
}

/// As [`report`], but keeps what other parts of the same bench have written there before.
///
/// # Errors
/// When the file cannot be written.
pub fn add(bench: &str, figures: &[Figure]) -> Result<PathBuf, RigError> {
    let path = artifacts::target()
        .join("bench")
        .join(format!("{bench}.json"));
    // Nothing that can be read there is nothing to keep.
    let text = fs::read_to_string(path).unwrap_or_default();
    let written: Value = serde_json::from_str(&text).unwrap_or_default();
    let others = written.get("figures").and_then(Value::as_array);
    let is_other = |other: &&Value| {
        let id = other.get("id").and_then(Value::as_str);
        figures.iter().all(|figure| Some(&*figure.id) != id)
    };
    let others = others.into_iter().flatten().filter(is_other).cloned();
    write(bench, figures, others.collect())
}

/// Writes `target/bench/<bench>.json` and prints each figure beside its goal.
///
/// # Errors
/// When the file cannot be written.
pub fn report(bench: &str, figures: &[Figure]) -> Result<PathBuf, RigError> {
    write(bench, figures, Vec::new())
}

fn write(bench: &str, figures: &[Figure], mut all: Vec<Value>) -> Result<PathBuf, RigError> {
    println!("\n{:<34} {:>10}  {:>8}", "figure", "measured", "goal");
    for figure in figures {
        let goal = figure
            .goal
            .map_or_else(|| "-".to_owned(), |goal| format!("{goal}"));
        let verdict = if figure.missed() { "  MISSED" } else { "" };
        println!(
            "{:<34} {:>10.2}  {goal:>8} {}{verdict}",
            figure.id, figure.value, figure.unit
        );
    }
    let folder = artifacts::target().join("bench");
    let path = folder.join(format!("{bench}.json"));
    all.extend(figures.iter().map(|figure| json!(figure)));
    let text = json!({"bench": bench, "figures": all}).to_string();
    fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&path, text + "\n"))
        .map_err(RigError::io(format!("write {}", path.display())))?;
    println!("\nwritten to {}", path.display());
    Ok(path)
}
