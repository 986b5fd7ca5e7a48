//! One worker's side of the board: what it says of itself there, and what it reads of the others.
//!
//! ```text
//!   board   | owner 7: priority 10, 3 wait, queue 2 |      holds back everything less than 10
//!           | owner 9: priority  0, 1 waits, queue 4|      is not woken before owner 7 has nothing left
//! ```
//!
//! A row lives for [`EXPIRY_MS`] after its beat; while requests wait, the tick renews it. So a worker
//! that died holds nobody back for longer.

use picker::{Millis, Priority};
use pool_state::slot::board::{self, MAX_ROWS, Row};

use crate::site::{Guard, Shared, Site};

/// How long a row is believed, in milliseconds: a dozen ticks, so that a busy worker's row does not
/// vanish between two.
pub(crate) const EXPIRY_MS: u64 = 250;
/// How often a row is renewed, in milliseconds.
const RENEW_MS: u64 = 50;
/// How old a copy of the board may be for those who free room, in milliseconds.
const COPY_MS: u64 = 2;
/// How often a row is tried to write before the next tick has to do it.
const TRIES: usize = 16;

/// What this worker last wrote and read.
#[derive(Debug)]
pub(crate) struct Board {
    owner: u64,
    written: Option<(Priority, Millis)>,
    /// The other workers' rows, and when they were read.
    others: Vec<Row>,
    read_at: Option<Millis>,
}

impl Board {
    pub(crate) const fn new(owner: u64) -> Self {
        Self {
            owner,
            written: None,
            others: Vec::new(),
            read_at: None,
        }
    }

    /// Reads the others' rows anew.
    pub(crate) fn read<T>(&mut self, site: &mut impl Site<T>, now: Millis) -> Guard {
        let (bytes, guard) = site.read(Shared::Board);
        self.others.clear();
        // What cannot be read says nothing; whoever writes next replaces it.
        if !bytes.is_empty()
            && let Ok(rows) = board::decode(&bytes)
        {
            let others = rows.into_iter().filter(|row| row.owner != self.owner);
            self.others.extend(others.filter(|row| lives(row, now)));
        }
        self.read_at = Some(now);
        guard
    }

    /// Reads them anew unless that was done just now.
    pub(crate) fn glance<T>(&mut self, site: &mut impl Site<T>, now: Millis) {
        if self.read_at.is_none_or(|at| now.since(at) >= COPY_MS) {
            self.read(site, now);
        }
    }

    /// Whether the board says that something waits here.
    pub(crate) const fn has_row(&self) -> bool {
        self.written.is_some()
    }

    /// The greatest priority that waits in another worker.
    pub(crate) fn highest_elsewhere(&self) -> Option<Priority> {
        self.others.iter().map(|row| row.priority).max()
    }

    /// The queues of the other workers in which this priority waits.
    pub(crate) fn queues_of(&self, priority: Priority) -> impl Iterator<Item = u32> {
        let rows = self.others.iter();
        rows.filter(move |row| row.priority == priority)
            .map(|row| row.queue)
    }

    /// What waits in the other workers by the last reading: requests and bytes.
    pub(crate) fn waiting_elsewhere(&self) -> (u64, u64) {
        let rows = self.others.iter();
        rows.fold((0, 0), |(requests, bytes): (u64, u64), row| {
            (
                requests.saturating_add(row.waiting.into()),
                bytes.saturating_add(row.bytes),
            )
        })
    }

    /// Says what waits here: the greatest priority, how many requests and how many bytes. Returns whether the greatest
    /// priority is less than what was said before, so that others may go now.
    pub(crate) fn say<T>(
        &mut self,
        site: &mut impl Site<T>,
        waits: Option<(Priority, usize, u64)>,
        now: Millis,
    ) -> bool {
        let said = self.written.map(|(priority, _)| priority);
        let says = waits.map(|(priority, ..)| priority);
        let renew = self
            .written
            .is_some_and(|(_, at)| now.since(at) >= RENEW_MS);
        if said == says && !renew {
            return false;
        }
        for _ in 0..TRIES {
            let guard = self.read(site, now);
            let mut rows = self.others.clone();
            // A full board has no place for another row; its worker relies on its tick.
            if let (Some((priority, waiting, bytes)), Some(queue)) = (waits, site.queue())
                && rows.len() < MAX_ROWS
            {
                rows.push(Row {
                    owner: self.owner,
                    beat: now,
                    queue,
                    priority,
                    waiting: u32::try_from(waiting).unwrap_or(u32::MAX).max(1),
                    bytes,
                });
            }
            if site.replace(Shared::Board, &board::encode(&rows), guard) {
                self.written = says.map(|priority| (priority, now));
                return said > says;
            }
        }
        false
    }
}

/// Whether a row's owner still lives. A beat from the far future was not written by us.
fn lives(row: &Row, now: Millis) -> bool {
    now.since(row.beat) < EXPIRY_MS && row.beat.since(now) < EXPIRY_MS
}
