//! What the log says of endpoints: changes of state, and not more of them than people can read.

use std::sync::{Mutex, PoisonError};

use picker::Millis;

/// Lines for each window at most.
const LINES: u32 = 20;
const WINDOW_MS: u64 = 1_000;
/// A failure that lasts is told again after this time.
const REMIND_MS: u64 = 60_000;

/// A budget of log lines shared by all endpoints: when a whole rack fails, the log says so with a
/// few lines and a count.
#[derive(Debug, Default)]
pub(super) struct Notices {
    window: Mutex<Window>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Window {
    since: Millis,
    lines: u32,
    suppressed: u64,
}

/// Whether a line may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// Yes; so many lines were left out before it.
    Given(u64),
    /// No.
    Refused,
}

impl Notices {
    pub(super) fn ask(&self, now: Millis) -> Leave {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if now.since(window.since) >= WINDOW_MS {
            window.since = now;
            window.lines = 0;
        }
        if window.lines >= LINES {
            window.suppressed = window.suppressed.saturating_add(1);
            return Leave::Refused;
        }
        window.lines += 1;
        Leave::Given(std::mem::take(&mut window.suppressed))
    }
}

/// What was told of one endpoint last.
#[derive(Debug, Default)]
pub(super) struct Told {
    failing: Option<(String, Millis)>,
}

/// What there is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tell {
    /// It fails for the first time, in another way, or for a long time.
    Failing,
    /// It is well again.
    Recovered,
    /// Nothing new.
    Nothing,
}

impl Told {
    /// Takes the newest state: `trouble` names what is wrong.
    pub(super) fn update(&mut self, trouble: Option<&str>, now: Millis) -> Tell {
        match (&self.failing, trouble) {
            (Some((told, at)), Some(trouble)) if told == trouble && now.since(*at) < REMIND_MS => {
                Tell::Nothing
            }
            (_, Some(trouble)) => {
                self.failing = Some((trouble.to_owned(), now));
                Tell::Failing
            }
            (Some(_), None) => {
                self.failing = None;
                Tell::Recovered
            }
            (None, None) => Tell::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_rack_gets_a_few_lines_and_a_count() {
        let notices = Notices::default();
        let given = (0..1_000)
            .filter(|_| notices.ask(Millis(5_000)) != Leave::Refused)
            .count();
        assert_eq!(given, 20);
        assert_eq!(notices.ask(Millis(6_000)), Leave::Given(980));
        assert_eq!(notices.ask(Millis(6_000)), Leave::Given(0));
    }

    #[test]
    fn a_lasting_failure_is_told_once_a_minute() {
        let mut told = Told::default();
        assert_eq!(told.update(None, Millis(0)), Tell::Nothing);
        assert_eq!(told.update(Some("refused"), Millis(1)), Tell::Failing);
        assert_eq!(told.update(Some("refused"), Millis(2)), Tell::Nothing);
        assert_eq!(told.update(Some("silent"), Millis(3)), Tell::Failing);
        assert_eq!(told.update(Some("silent"), Millis(60_004)), Tell::Failing);
        assert_eq!(told.update(None, Millis(60_005)), Tell::Recovered);
        assert_eq!(told.update(None, Millis(60_006)), Tell::Nothing);
    }
}
