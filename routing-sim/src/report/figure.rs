//! Figures by name, for machines.

use std::{fs, io, path::Path};

use serde::Serialize;

/// Which direction is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Less is better; a goal is the most that a value should be.
    Lower,
    /// More is better; a goal is the least that a value should be.
    Higher,
}

/// One measured figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// Its name, the same for ever.
    pub id: String,
    /// What was measured; `null` when it could not be.
    pub value: f64,
    /// The unit of value and goal.
    pub unit: &'static str,
    /// What it should be; `None` for figures that are only compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal: Option<f64>,
    /// Which direction is better.
    pub better: Better,
}

impl Figure {
    /// A figure without a goal. The value is rounded to five digits.
    pub fn new(id: String, value: f64, unit: &'static str, better: Better) -> Self {
        Figure {
            id,
            value: rounded(value),
            unit,
            goal: None,
            better,
        }
    }

    /// A ratio that should be at most `goal`.
    pub fn at_most(id: String, value: f64, goal: f64) -> Self {
        Figure {
            goal: Some(goal),
            ..Figure::new(id, value, "x", Better::Lower)
        }
    }

    /// A ratio that should be at least `goal`.
    pub fn at_least(id: String, value: f64, goal: f64) -> Self {
        Figure {
            goal: Some(goal),
            ..Figure::new(id, value, "x", Better::Higher)
        }
    }

    /// Whether the goal is met; `true` without one, `false` for what could not be measured.
    pub fn is_met(&self) -> bool {
        match (self.goal, self.better) {
            (None, _) => true,
            (Some(goal), Better::Lower) => self.value <= goal,
            (Some(goal), Better::Higher) => self.value >= goal,
        }
    }
}

fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10.0_f64.powi(4 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}

/// Writes figures as `<folder>/<bench>.json`, in the form of all benches of the project.
///
/// # Errors
/// When the folder or the file cannot be written.
pub fn write(folder: &Path, bench: &str, figures: &[Figure]) -> io::Result<()> {
    let page = serde_json::json!({"bench": bench, "figures": figures});
    fs::create_dir_all(folder)?;
    fs::write(folder.join(format!("{bench}.json")), format!("{page:#}\n"))
}

/// Writes figures like [`write()`], and keeps those of other ids that the file has already: several programs
/// measure parts of one bench.
///
/// # Errors
/// When the folder or the file cannot be written. What cannot be read is replaced.
pub fn merge(folder: &Path, bench: &str, figures: &[Figure]) -> io::Result<()> {
    let path = folder.join(format!("{bench}.json"));
    let before = fs::read_to_string(&path).unwrap_or_default();
    let before: serde_json::Value = serde_json::from_str(&before).unwrap_or_default();
    let before = before.get("figures").and_then(|figures| figures.as_array());
    let known = |figure: &&serde_json::Value| {
        let id = figure.get("id").and_then(|id| id.as_str());
        figures.iter().any(|own| Some(own.id.as_str()) == id)
    };
    let kept = before.into_iter().flatten().filter(|figure| !known(figure));
    let mut all: Vec<serde_json::Value> = kept.cloned().collect();
    for figure in figures {
        all.push(serde_json::to_value(figure)?);
    }
    let page = serde_json::json!({"bench": bench, "figures": all});
    fs::create_dir_all(folder)?;
    fs::write(path, format!("{page:#}\n"))
}

#[cfg(test)]
mod tests {
    use super::{Better, Figure, merge};

    #[test]
    fn figures_of_other_programs_are_kept_and_own_ones_replaced() {
        let folder = std::env::temp_dir().join(format!("zerohop-merge-{}", std::process::id()));
        let figure = |id: &str, value| Figure::new(id.to_owned(), value, "s", Better::Lower);
        merge(&folder, "x", &[figure("a", 1.0), figure("b", 2.0)]).unwrap();
        merge(&folder, "x", &[figure("b", 3.0), figure("c", 4.0)]).unwrap();
        let text = std::fs::read_to_string(folder.join("x.json")).unwrap();
        let page: serde_json::Value = serde_json::from_str(&text).unwrap();
        let seen: Vec<_> = page["figures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|figure| {
                (
                    figure["id"].as_str().unwrap(),
                    figure["value"].as_f64().unwrap(),
                )
            })
            .collect();
        assert_eq!(seen, [("a", 1.0), ("b", 3.0), ("c", 4.0)]);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn goals_are_limits_in_the_better_direction() {
        let at_most = |value| Figure::at_most("a".to_owned(), value, 1.5);
        assert!(at_most(1.5).is_met() && !at_most(1.51).is_met());
        assert!(!at_most(f64::NAN).is_met(), "not measured is not met");
        let at_least = |value| Figure::at_least("a".to_owned(), value, 0.95);
        assert!(at_least(0.95).is_met() && !at_least(0.94).is_met());
    }

    #[test]
    fn values_keep_five_digits_and_no_number_is_null() {
        let value = |value| Figure::new("a".to_owned(), value, "s", Better::Lower);
        assert_eq!(value(0.048_123_456).value, 0.048_123);
        assert_eq!(value(91_234.56).value, 91_235.0);
        let text = serde_json::to_string(&value(f64::NAN)).unwrap();
        assert_eq!(
            text,
            r#"{"id":"a","value":null,"unit":"s","better":"lower"}"#
        );
    }
}
