//! The members of a request that matter: OpenAI chat, completions, responses and embeddings,
//! Anthropic messages, ranking and scoring, and vLLM's additions.

use super::limits::Limit;

/// A top-level member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    /// The model or LoRA adapter.
    Model,
    /// Whether a streamed answer is asked for.
    Stream,
    /// What a streamed answer is to report.
    StreamOptions,
    /// The limits of vLLM's token interface.
    SamplingParams,
    /// How long or how many the answers may be.
    Limit(Limit),
    /// vLLM's separation of prefix caches.
    CacheSalt,
    /// Who asks, by the client's word: a session.
    User,
    /// One prompt or a list of them.
    Prompts,
    /// Part of what the engine prefills.
    Prompt,
    /// The same as a list of messages.
    Messages,
    /// Tool definitions: prefilled as JSON, so that their keys are prompt text too.
    Tools,
    /// Anything else.
    Other,
}

/// The keys that are known. Looked up one by one: a match over them would be several times as large
/// in the filter, and a request has few top-level keys.
const KEYS: [(&[u8], Member); 23] = [
    (b"model", Member::Model),
    (b"messages", Member::Messages),
    (b"prompt", Member::Prompts),
    (b"stream", Member::Stream),
    (b"stream_options", Member::StreamOptions),
    (b"max_tokens", Member::Limit(Limit::MaxTokens)),
    (
        b"max_completion_tokens",
        Member::Limit(Limit::MaxCompletionTokens),
    ),
    (b"max_output_tokens", Member::Limit(Limit::MaxOutputTokens)),
    (b"n", Member::Limit(Limit::Choices)),
    (b"tools", Member::Tools),
    (b"functions", Member::Tools),
    (b"system", Member::Prompt),
    (b"instructions", Member::Prompt),
    (b"input", Member::Prompt),
    (b"user", Member::User),
    (b"cache_salt", Member::CacheSalt),
    (b"sampling_params", Member::SamplingParams),
    (b"token_ids", Member::Prompt),
    (b"query", Member::Prompt),
    (b"queries", Member::Prompt),
    (b"documents", Member::Prompt),
    (b"text_1", Member::Prompt),
    (b"text_2", Member::Prompt),
];

impl Member {
    /// The member with this key.
    pub(super) fn named(key: &[u8]) -> Self {
        let known = KEYS.iter().find(|(known, _)| *known == key);
        known.map_or(Self::Other, |(_, member)| *member)
    }
}

/// A key inside `stream_options` or `sampling_params`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NestedKey {
    /// Whether a stream is to report its token counts.
    IncludeUsage,
    /// The output limit.
    MaxTokens,
    /// How many answers are asked for.
    Choices,
    /// Anything else.
    Other,
}

impl NestedKey {
    /// The meaning of this key.
    #[inline(never)]
    pub(super) fn named(key: &[u8]) -> Self {
        match key {
            b"include_usage" => Self::IncludeUsage,
            b"max_tokens" => Self::MaxTokens,
            b"n" => Self::Choices,
            _ => Self::Other,
        }
    }

    /// What a number behind this key limits inside `sampling_params`.
    pub(super) const fn limit(self) -> Option<Limit> {
        match self {
            Self::MaxTokens => Some(Limit::SamplingMaxTokens),
            Self::Choices => Some(Limit::SamplingChoices),
            Self::IncludeUsage | Self::Other => None,
        }
    }
}

/// What the value of a key inside a prompt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PromptKey {
    /// Text that the engine prefills.
    Text,
    /// Structure: belongs to the prompt's identity but is hardly any text.
    Label,
    /// An image, a sound or a file, inline or by address: belongs to the prompt's identity by its hash
    /// alone.
    Media,
    /// A hint that clients move from turn to turn; no part of the prompt.
    Hint,
}

impl PromptKey {
    /// The kind of the value behind this key.
    pub(super) fn named(key: &[u8]) -> Self {
        match key {
            b"role" | b"type" | b"id" | b"tool_call_id" | b"tool_use_id" | b"media_type"
            | b"format" | b"detail" | b"status" => Self::Label,
            b"url" | b"data" | b"image_url" | b"file_url" | b"file_data" | b"audio_url"
            | b"video_url" | b"input_audio" => Self::Media,
            b"cache_control" => Self::Hint,
            _ => Self::Text,
        }
    }
}
