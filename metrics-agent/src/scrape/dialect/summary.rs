//! From the values of the rules to the signals of the page.

use std::sync::Arc;

use super::{
    accumulator::Accumulator,
    field::Field,
    page::Page,
    table::{DialectInfo, Rule},
};
use crate::scrape::Scraped;

impl<'d> Page<'d> {
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

    /// Ends the page.
    pub(super) fn into_scraped(mut self) -> Scraped {
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
            cached_prompt_tokens_total: value(Field::CachedPromptTokens),
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
