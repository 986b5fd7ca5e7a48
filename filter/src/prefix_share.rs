//! What the workers of this Envoy tell each other about the prompts they sent.
//!
//! ```text
//!   worker A: dispatch --> log in slot A --+--> version key moves
//!   worker B: dispatch --> log in slot B --+         |
//!                                                    v
//!   every worker, when it moved: the logs of the other living workers --> Picker
//! ```
//!
//! Each worker has an index of its own, so that a pick shares no lock with anybody; a note that comes
//! some milliseconds late costs nothing, because the next turn of a chat takes longer to come, and
//! prompts that are new everywhere go where all workers send them without talking. So notes are
//! published and read in batches. With one worker nothing is written and nothing read.

use picker::{Millis, PrefixNote};
use pool_state::slot::{
    SlotError,
    prefix_log::{LogReader, LogWriter, News},
    version,
};
use xxhash_rust::xxh64::xxh64;

use crate::{host::Host, slots};

/// The least time between two publications, in milliseconds.
pub const PUBLISH_MS: u64 = 20;
/// The least time between two readings, in milliseconds.
pub const READ_MS: u64 = 20;

/// One worker's part in the sharing.
#[derive(Debug)]
pub struct PrefixShare {
    owner: u64,
    keys: Vec<String>,
    version_key: String,
    log: LogWriter,
    /// Notes that the others cannot see yet.
    unpublished: u64,
    published: Option<Millis>,
    publications: u64,
    others: LogReader,
    seen: Option<u64>,
    read: Option<Millis>,
}

impl PrefixShare {
    /// The part of the worker `owner`, which has shared nothing yet.
    #[must_use]
    pub fn new(owner: u64) -> Self {
        Self {
            owner,
            keys: slots::prefix_keys(),
            version_key: slots::prefix_version_key(),
            log: LogWriter::new(owner),
            unpublished: 0,
            published: None,
            publications: 0,
            others: LogReader::default(),
            seen: None,
            read: None,
        }
    }

    /// Notes a prompt for the others; [`PrefixShare::publish`] shows it to them.
    pub fn note(&mut self, note: &PrefixNote) {
        self.log.push(note);
        self.unpublished = self.unpublished.saturating_add(1);
    }

    /// Shows the others what was noted, in the slot of this number, if there is anything and the last
    /// time is long enough ago. Returns how many notes that were.
    pub fn publish(&mut self, host: &dyn Host, slot: Option<usize>, now: Millis) -> u64 {
        let Some(key) = slot.and_then(|slot| self.keys.get(slot)) else {
            return 0;
        };
        if self.unpublished == 0 || !is_due(self.published, now, PUBLISH_MS) {
            return 0;
        }
        self.published = Some(now);
        self.publications = self.publications.wrapping_add(1);
        // The key need only move. What two workers write at the same moment differs from what was there
        // before either way, so no guard is needed.
        let mark = xxh64(&self.publications.to_le_bytes(), self.owner);
        let written = host
            .set_shared(key, &self.log.encode())
            .and_then(|()| host.set_shared(&self.version_key, &version::encode(mark)));
        if let Err(error) = written {
            log::warn!("notes about prompts were not shared in {key}: {error}");
        }
        std::mem::take(&mut self.unpublished)
    }

    /// Gives what the workers in the slots `live` noted to `apply`, each note once, if any was published
    /// since the last reading and that is long enough ago.
    pub fn news(
        &mut self,
        host: &dyn Host,
        live: &[usize],
        now: Millis,
        apply: &mut dyn FnMut(&PrefixNote),
    ) -> News {
        let mut sum = News::default();
        if live.is_empty() || !is_due(self.read, now, READ_MS) {
            return sum;
        }
        self.read = Some(now);
        let version = slots::version_of(host, &self.version_key);
        if version == self.seen {
            return sum;
        }
        self.seen = version;
        for key in live.iter().filter_map(|slot| self.keys.get(*slot)) {
            match self.others.news(&host.shared(key).value, apply) {
                Ok(news) => {
                    sum.applied = sum.applied.saturating_add(news.applied);
                    sum.missed = sum.missed.saturating_add(news.missed);
                }
                // A worker that has noted nothing yet.
                Err(SlotError::Empty) => {}
                Err(error) => log::debug!("notes about prompts in {key} are none: {error}"),
            }
        }
        sum
    }
}

fn is_due(last: Option<Millis>, now: Millis, every: u64) -> bool {
    last.is_none_or(|last| now.since(last) >= every)
}

#[cfg(test)]
mod tests;
