//! Collects the values of one rule over the series of a page.

use super::field::{Aggregate, Field};

/// Series of one metric that are added up; more and the sum is unknown. Data parallelism goes up
/// to some dozens of engines.
const MOST_SERIES: usize = 256;

/// The values that one rule met.
#[derive(Debug, Default)]
pub(crate) struct Accumulator {
    met: bool,
    unusable: bool,
    folded: Option<f64>,
    series: Vec<Series>,
}

/// One term of a sum.
#[derive(Debug)]
struct Series {
    /// A hash of the labels: the same series again replaces the former value.
    id: u64,
    /// A hash of the labels without those of mirrored ranks: the greatest of a group counts.
    group: u64,
    value: f64,
}

impl Accumulator {
    /// Takes a sample's value; false when it cannot be true, which makes the field unknown.
    pub(crate) fn add(&mut self, field: Field, id: u64, group: u64, value: f64) -> bool {
        self.met = true;
        let Some(value) = field.checked(value) else {
            self.unusable = true;
            return false;
        };
        match field.aggregate() {
            Aggregate::Max => self.folded = Some(self.folded.map_or(value, |old| old.max(value))),
            Aggregate::Min => self.folded = Some(self.folded.map_or(value, |old| old.min(value))),
            Aggregate::Sum => self.add_term(Series { id, group, value }),
        }
        true
    }

    fn add_term(&mut self, term: Series) {
        if let Some(same) = self.series.iter_mut().find(|series| series.id == term.id) {
            same.value = term.value;
        } else if self.series.len() < MOST_SERIES {
            self.series.push(term);
        } else {
            self.unusable = true;
        }
    }

    /// Remembers that a sample of this rule could not be read.
    pub(crate) const fn spoil(&mut self) {
        self.met = true;
        self.unusable = true;
    }

    /// Whether the page had anything for this rule.
    pub(crate) const fn met(&self) -> bool {
        self.met
    }

    /// The value over all series.
    pub(crate) fn total(&self) -> Option<f64> {
        if self.unusable {
            return None;
        }
        if self.series.is_empty() {
            return self.folded;
        }
        Some(
            self.series
                .iter()
                .enumerate()
                .filter(|(at, one)| self.counts(*at, one))
                .map(|(_, one)| one.value)
                .sum(),
        )
    }

    /// Whether a term is the greatest of its group, and the first among equals.
    fn counts(&self, at: usize, one: &Series) -> bool {
        self.series.iter().enumerate().all(|(other_at, other)| {
            other.group != one.group
                || other_at == at
                || other.value < one.value
                || (other.value <= one.value && other_at > at)
        })
    }
}
