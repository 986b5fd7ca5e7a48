//! What is new in the logs of the other workers.

use picker::PrefixNote;

use super::Opened;
use crate::slot::SlotError;

/// The most owners that a reader remembers: more workers than an Envoy has, over some reloads. Of one
/// that was forgotten all notes are news again, which changes little.
pub const MAX_OWNERS: usize = 256;

/// How far a reader has got with each owner's log.
#[derive(Debug, Default)]
pub struct LogReader {
    /// Each owner and the sequence of its next note; the longest unseen first.
    pub(super) owners: Vec<(u64, u64)>,
}

/// What one look at a log brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct News {
    /// Notes that were applied.
    pub applied: u64,
    /// Notes that had fallen out of the log since the last look.
    pub missed: u64,
}

impl LogReader {
    /// Hands every note of the log in a slot that was not seen before to `apply`, oldest first. A new
    /// owner's log is news from its first note on, and nothing of it was missed.
    ///
    /// # Errors
    /// When the bytes are no log. Nothing of them is applied then, and the owner is as before. Of a log
    /// without news only the frame and the head are checked.
    pub fn news(
        &mut self,
        value: &[u8],
        apply: &mut dyn FnMut(&PrefixNote),
    ) -> Result<News, SlotError> {
        let mut opened = Opened::open(value)?;
        let first = opened.first_sequence;
        let end = first.saturating_add(opened.count as u64);
        let at = self
            .owners
            .iter()
            .position(|(owner, _)| *owner == opened.owner);
        if let Some(seen_again) = at.and_then(|at| self.owners.get_mut(at..)) {
            seen_again.rotate_left(1);
        }
        let known = self.owners.last_mut().filter(|_| at.is_some());
        let next = known.as_ref().map_or(first, |known| known.1);
        if known.is_some() && end <= next {
            // The usual case when many workers look often.
            return Ok(News::default());
        }

        let seen = usize::try_from(next.saturating_sub(first)).unwrap_or(usize::MAX);
        let mut unseen = Vec::with_capacity(opened.count.saturating_sub(seen));
        for index in 0..opened.count {
            let found = opened.note(index)?;
            if index >= seen {
                unseen.push(found);
            }
        }
        opened.reader.finish()?;

        match known {
            Some(known) => known.1 = end,
            None => {
                if self.owners.len() >= MAX_OWNERS {
                    self.owners.remove(0);
                }
                self.owners.push((opened.owner, end));
            }
        }
        for found in &unseen {
            apply(&found.to_note());
        }
        Ok(News {
            applied: unseen.len() as u64,
            missed: first.saturating_sub(next),
        })
    }
}
