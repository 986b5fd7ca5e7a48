//! What is noted of one request for the metrics, from its headers to its end.

use crate::{answer::Answer, answer::Measured, metrics::Ended};

/// The notes. Whoever begins them ends them, exactly once.
#[derive(Debug)]
#[must_use = "a record that is not ended leaves its request running"]
pub struct Record {
    /// The pool, as an index into the configuration.
    pub pool: usize,
    /// The row of [`crate::metrics::RequestMetrics`].
    pub row: usize,
    /// A model that has no row, to get one when a model server answers for it.
    pub unknown: Option<String>,
    /// When the headers came, nanoseconds on the host's clock.
    pub arrived: u64,
    /// The length of the body as far as it is known.
    pub bytes: u64,
    /// The status of the answer.
    pub status: Option<u64>,
    /// Whether the answer was the filter's own.
    pub refused: bool,
}

impl Record {
    /// How the request ended that has this answer, at `now` on the host's clock.
    #[must_use]
    pub fn ended<'a>(
        &self,
        answer: Option<&Answer>,
        measured: Option<&'a Measured>,
        now: u64,
    ) -> Ended<'a> {
        Ended {
            nanos: now.saturating_sub(self.arrived),
            status: self.status,
            refused: self.refused,
            request_bytes: self.bytes,
            response_bytes: answer.map_or(0, Answer::bytes),
            first_token_nanos: answer
                .and_then(Answer::first_token_at)
                .map(|at| at.saturating_sub(self.arrived)),
            measured,
        }
    }

    /// The model that a model server answered for, if it has no row yet.
    #[must_use]
    pub fn proven(&self) -> Option<&str> {
        let accepted = matches!(self.status, Some(200..300)) && !self.refused;
        self.unknown.as_deref().filter(|_| accepted)
    }
}
