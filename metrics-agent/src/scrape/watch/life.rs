//! Which life of the engine this is.

use picker::Millis;
use xxhash_rust::xxh64::xxh64;

use crate::scrape::Scraped;

/// Start times that differ by less are the same: the kernel counts in hundredths of a second.
const SAME_START_SECONDS: f64 = 0.05;
/// Scrapes in a row that must show fewer tokens than before. One is not enough: behind one port
/// there may be several processes that answer in turn, each with counters of its own.
const FALLEN_SCRAPES: u32 = 2;

/// Tells restarts from the start time that the process names and from counters that fall.
#[derive(Debug, Clone)]
pub(super) struct Life {
    spacing_ms: u64,
    start: Option<f64>,
    highest: Counters,
    fallen_scrapes: u32,
    falls: u64,
    restarts: u64,
    restarted_at: Option<Millis>,
}

/// The counters that only a restart makes smaller.
#[derive(Debug, Clone, Copy, Default)]
struct Counters {
    generated: Option<f64>,
    prompted: Option<f64>,
    finished: Option<f64>,
}

impl Life {
    pub(super) const fn new(spacing_ms: u64) -> Self {
        Self {
            spacing_ms,
            start: None,
            highest: Counters {
                generated: None,
                prompted: None,
                finished: None,
            },
            fallen_scrapes: 0,
            falls: 0,
            restarts: 0,
            restarted_at: None,
        }
    }

    /// Takes a page; true when it is the first one known to be of a new life.
    pub(super) fn scraped(&mut self, scraped: &Scraped, at: Millis) -> bool {
        let counters = Counters::of(scraped);
        let fell = counters.below(&self.highest);
        self.fallen_scrapes = if fell {
            self.fallen_scrapes.saturating_add(1)
        } else {
            0
        };
        let start = scraped.process_start_time_seconds;
        // Only a later start is a new life: several processes behind one port name several starts.
        let started_anew = match (self.start, start) {
            (Some(known), Some(start)) => start > known + SAME_START_SECONDS,
            _ => false,
        };
        let reborn = started_anew || self.fallen_scrapes >= FALLEN_SCRAPES;
        let spaced = self
            .restarted_at
            .is_none_or(|restarted| at.since(restarted) >= self.spacing_ms);
        if reborn && spaced {
            self.restarted_at = Some(at);
            self.restarts = self.restarts.saturating_add(1);
            if started_anew {
                self.start = start;
            } else {
                self.falls = self.falls.saturating_add(1);
            }
            self.highest = counters;
            self.fallen_scrapes = 0;
            return true;
        }
        self.start = self.start.or(start);
        if !fell {
            self.highest = counters.or(&self.highest);
        }
        false
    }

    pub(super) fn id(&self) -> u64 {
        match (self.start, self.falls) {
            (None, falls) => falls,
            (Some(start), falls) => xxh64(&start.to_bits().to_le_bytes(), falls),
        }
    }

    pub(super) const fn restarts(&self) -> u64 {
        self.restarts
    }
}

impl Counters {
    const fn of(scraped: &Scraped) -> Self {
        Self {
            generated: scraped.generation_tokens_total,
            prompted: scraped.prompt_tokens_total,
            finished: scraped.success_total,
        }
    }

    fn below(&self, highest: &Self) -> bool {
        let fell = |now: Option<f64>, before: Option<f64>| match (now, before) {
            (Some(now), Some(before)) => now < before,
            _ => false,
        };
        fell(self.generated, highest.generated)
            || fell(self.prompted, highest.prompted)
            || fell(self.finished, highest.finished)
    }

    fn or(&self, older: &Self) -> Self {
        Self {
            generated: self.generated.or(older.generated),
            prompted: self.prompted.or(older.prompted),
            finished: self.finished.or(older.finished),
        }
    }
}
