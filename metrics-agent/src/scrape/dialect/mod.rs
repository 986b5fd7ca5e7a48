//! Which metric names mean which signal, engine by engine.
//!
//! ```text
//!   vllm.rs sglang.rs trtllm.rs triton.rs presets.rs     custom.rs (from the configuration)
//!          \      \       |       /      /                   /
//!           v      v      v      v      v                   v
//!              RuleTable: name -> rules (field, matchers, source)
//!                               |
//!   chunks of a page --> PageReader: one accumulator per rule --> Scraped
//! ```
//!
//! A dialect is data: a list of rules "this selector is that field". The rules of one field are
//! tried in order, so that a renamed metric is two rules. `auto` is the union of the built-in
//! dialects: their names are disjoint, so reading a page with all of them costs one table look-up a
//! line, and the dialect with the most rules met has read the page.
//!
//! Several series of one metric (data-parallel engines, models of one server) are aggregated:
//! queues, batches and counters are added up, KV-cache utilization is the maximum, and ranks that
//! mirror each other ([`Dialect`] of SGLang) count once. A wanted line that cannot be read, or a
//! value that cannot be true, makes its signal unknown: the sum over the rest would be too small,
//! and too small attracts traffic.

mod accumulator;
mod auto;
pub mod custom;
mod field;
mod lora;
mod page;
mod presets;
mod reader;
mod selector;
mod sglang;
mod summary;
mod table;
mod triton;
mod trtllm;
mod vllm;

use std::sync::Arc;

pub use custom::{CustomDialect, RawCustomDialect};
pub use reader::PageReader;

use super::{Scraped, exposition::PageLimits};
use table::RuleTable;

/// A compiled dialect; cheap to clone and to share.
#[derive(Debug, Clone)]
pub struct Dialect {
    name: Arc<str>,
    metrics_path: &'static str,
    table: Arc<RuleTable>,
}

impl Dialect {
    /// The names that [`Dialect::builtin`] knows.
    pub const BUILTIN: [&'static str; 8] = [
        auto::NAME,
        vllm::PRESET.name,
        sglang::PRESET.name,
        trtllm::PRESET.name,
        triton::PRESET.name,
        presets::TGI.name,
        presets::LMDEPLOY.name,
        presets::LLAMA_CPP.name,
    ];

    /// The built-in dialect called `name`; `None` when it is none of [`Dialect::BUILTIN`].
    #[must_use]
    pub fn builtin(name: &str) -> Option<Self> {
        auto::dialect(name)
    }

    /// The dialect of an operator's own configuration.
    #[must_use]
    pub fn custom(name: &str, custom: &CustomDialect) -> Self {
        Self::new(name, "/metrics", custom.table(name))
    }

    fn new(name: &str, metrics_path: &'static str, table: RuleTable) -> Self {
        Self {
            name: Arc::from(name),
            metrics_path,
            table: Arc::new(table),
        }
    }

    /// The name under which it is configured.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path that serves the metrics unless the configuration says otherwise.
    #[must_use]
    pub const fn metrics_path(&self) -> &'static str {
        self.metrics_path
    }

    /// A reader for one page that arrives in chunks.
    #[must_use]
    pub fn reader(&self, limits: PageLimits) -> PageReader<'_> {
        PageReader::new(&self.table, limits)
    }

    /// Reads a page that is at hand as a whole.
    #[must_use]
    pub fn read(&self, page: &[u8], limits: PageLimits) -> Scraped {
        let mut reader = self.reader(limits);
        reader.push(page);
        reader.finish(true)
    }
}

#[cfg(test)]
mod tests;
