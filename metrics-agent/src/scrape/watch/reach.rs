//! Whether the server can be reached.

use picker::Millis;

use super::Cause;
use crate::scrape::FailureKind;

/// Counts failures since the last answer.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    silent_after_ms: u64,
    failures: u32,
    /// When the scrape was sent that is not answered yet.
    asked_at: Option<Millis>,
    refused: bool,
    silent: bool,
    silent_failures: u32,
    server_errors: u32,
}

impl Reach {
    pub(super) const fn new(silent_after_ms: u64, failures: u32) -> Self {
        Self {
            silent_after_ms,
            failures,
            asked_at: None,
            refused: false,
            silent: false,
            silent_failures: 0,
            server_errors: 0,
        }
    }

    pub(super) const fn started(&mut self, at: Millis) {
        self.asked_at = Some(at);
    }

    /// A page came, or at least an answer of a server that lives.
    pub(super) const fn answered(&mut self) {
        *self = Self::new(self.silent_after_ms, self.failures);
    }

    pub(super) fn failed(&mut self, kind: FailureKind, at: Millis) {
        let asked_at = self.asked_at.take();
        match kind {
            FailureKind::Refused => self.refused = true,
            FailureKind::Silent => {
                self.silent_failures = self.silent_failures.saturating_add(1);
                let waited_ms = asked_at.map_or(0, |asked_at| at.since(asked_at));
                self.silent |=
                    waited_ms >= self.silent_after_ms || self.silent_failures >= self.failures;
            }
            FailureKind::ServerError => {
                let server_errors = self.server_errors.saturating_add(1);
                self.answered();
                self.server_errors = server_errors;
            }
            FailureKind::NoMetrics => self.answered(),
        }
    }

    pub(super) fn cause(&self, now: Millis) -> Option<Cause> {
        let waiting_long = self
            .asked_at
            .is_some_and(|asked_at| now.since(asked_at) >= self.silent_after_ms);
        if self.refused {
            Some(Cause::Refused)
        } else if self.silent || waiting_long {
            Some(Cause::Silent)
        } else if self.server_errors >= self.failures {
            Some(Cause::ServerErrors)
        } else {
            None
        }
    }
}
