//! The figures as JSON, in the form that all benches of the project write.

use std::{error::Error, fs, path::PathBuf};

use serde_json::{Value, json};

pub(crate) struct Figure {
    id: String,
    value: f64,
    unit: &'static str,
    goal: f64,
}

impl Figure {
    pub(crate) fn new(id: &str, value: f64, unit: &'static str, goal: f64) -> Self {
        Self {
            id: id.to_owned(),
            value,
            unit,
            goal,
        }
    }

    fn json(&self) -> Value {
        json!({
            "id": self.id,
            "value": (self.value * 10_000.0).round() / 10_000.0,
            "unit": self.unit,
            "goal": self.goal,
            "better": "lower",
        })
    }
}

/// Writes the figures and says which goals were missed.
pub(crate) fn write(figures: &[Figure]) -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    fs::create_dir_all(&folder)?;
    let page = json!({
        "bench": "agent",
        "figures": figures.iter().map(Figure::json).collect::<Vec<_>>(),
    });
    let text = serde_json::to_string_pretty(&page)?;
    fs::write(folder.join("agent.json"), text + "\n")?;
    for figure in figures {
        let verdict = if figure.value <= figure.goal {
            "met"
        } else {
            "MISSED"
        };
        let Figure {
            id,
            value,
            unit,
            goal,
        } = figure;
        println!("{id}: {value:.3} {unit}, goal {goal} {unit}: {verdict}");
    }
    Ok(())
}
