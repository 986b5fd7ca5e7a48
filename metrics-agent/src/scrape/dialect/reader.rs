//! Reads one page in one dialect, or in all of them.

use super::{page::Page, table::RuleTable};
use crate::scrape::{
    Scraped,
    exposition::{Flow, LineSplitter, PageLimits},
};

/// Reads one page that arrives in chunks. Its memory does not grow with the page.
#[derive(Debug)]
pub struct PageReader<'d> {
    splitter: LineSplitter,
    page: Page<'d>,
}

impl<'d> PageReader<'d> {
    pub(crate) fn new(table: &'d RuleTable, limits: PageLimits) -> Self {
        Self {
            splitter: LineSplitter::new(limits),
            page: Page::new(table, limits.labels),
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
