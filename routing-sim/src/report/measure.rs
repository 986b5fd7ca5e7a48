//! The list of measures, each with its figures.

use super::{
    figure::{Better, Figure},
    table::{Table, number},
};

/// One line of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// The part of the benchmark that it comes from; each has its own verdict on the page.
    pub part: &'static str,
    /// What is demanded, in words.
    pub demand: String,
    /// The figures that must all reach their goals.
    pub figures: Vec<Figure>,
}

impl Measure {
    /// A demand on `figures`; those without a goal are left out.
    pub fn new(
        part: &'static str,
        demand: impl Into<String>,
        figures: impl IntoIterator<Item = Figure>,
    ) -> Self {
        Measure {
            part,
            demand: demand.into(),
            figures: figures
                .into_iter()
                .filter(|figure| figure.goal.is_some())
                .collect(),
        }
    }

    /// The figure that is farthest from its goal, or nearest to missing it.
    fn worst(&self) -> Option<&Figure> {
        let strain = |figure: &Figure| {
            let goal = figure.goal.unwrap_or(f64::NAN);
            let strain = match figure.better {
                Better::Lower => figure.value / goal,
                Better::Higher => goal / figure.value,
            };
            if strain.is_nan() {
                f64::INFINITY
            } else {
                strain
            }
        };
        let figures = self.figures.iter();
        figures.max_by(|one, other| strain(one).total_cmp(&strain(other)))
    }

    /// The figures that miss their goals.
    pub fn missed(&self) -> impl Iterator<Item = &Figure> {
        self.figures.iter().filter(|figure| !figure.is_met())
    }
}

/// The verdict: a row for every measure, then every figure that missed its goal.
pub fn verdict<'a>(measures: impl IntoIterator<Item = &'a Measure>) -> (Table, Table) {
    let mut verdict = Table::new(["measure", "figures", "missed", "worst", "goal", "verdict"]);
    let mut missed = Table::new(["missed figure", "value", "goal"]);
    for measure in measures {
        let misses = measure.missed().count();
        let Some(worst) = measure.worst() else {
            continue;
        };
        verdict.rows.push(vec![
            measure.demand.clone(),
            measure.figures.len().to_string(),
            misses.to_string(),
            number(worst.value),
            worst.goal.map(number).unwrap_or_default(),
            if misses == 0 { "met" } else { "MISSED" }.to_owned(),
        ]);
        for figure in measure.missed() {
            missed.rows.push(vec![
                figure.id.clone(),
                number(figure.value),
                figure.goal.map(number).unwrap_or_default(),
            ]);
        }
    }
    (verdict, missed)
}

#[cfg(test)]
mod tests {
    use super::{Figure, Measure, verdict};

    #[test]
    fn one_figure_beyond_its_goal_makes_a_measure_missed() {
        let figure = |id: &str, value| Figure::at_most(id.to_owned(), value, 1.15);
        let measures = [
            Measure::new("a", "good", [figure("a", 1.0), figure("b", 1.15)]),
            Measure::new("a", "bad", [figure("c", 1.2), figure("d", 0.9)]),
            Measure::new(
                "a",
                "more",
                [Figure::at_least("e".to_owned(), 1.3, 1.2), {
                    Figure::at_least("f".to_owned(), f64::NAN, 1.2)
                }],
            ),
        ];
        let (table, missed) = verdict(&measures);
        let verdicts: Vec<_> = table.rows.iter().map(|row| row[5].as_str()).collect();
        assert_eq!(verdicts, ["met", "MISSED", "MISSED"]);
        assert_eq!(table.rows[1][3], "1.20");
        let ids: Vec<_> = missed.rows.iter().map(|row| row[0].as_str()).collect();
        assert_eq!(ids, ["c", "f"]);
    }
}
