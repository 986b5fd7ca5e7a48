//! What one page said so far, rule by rule.

use std::sync::Arc;

use xxhash_rust::xxh64::{Xxh64, xxh64};

use super::{
    accumulator::Accumulator,
    field::Field,
    lora::NewestLora,
    table::{RuleTable, Source},
};
use crate::scrape::{
    Problems,
    exposition::{Labels, PageLine, Sample, SampleLine},
};

/// Names of models kept of one page.
const MOST_MODELS: usize = 8;
/// Bytes of a model's name; longer ones are left out.
const LONGEST_MODEL: usize = 256;

/// What the page said so far.
#[derive(Debug)]
pub(super) struct Page<'d> {
    pub(super) table: &'d RuleTable,
    most_labels: usize,
    pub(super) accumulators: Vec<Accumulator>,
    pub(super) lora: NewestLora,
    pub(super) models: Vec<Arc<str>>,
    pub(super) problems: Problems,
    /// The rules of the sample line before this one: a page that ends early may have ended in the
    /// middle of their series.
    last_met: &'d [usize],
}

impl<'d> Page<'d> {
    pub(super) fn new(table: &'d RuleTable, most_labels: usize) -> Self {
        let mut accumulators = Vec::new();
        accumulators.resize_with(table.rules.len(), Accumulator::default);
        Self {
            table,
            most_labels,
            accumulators,
            lora: NewestLora::default(),
            models: Vec::new(),
            problems: Problems::default(),
            last_met: &[],
        }
    }

    /// Takes one line.
    pub(super) fn take(&mut self, line: PageLine<'_>) {
        match line {
            PageLine::Whole(line) => match SampleLine::split(line) {
                Ok(Some(line)) => self.sample(line),
                Ok(None) => {}
                Err(_) => self.count_bad_line(),
            },
            PageLine::TooLong(beginning) => {
                let Ok(named) = SampleLine::split(beginning) else {
                    self.count_bad_line();
                    return;
                };
                // A comment may be as long as it likes.
                if let Some(line) = named {
                    self.count_bad_line();
                    self.spoil(self.table.find(line.name).unwrap_or_default());
                }
            }
        }
    }

    fn sample(&mut self, line: SampleLine<'_>) {
        let table = self.table;
        let rules = table.find(line.name).unwrap_or_default();
        self.last_met = rules;
        if rules.is_empty() {
            return;
        }
        match line.parse(self.most_labels) {
            Ok(sample) => rules.iter().for_each(|rule| self.apply(*rule, &sample)),
            Err(_) => {
                self.count_bad_line();
                self.spoil(rules);
            }
        }
    }

    fn apply(&mut self, index: usize, sample: &Sample<'_>) {
        let table = self.table;
        let (Some(rule), Some(accumulator)) =
            (table.rules.get(index), self.accumulators.get_mut(index))
        else {
            return;
        };
        if !rule.selector.matches(&sample.labels) {
            return;
        }
        let value = match &rule.source {
            Source::Value | Source::Lora(_) => sample.value,
            Source::Label(name) => {
                let Some(value) = sample.labels.get(name).and_then(|text| text.parse().ok()) else {
                    return;
                };
                value
            }
        };
        let id = xxh64(sample.labels.as_bytes(), 0);
        let mirrored = table
            .dialects
            .iter()
            .find(|dialect| dialect.rules.contains(&index))
            .map_or(&[][..], |dialect| dialect.mirrored.as_slice());
        let group = if mirrored.is_empty() {
            id
        } else {
            group_of(&sample.labels, mirrored)
        };
        if !accumulator.add(rule.field, id, group, value) {
            self.problems.bad_values = self.problems.bad_values.saturating_add(1);
            return;
        }
        if let Source::Lora(names) = &rule.source {
            self.lora.offer(names, &sample.labels, sample.value);
        }
        if matches!(rule.field, Field::Running | Field::Awake) {
            self.note_model(&sample.labels);
        }
    }

    fn note_model(&mut self, labels: &Labels<'_>) {
        let Some(name) = labels.get("model_name").or_else(|| labels.get("model")) else {
            return;
        };
        let known = self.models.iter().any(|model| **model == *name);
        if !known && self.models.len() < MOST_MODELS && name.len() <= LONGEST_MODEL {
            self.models.push(Arc::from(name));
        }
    }

    /// Remembers that the page ended early.
    pub(super) fn cut_short(&mut self) {
        self.problems.truncated = true;
        self.spoil(self.last_met);
    }

    fn spoil(&mut self, rules: &[usize]) {
        for index in rules {
            if let Some(accumulator) = self.accumulators.get_mut(*index) {
                accumulator.spoil();
            }
        }
    }

    const fn count_bad_line(&mut self) {
        self.problems.bad_lines = self.problems.bad_lines.saturating_add(1);
    }
}

/// A hash of the labels that tell parts of the whole apart.
fn group_of(labels: &Labels<'_>, mirrored: &[String]) -> u64 {
    let mut hash = Xxh64::new(0);
    for label in labels
        .iter()
        .filter(|label| mirrored.iter().all(|name| name != label.name))
    {
        hash.update(label.name.as_bytes());
        hash.update(b"=");
        hash.update(label.value().as_bytes());
        hash.update(b"\n");
    }
    hash.digest()
}
