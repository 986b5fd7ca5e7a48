//! Which publication to believe: the acceptance rule for one pool's messages.
//!
//! A *run* is one `(agent, epoch)`: one process of one agent. Two agents may both push to this
//! gateway, messages may come late, agents restart. The rule:
//!
//! ```text
//!   message of the run that is held     taken when its sequence is greater, else old
//!   message of a newer epoch of the     taken at once: the agent restarted
//!     same agent
//!   message of any other run            held back until the present run is stale (nothing taken
//!     (another agent, older epoch)      for 1 s) and the last change of run is 3 s ago; then
//!                                       taken, if its sequence is greater than the last taken
//!                                       of that run
//! ```
//!
//! So views of two agents are never merged, the pool does not flap between them, and time never
//! runs back within a run.

use std::collections::VecDeque;

use picker::{Millis, SnapshotVersion};

/// The held run counts as stale when no message of it was taken for this long.
pub const STALE_AFTER_MS: u64 = 1_000;
/// The least time between two changes of run.
pub const HOLD_MS: u64 = 3_000;
/// How many runs the gate remembers, so that late messages of a former run stay old. A message would
/// have to be late by that many restarts to be taken for news.
const REMEMBERED_RUNS: usize = 16;

/// What the gate says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It follows what is held: the same run, a later sequence.
    Next,
    /// It starts another run: only a whole snapshot may be taken.
    Switch,
    /// It comes from a run that may not take over yet.
    Held,
    /// It is not newer than what was taken of its run.
    Old,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    agent_id: u64,
    epoch: u64,
}

impl Run {
    const fn of(version: SnapshotVersion) -> Self {
        Self {
            agent_id: version.agent_id,
            epoch: version.epoch,
        }
    }

    const fn restarts(self, former: Self) -> bool {
        self.agent_id == former.agent_id && self.epoch > former.epoch
    }
}

#[derive(Debug, Clone, Copy)]
struct Present {
    run: Run,
    last_taken: Millis,
    switched: Option<Millis>,
}

/// The acceptance rule with its memory; one for each pool.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    present: Option<Present>,
    /// The last sequence taken of each run, the latest run last.
    history: VecDeque<(Run, u64)>,
}

impl Gate {
    /// A gate that has taken nothing and takes the first message that comes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What to do with a message of this version that arrives at `now`. Nothing counts as taken
    /// until [`Gate::take`] says so.
    #[must_use]
    pub fn judge(&mut self, version: SnapshotVersion, now: Millis) -> Verdict {
        let run = Run::of(version);
        if self
            .sequence_of(run)
            .is_some_and(|taken| version.sequence <= taken)
        {
            return Verdict::Old;
        }
        let Some(present) = &mut self.present else {
            return Verdict::Switch;
        };
        // A clock that steps back must not keep a dead run alive until it has caught up.
        present.last_taken = present.last_taken.min(now);
        present.switched = present.switched.map(|switched| switched.min(now));
        if run == present.run {
            return Verdict::Next;
        }
        let stale = now.since(present.last_taken) >= STALE_AFTER_MS;
        let settled = present
            .switched
            .is_none_or(|switched| now.since(switched) >= HOLD_MS);
        if run.restarts(present.run) || (stale && settled) {
            Verdict::Switch
        } else {
            Verdict::Held
        }
    }

    /// Records that the message of this version was taken at `now`; call it after [`Gate::judge`]
    /// said [`Verdict::Next`] or [`Verdict::Switch`].
    pub fn take(&mut self, version: SnapshotVersion, now: Millis) {
        let run = Run::of(version);
        let switched = match self.present {
            // The first run was not a change: another may follow as soon as it is stale.
            None => None,
            Some(present) if present.run == run => present.switched,
            Some(_) => Some(now),
        };
        self.present = Some(Present {
            run,
            last_taken: now,
            switched,
        });
        self.history.retain(|(known, _)| *known != run);
        if self.history.len() >= REMEMBERED_RUNS {
            self.history.pop_front();
        }
        self.history.push_back((run, version.sequence));
    }

    fn sequence_of(&self, run: Run) -> Option<u64> {
        self.history
            .iter()
            .rev()
            .find(|(known, _)| *known == run)
            .map(|(_, sequence)| *sequence)
    }
}

#[cfg(test)]
mod tests;
