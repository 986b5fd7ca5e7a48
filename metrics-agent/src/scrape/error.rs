//! Why a scrape failed.

use std::{error::Error, io, sync::Arc, time::Duration};

/// A scrape that brought nothing: who and why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{url}: {failure}")]
pub struct ScrapeError {
    /// What was asked for.
    pub url: Arc<str>,
    /// What went wrong.
    pub failure: ScrapeFailure,
}

/// What went wrong with one exchange.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScrapeFailure {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// No connection within the connect timeout.
    #[error("no connection within {} ms", .0.as_millis())]
    ConnectTimeout(Duration),
    /// There is no way to the address.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// The whole page did not come within the scrape timeout.
    #[error("no whole answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The connection broke or the answer is no HTTP.
    #[error("broken exchange: {0}")]
    Broken(String),
    /// The status is not 200. Redirects are not followed.
    #[error("status {0} instead of 200")]
    Status(u16),
    /// The body is of another kind.
    #[error("content type `{0}` instead of {1}")]
    ContentType(String, &'static str),
    /// The body is compressed although nobody asked for that.
    #[error("content encoding `{0}`, which was not asked for")]
    ContentEncoding(String),
    /// The body is larger than allowed.
    #[error("more than {0} bytes")]
    TooLarge(usize),
    /// The body is not what its type says.
    #[error("unreadable body: {0}")]
    Unreadable(String),
}

/// What a failure says about the engine's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Nobody listens: the engine is gone.
    Refused,
    /// No answer in time, or the connection broke: gone, hung or overloaded.
    Silent,
    /// The server answers that it cannot serve (5xx).
    ServerError,
    /// The server lives but its page is of no use (4xx, type, size): its signals are unknown.
    NoMetrics,
}

impl FailureKind {
    /// The kind as a metric label and log word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::ServerError => "server_error",
            Self::NoMetrics => "no_metrics",
        }
    }
}

impl ScrapeError {
    /// What the failure says about the engine's life.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        match &self.failure {
            ScrapeFailure::Refused => FailureKind::Refused,
            ScrapeFailure::ConnectTimeout(_)
            | ScrapeFailure::Unreachable(_)
            | ScrapeFailure::Timeout(_)
            | ScrapeFailure::Broken(_) => FailureKind::Silent,
            ScrapeFailure::Status(500..=599) => FailureKind::ServerError,
            ScrapeFailure::Status(_)
            | ScrapeFailure::ContentType(..)
            | ScrapeFailure::ContentEncoding(_)
            | ScrapeFailure::TooLarge(_)
            | ScrapeFailure::Unreadable(_) => FailureKind::NoMetrics,
        }
    }
}

/// The deepest I/O error among an error's causes.
pub(super) fn io_cause<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e io::Error> {
    causes(error)
        .filter_map(|cause| cause.downcast_ref())
        .last()
}

/// An error and its causes in one line: each says only its own part.
pub(super) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let parts: Vec<String> = causes(error).map(ToString::to_string).collect();
    parts.join(": ")
}

fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}
