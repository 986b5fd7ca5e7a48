//! Adapters in the labels of an info metric such as `vllm:lora_requests_info`.
//!
//! The gauge's value is the time of the record, and every combination of adapters that ever ran
//! stays in the page for ever: only the newest series says anything. The order of the adapters in
//! a label varies. In vLLM 0.11 and later the waiting label repeats the running one, and adapters
//! whose requests only wait are in neither.

use std::sync::Arc;

use crate::scrape::{AdapterActivity, exposition::Labels};

/// Adapters kept of one label.
const MOST_ADAPTERS: usize = 256;
/// Bytes of an adapter's name; longer ones are left out.
const LONGEST_NAME: usize = 256;

/// Which labels hold what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoraLabels {
    pub(crate) active: String,
    pub(crate) waiting: String,
    pub(crate) max: String,
}

impl Default for LoraLabels {
    /// vLLM's names, unchanged since 0.6.
    fn default() -> Self {
        Self {
            active: "running_lora_adapters".to_owned(),
            waiting: "waiting_lora_adapters".to_owned(),
            max: "max_lora".to_owned(),
        }
    }
}

/// The newest series met so far.
#[derive(Debug, Default)]
pub(crate) struct NewestLora {
    recorded_at: f64,
    activity: Option<AdapterActivity>,
}

impl NewestLora {
    /// Takes a series if it is newer than those before it.
    pub(crate) fn offer(&mut self, names: &LoraLabels, labels: &Labels<'_>, recorded_at: f64) {
        if self.activity.is_some() && recorded_at <= self.recorded_at {
            return;
        }
        let text = |name: &str| labels.get(name).unwrap_or_default();
        self.recorded_at = recorded_at;
        self.activity = Some(AdapterActivity {
            active: adapters(&text(&names.active)),
            waiting: adapters(&text(&names.waiting)),
            max: text(&names.max).trim().parse().unwrap_or(0),
        });
    }

    pub(crate) fn into_activity(self) -> Option<AdapterActivity> {
        self.activity
    }
}

/// The names in a comma-separated list, sorted and without duplicates.
fn adapters(list: &str) -> Vec<Arc<str>> {
    let mut names: Vec<&str> = list
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME)
        .take(MOST_ADAPTERS)
        .collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(Arc::from).collect()
}
