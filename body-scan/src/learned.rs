//! What a scan learned, and how it ended.

use picker::RequestFacts;

use super::{Media, ModelSpans};

/// How a scan ended; one metric label each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScanOutcome {
    /// The document was read to its end.
    Complete,
    /// The facts sufficed inside the prompt: model and prefix are known.
    Enough,
    /// The cap was reached first.
    CapReached,
    /// The body ended, or the scan was finished, inside the document.
    Unfinished,
    /// There was no body.
    Empty,
    /// The engine will refuse the body, or may read it otherwise than we do.
    NotJson,
    /// A JSON value, but no object.
    NotObject,
    /// Nested deeper than [`crate::MAX_DEPTH`].
    TooDeep,
}

impl ScanOutcome {
    /// Every outcome, for metric definitions and tests.
    pub const ALL: [Self; 8] = [
        Self::Complete,
        Self::Enough,
        Self::CapReached,
        Self::Unfinished,
        Self::Empty,
        Self::NotJson,
        Self::NotObject,
        Self::TooDeep,
    ];

    /// The outcome as a metric label and log word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Enough => "enough",
            Self::CapReached => "cap_reached",
            Self::Unfinished => "unfinished",
            Self::Empty => "empty",
            Self::NotJson => "not_json",
            Self::NotObject => "not_object",
            Self::TooDeep => "too_deep",
        }
    }
}

/// What was read of the top-level member `model`, whether or not it may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModelReading {
    /// No such member was read to its end.
    Absent,
    /// Its last value is no string.
    NotString,
    /// Its last value is not 1 to 256 visible characters, so that it is no key and no label.
    Unusable,
    /// Its last value is usable.
    Usable,
}

/// The facts of a request and how sure they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Learned {
    /// What the decision rests on.
    pub facts: RequestFacts,
    /// How the scan ended.
    pub outcome: ScanOutcome,
    /// What was read of `model`.
    pub model_reading: ModelReading,
    /// Whether `facts.model` is what the engine will read; false when the document was not read to
    /// its end, or no model is known.
    pub model_certain: bool,
    /// Whether the key `model` came more than once; the last one counts.
    pub model_repeated: bool,
    /// How many answers were asked for (`n`) to each prompt, at least 1. `facts.max_tokens` is the
    /// limit of all answers to all prompts together.
    pub choices: u64,
    /// How many prompts there are: the elements of a list of prompts, otherwise 1.
    pub prompts: u64,
    /// The images, sounds and files of the prompt. `facts.prompt_bytes` counts the tokens that they
    /// are likely to become as text of that length.
    pub media: Media,
    /// Whether a streamed answer is asked for that reports its token counts
    /// (`stream_options.include_usage`), as far as the body was read.
    pub reports_usage: bool,
    /// A hash of the body's `user`, if it named one before the scan ended: the same for everybody who
    /// reads the same string. For session affinity where that is configured.
    pub user_hash: Option<u64>,
    /// How many bytes of the body were looked at.
    pub scanned_bytes: u64,
    /// Where the values of `model` stand; empty unless [`crate::ScanConfig::note_models`] asked.
    pub model_spans: ModelSpans,
}
