//! What can go wrong while a test is set up, in words that say what to do next.

use std::{path::PathBuf, time::Duration};

/// Why the rig could not do its part.
#[derive(Debug, thiserror::Error)]
pub enum RigError {
    /// Something that has to be built or fetched first is not there.
    #[error("{what} is missing at {path}; run `{run}` first, or set {variable} to where it is")]
    Missing {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The command that makes it.
        run: &'static str,
        /// The environment variable that names another place.
        variable: &'static str,
    },
    /// The operating system refused something.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// The refusal.
        source: std::io::Error,
    },
    /// A file of ours is not what the rig expects.
    #[error("{path}: {problem}")]
    Config {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A process ended, or never became ready.
    #[error("{name} {problem}; the end of its log:\n{log}")]
    Process {
        /// Which process.
        name: String,
        /// What it did.
        problem: String,
        /// The last lines of its output.
        log: String,
    },
    /// Something awaited did not come true.
    #[error("after {waited:?} still not: {what}")]
    TimedOut {
        /// What was awaited.
        what: String,
        /// For how long.
        waited: Duration,
    },
    /// A request of the rig itself failed.
    #[error("{doing}: {problem}")]
    Http {
        /// The request.
        doing: String,
        /// What happened.
        problem: String,
    },
}

impl RigError {
    /// Wraps an operating system error.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// A failed request.
    pub fn http(doing: impl Into<String>, problem: &dyn std::fmt::Display) -> Self {
        Self::Http {
            doing: doing.into(),
            problem: problem.to_string(),
        }
    }
}
