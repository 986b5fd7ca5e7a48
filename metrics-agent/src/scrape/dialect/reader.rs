//! Reads one page in one dialect, or in all of them.

use std::sync::Arc;

use xxhash_rust::xxh64::{Xxh64, xxh64};

use super::{
    accumulator::Accumulator,
    field::Field,
    lora::NewestLora,
    table::{DialectInfo, Rule, RuleTable, Source},
};
use crate::scrape::{
    Problems, Scraped,
    exposition::{Flow, Labels, LineSplitter, PageLimits, PageLine, Sample, SampleLine},
};

/// Names of models kept of one page.
const MOST_MODELS: usize = 8;
/// Bytes of a model's name; longer ones are left out.
const LONGEST_MODEL: usize = 256;

/// Reads one page that arrives in chunks. Its memory does not grow with the page.
#[derive(Debug)]
pub struct PageReader<'d> {
    splitter: LineSplitter,
    page: Page<'d>,
}

/// What the page said so far.
#[derive(Debug)]
struct Page<'d> {
    table: &'d RuleTable,
    most_labels: usize,
    accumulators: Vec<Accumulator>,
    lora: NewestLora,
    models: Vec<Arc<str>>,
    problems: Problems,
    /// The rules of the sample line before this one: a page that ends early may have ended in the
    /// middle of their series.
    last_met: &'d [usize],
}

impl<'d> PageReader<'d> {
    pub(crate) fn new(table: &'d RuleTable, limits: PageLimits) -> Self {
        let mut accumulators = Vec::new();
        accumulators.resize_with(table.rules.len(), Accumulator::default);
        let page = Page {
            table,
            most_labels: limits.labels,
            accumulators,
            lora: NewestLora::default(),
            models: Vec::new(),
            problems: Problems::default(),
            last_met: &[],
        };
        Self {
            splitter: LineSplitter::new(limits),
            page,
        }
    }

    /// Takes the next chunk.
    pub fn push(&mut self, chunk: &[u8]) -> Flow {
        self.splitter.push(chunk, |line| self.page.take(line))
    }

    /// Ends the page. `complete` says whether the body is known to be whole, so that a last line
    /// without a line end can be trusted.
    #[must_use]
    pub fn finish(mut self, complete: bool) -> Scraped {
        let dropped = self.splitter.finish(complete, |line| self.page.take(line));
        if dropped || self.splitter.stopped() {
            self.page.cut_short();
        }
        self.page.into_scraped()
    }
}

impl<'d> Page<'d> {
    fn take(&mut self, line: PageLine<'_>) {
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

    fn cut_short(&mut self) {
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

    /// The dialect with the most rules met, the first among equals. The start of the process is
    /// no sign of any dialect: every Python or Go program names it.
    fn dialect(&self) -> Option<&'d DialectInfo> {
        let met = |dialect: &DialectInfo| {
            self.rules_of(dialect)
                .filter(|(rule, one)| rule.field != Field::ProcessStart && one.met())
                .count()
        };
        let mut best: Option<(&DialectInfo, usize)> = None;
        for dialect in &self.table.dialects {
            let count = met(dialect);
            if count > best.map_or(0, |(_, most)| most) {
                best = Some((dialect, count));
            }
        }
        best.map(|(dialect, _)| dialect)
    }

    /// The first rule of the field that the page had anything for decides.
    fn value(&self, dialect: &DialectInfo, field: Field) -> Option<f64> {
        self.rules_of(dialect)
            .find(|(rule, one)| rule.field == field && one.met())
            .and_then(|(_, one)| one.total())
    }

    fn met(&self, dialect: &DialectInfo, field: Field) -> bool {
        self.rules_of(dialect)
            .any(|(rule, one)| rule.field == field && one.met())
    }

    fn rules_of(&self, dialect: &DialectInfo) -> impl Iterator<Item = (&'d Rule, &Accumulator)> {
        let rules = self
            .table
            .rules
            .get(dialect.rules.clone())
            .unwrap_or_default();
        let accumulators = self
            .accumulators
            .get(dialect.rules.clone())
            .unwrap_or_default();
        rules.iter().zip(accumulators)
    }

    fn into_scraped(mut self) -> Scraped {
        let Some(dialect) = self.dialect() else {
            self.problems.nothing_known = true;
            return Scraped {
                problems: self.problems,
                ..Scraped::default()
            };
        };
        let value = |field| self.value(dialect, field);
        let running = value(Field::Running);
        let waiting = value(Field::Waiting).or_else(|| {
            // Only where no rule met a queue: a queue that is unknown stays unknown.
            let queue_named = self.met(dialect, Field::Waiting);
            let beyond_batch = value(Field::Active)? - running?;
            (!queue_named).then_some(beyond_batch.max(0.0))
        });
        let kv_usage = value(Field::KvUsage).or_else(|| {
            let usage_named = self.met(dialect, Field::KvUsage);
            let total = value(Field::KvTotal).filter(|total| *total > 0.0)?;
            let share = Field::KvUsage.checked(value(Field::KvUsed)? / total)?;
            (!usage_named).then_some(share)
        });
        let lora_known = value(Field::Lora).is_some();
        let mut scraped = Scraped {
            dialect: Arc::clone(&dialect.name),
            waiting: waiting.map(|count| count as f32),
            running: running.map(|count| count as f32),
            kv_usage: kv_usage.map(|usage| usage as f32),
            kv_block_size: value(Field::KvBlockSize).map(|tokens| tokens as u32),
            kv_blocks: value(Field::KvBlocks).map(|blocks| blocks as u32),
            lora: None,
            generation_tokens_total: value(Field::GenerationTokens),
            prompt_tokens_total: value(Field::PromptTokens),
            success_total: value(Field::Success),
            process_start_time_seconds: value(Field::ProcessStart),
            awake: value(Field::Awake).map(|awake| awake > 0.0),
            moves_every_step: dialect.moves_every_step,
            models: Vec::new(),
            problems: self.problems,
        };
        scraped.lora = if lora_known {
            self.lora.into_activity()
        } else {
            None
        };
        self.models.sort_unstable();
        scraped.models = self.models;
        scraped
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
