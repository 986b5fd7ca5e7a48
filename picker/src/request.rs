//! What the body scan learned of one request.

use std::net::IpAddr;

/// How much a request matters to its sender, as the InferenceModel of June 2025 said it. Only the two
/// trees of that time look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Criticality {
    /// Never refused.
    Critical,
    /// Refused when no endpoint has capacity; what a request is unless it says otherwise.
    #[default]
    Standard,
    /// Refused when no endpoint has capacity, like [`Criticality::Standard`].
    Sheddable,
}

/// How much a request matters, as the InferenceObjective says it: any number, greater first, 0 unless
/// something else is said. Admission looks at it, no policy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Priority(pub i32);

impl Priority {
    /// Whether a request of this priority may be refused to keep others quick: a negative one.
    #[must_use]
    pub const fn is_sheddable(self) -> bool {
        self.0 < 0
    }
}

/// The end of a message of a chat: a later request that repeats everything up to here has the same
/// turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Turn {
    /// A hash of the canonical prompt from its start to the end of this message.
    pub hash: u64,
    /// Canonical prompt bytes up to the end of this message.
    pub end_bytes: u32,
}

/// One entry of a subset hint: the endpoints that a trusted sender allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubsetEntry {
    /// The endpoint's address.
    pub ip: IpAddr,
    /// Its port; `None` allows every port of the address.
    pub port: Option<u16>,
}

/// The facts a decision rests on. Everything is optional: a request of which nothing is known is
/// routed by load.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestFacts {
    /// The model or LoRA adapter, exactly as the engine will read it; `None` when we are not sure.
    pub model: Option<String>,
    /// Chained hashes of the leading blocks of the prompt, first block first (see
    /// [`crate::prefix`]); empty when the prompt is unknown or shorter than one block.
    pub prefix: Vec<u64>,
    /// Bytes of prompt text, as far as they were read or as content-length lets us estimate.
    pub prompt_bytes: u64,
    /// Whether a streamed answer was asked for.
    pub stream: bool,
    /// The most tokens the answer may have, if the request says so.
    pub max_tokens: Option<u64>,
    /// How much the request matters; the trees refuse what is not critical when no endpoint has
    /// capacity, the other policies do not look at it.
    pub criticality: Criticality,
    /// The number of its objective; see [`Priority`].
    pub priority: Priority,
    /// The ends of the leading messages of a chat, in order; empty when the prompt is no chat.
    pub turns: Vec<Turn>,
    /// A hash of the session that the request belongs to, if it names one.
    pub session: Option<u64>,
    /// The only endpoints that may be picked, if a trusted sender named any.
    pub subset: Option<Vec<SubsetEntry>>,
}
