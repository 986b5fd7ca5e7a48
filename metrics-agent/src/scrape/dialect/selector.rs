//! A metric selector: `name` or `name{label="value",...}`, equality only.

use crate::scrape::exposition::{BadLine, Labels, SampleLine};

/// Which samples of a page are meant. A matcher with an empty value also matches samples without
/// that label, as in PromQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) metric: String,
    pub(crate) matchers: Vec<(String, String)>,
}

/// Why a selector was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SelectorError {
    #[error("it does not start with a metric name (letters, digits, `_` and `:`)")]
    Name,
    #[error("its matchers are not of the form {{label=\"value\"}}: {0}")]
    Matchers(BadLine),
    #[error("something follows the closing brace")]
    Trailing,
}

impl Selector {
    /// Reads a selector; blanks around it are ignored.
    pub(crate) fn parse(text: &str) -> Result<Self, SelectorError> {
        let text = text.trim();
        let (metric, matchers) = match text.find('{') {
            Some(brace) => text.split_at_checked(brace).ok_or(SelectorError::Name)?,
            None => (text, ""),
        };
        // A selector is a sample line without a value: give it one and let the reader judge.
        let line = format!("{metric}{matchers} 0");
        let sample = SampleLine::split(line.as_bytes())
            .ok()
            .flatten()
            .filter(|line| line.name == metric.as_bytes())
            .ok_or(SelectorError::Name)?
            .parse(usize::MAX)
            .map_err(|error| match error {
                BadLine::Name => SelectorError::Name,
                BadLine::Value | BadLine::Timestamp => SelectorError::Trailing,
                other => SelectorError::Matchers(other),
            })?;
        if sample.timestamp.is_some() {
            return Err(SelectorError::Trailing);
        }
        let matchers = sample
            .labels
            .iter()
            .map(|label| (label.name.to_owned(), label.value().into_owned()))
            .collect();
        Ok(Self {
            metric: metric.to_owned(),
            matchers,
        })
    }

    pub(crate) fn matches(&self, labels: &Labels<'_>) -> bool {
        self.matchers.iter().all(|(name, wanted)| {
            labels
                .get(name)
                .map_or(wanted.is_empty(), |value| value == wanted.as_str())
        })
    }
}
