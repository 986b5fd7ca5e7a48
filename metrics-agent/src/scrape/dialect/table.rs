//! The rules of one or several dialects, found by metric name.

use std::{ops::Range, sync::Arc};

use super::{field::Field, lora::LoraLabels, selector::Selector};

/// Where in a sample the number stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The sample's value.
    Value,
    /// A label of an info metric; one that is no number (`None`) says nothing.
    Label(String),
    /// The adapters in the labels of the newest series.
    Lora(LoraLabels),
}

/// "The samples of this selector are that field."
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) field: Field,
    pub(crate) selector: Selector,
    pub(crate) source: Source,
}

/// A built-in dialect, as written in its file.
#[derive(Debug)]
pub(crate) struct Preset {
    pub(crate) name: &'static str,
    pub(crate) metrics_path: &'static str,
    /// In order of preference within a field.
    pub(crate) rules: &'static [PresetRule],
    /// See [`DialectInfo::mirrored`].
    pub(crate) mirrored: &'static [&'static str],
    /// See [`crate::scrape::Scraped::moves_every_step`].
    pub(crate) moves_every_step: bool,
}

/// A rule of a built-in dialect.
#[derive(Debug)]
pub(crate) struct PresetRule {
    pub(crate) field: Field,
    pub(crate) selector: &'static str,
    pub(crate) label: Option<&'static str>,
}

impl PresetRule {
    pub(crate) const fn value(field: Field, selector: &'static str) -> Self {
        Self {
            field,
            selector,
            label: None,
        }
    }

    pub(crate) const fn label(field: Field, selector: &'static str, label: &'static str) -> Self {
        Self {
            field,
            selector,
            label: Some(label),
        }
    }

    /// The checked rule; `None` for a selector that does not parse, which a test excludes.
    pub(crate) fn compile(&self) -> Option<Rule> {
        let source = match (self.field, self.label) {
            (Field::Lora, _) => Source::Lora(LoraLabels::default()),
            (_, Some(label)) => Source::Label(label.to_owned()),
            (_, None) => Source::Value,
        };
        Some(Rule {
            field: self.field,
            selector: Selector::parse(self.selector).ok()?,
            source,
        })
    }
}

/// What holds for all rules of one dialect.
#[derive(Debug, Clone)]
pub(crate) struct DialectInfo {
    pub(crate) name: Arc<str>,
    /// Labels of ranks that mirror each other: of series that differ only in these the greatest
    /// counts.
    pub(crate) mirrored: Vec<String>,
    pub(crate) moves_every_step: bool,
    /// Its rules in [`RuleTable::rules`].
    pub(crate) rules: Range<usize>,
}

/// Rules by metric name. Rejecting a name that nobody wants costs one look at its length and
/// rarely a comparison, because most lines of a page are rejected.
#[derive(Debug, Default)]
pub(crate) struct RuleTable {
    pub(crate) rules: Vec<Rule>,
    pub(crate) dialects: Vec<DialectInfo>,
    by_length: Vec<Vec<NamedRules>>,
}

#[derive(Debug)]
struct NamedRules {
    metric: Box<[u8]>,
    rules: Vec<usize>,
}

impl RuleTable {
    /// Adds a dialect's rules behind those that are there.
    pub(crate) fn add(
        &mut self,
        name: &str,
        mirrored: Vec<String>,
        moves_every_step: bool,
        rules: impl IntoIterator<Item = Rule>,
    ) {
        let first = self.rules.len();
        for rule in rules {
            self.index(rule.selector.metric.as_bytes(), self.rules.len());
            self.rules.push(rule);
        }
        self.dialects.push(DialectInfo {
            name: Arc::from(name),
            mirrored,
            moves_every_step,
            rules: first..self.rules.len(),
        });
    }

    pub(crate) fn add_preset(&mut self, preset: &Preset) {
        self.add(
            preset.name,
            preset
                .mirrored
                .iter()
                .map(|label| (*label).to_owned())
                .collect(),
            preset.moves_every_step,
            preset.rules.iter().filter_map(PresetRule::compile),
        );
    }

    /// The rules for a metric, as indices into [`RuleTable::rules`].
    pub(crate) fn find(&self, metric: &[u8]) -> Option<&[usize]> {
        self.by_length
            .get(metric.len())?
            .iter()
            .find(|named| *named.metric == *metric)
            .map(|named| named.rules.as_slice())
    }

    fn index(&mut self, metric: &[u8], rule: usize) {
        if self.by_length.len() <= metric.len() {
            self.by_length.resize_with(metric.len() + 1, Vec::new);
        }
        let Some(same_length) = self.by_length.get_mut(metric.len()) else {
            return;
        };
        match same_length
            .iter_mut()
            .find(|named| *named.metric == *metric)
        {
            Some(named) => named.rules.push(rule),
            None => same_length.push(NamedRules {
                metric: metric.into(),
                rules: vec![rule],
            }),
        }
    }
}
