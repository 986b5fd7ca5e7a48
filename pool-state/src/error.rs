//! Why a message of the push contract was refused.

use std::net::SocketAddr;

/// A refused message. Nothing of it was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    /// A field that identifies something is missing, malformed or over its limit. The peer does not
    /// keep the contract: end the stream and open another after a back-off.
    #[error("{place}: {problem}")]
    Invalid {
        /// The path of the field within the message, as in `snapshot.endpoints[3].id.port`.
        place: String,
        /// What is wrong with it.
        problem: Problem,
    },
    /// A delta that does not follow what is held. Reopen the stream to get a snapshot.
    #[error("delta for pool {pool} follows sequence {base}, held is {}", Held(.held))]
    Gap {
        /// The pool of the delta.
        pool: String,
        /// The sequence that the delta follows.
        base: u64,
        /// The sequence that is held; `None` when nothing is held of that agent's run.
        held: Option<u64>,
    },
}

struct Held<'a>(&'a Option<u64>);

impl std::fmt::Display for Held<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(sequence) => write!(f, "{sequence}"),
            None => f.write_str("nothing of that run"),
        }
    }
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The field must be there.
    #[error("missing")]
    Missing,
    /// An IP address is 4 or 16 bytes.
    #[error("an address has 4 or 16 bytes, got {0}")]
    IpLength(usize),
    /// A port is a 16-bit number other than 0.
    #[error("a port is 1..65535, got {0}")]
    Port(u32),
    /// Not a name for a pool or gateway.
    #[error("a name is 1..128 bytes of visible ASCII, got {0}")]
    Name(Excerpt),
    /// The message is about another pool than its receiver.
    #[error("expected pool {expected}, got {got}")]
    OtherPool {
        /// The receiver's pool.
        expected: String,
        /// The message's pool.
        got: Excerpt,
    },
    /// One address twice in one message.
    #[error("{0} occurs twice")]
    Duplicate(SocketAddr),
    /// One name twice in one message.
    #[error("{0} occurs twice")]
    DuplicateName(Excerpt),
    /// More elements than allowed.
    #[error("at most {limit} elements are allowed, got {count}")]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// At least one element is needed.
    #[error("at least one element is needed")]
    Empty,
}

impl Problem {
    /// The error for this problem at `place`.
    #[must_use]
    pub fn at(self, place: &str) -> ContractError {
        ContractError::Invalid {
            place: place.to_owned(),
            problem: self,
        }
    }
}

impl ContractError {
    /// The same error seen from one level up: `outer` is put before its place.
    #[must_use]
    pub fn within(self, outer: &str) -> Self {
        match self {
            Self::Invalid { place, problem } => Self::Invalid {
                place: format!("{outer}.{place}"),
                problem,
            },
            gap @ Self::Gap { .. } => gap,
        }
    }
}

/// Text of a peer, escaped and cut so that it can stand in a log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt(String);

impl Excerpt {
    const MAX_CHARS: usize = 64;

    /// The first characters of `text`, quoted, with control characters escaped.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut shown: String = text
            .chars()
            .take(Self::MAX_CHARS)
            .flat_map(char::escape_default)
            .collect();
        if text.chars().nth(Self::MAX_CHARS).is_some() {
            shown.push_str("...");
        }
        Self(format!("\"{shown}\""))
    }
}

impl std::fmt::Display for Excerpt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
