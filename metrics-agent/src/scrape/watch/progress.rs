//! Whether a busy engine moves.

use picker::Millis;

use crate::scrape::Scraped;

/// Watches the numbers that move with every step of a busy engine: generated tokens, prompt tokens
/// and, because a long prompt is computed in several steps of which only the last one counts its
/// tokens, KV-cache utilization.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    hang_after_ms: u64,
    hang_scrapes: u32,
    stand: Option<Stand>,
    hung: bool,
}

/// The present numbers and how long they have been the same.
#[derive(Debug, Clone, Copy)]
struct Stand {
    generated: f64,
    prompted: Option<f64>,
    kv_usage: Option<f32>,
    since: Millis,
    scrapes: u32,
}

impl Progress {
    pub(super) const fn new(hang_after_ms: u64, hang_scrapes: u32) -> Self {
        Self {
            hang_after_ms,
            hang_scrapes,
            stand: None,
            hung: false,
        }
    }

    pub(super) const fn reset(&mut self) {
        self.stand = None;
        self.hung = false;
    }

    pub(super) fn scraped(&mut self, scraped: &Scraped, at: Millis) {
        let busy = scraped.moves_every_step && scraped.running.is_some_and(|running| running > 0.0);
        let (true, Some(generated)) = (busy, scraped.generation_tokens_total) else {
            self.reset();
            return;
        };
        let mut now = Stand {
            generated,
            prompted: scraped.prompt_tokens_total,
            kv_usage: scraped.kv_usage,
            since: at,
            scrapes: 1,
        };
        if let Some(before) = self.stand.filter(|before| before.same_numbers(&now)) {
            now.since = before.since;
            now.scrapes = before.scrapes.saturating_add(1);
        }
        self.hung = at.since(now.since) >= self.hang_after_ms && now.scrapes >= self.hang_scrapes;
        self.stand = Some(now);
    }

    pub(super) const fn hung(&self) -> bool {
        self.hung
    }

    /// When the numbers of a hung engine were new.
    pub(super) fn frozen_since(&self) -> Option<Millis> {
        self.stand.filter(|_| self.hung).map(|stand| stand.since)
    }
}

impl Stand {
    /// Bitwise, because a number that stands still is the same text every time.
    fn same_numbers(&self, other: &Self) -> bool {
        self.generated.to_bits() == other.generated.to_bits()
            && self.prompted.map(f64::to_bits) == other.prompted.map(f64::to_bits)
            && self.kv_usage.map(f32::to_bits) == other.kv_usage.map(f32::to_bits)
    }
}
