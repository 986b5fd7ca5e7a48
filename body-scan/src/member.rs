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

impl Member {
    /// The member with this key.
    pub(super) fn named(key: &[u8]) -> Self {
        match key {
            b"model" => Self::Model,
            b"stream" => Self::Stream,
            b"stream_options" => Self::StreamOptions,
            b"sampling_params" => Self::SamplingParams,
            b"max_tokens" => Self::Limit(Limit::MaxTokens),
            b"max_completion_tokens" => Self::Limit(Limit::MaxCompletionTokens),
            b"max_output_tokens" => Self::Limit(Limit::MaxOutputTokens),
            b"n" => Self::Limit(Limit::Choices),
            b"cache_salt" => Self::CacheSalt,
            b"user" => Self::User,
            b"messages" => Self::Messages,
            b"prompt" => Self::Prompts,
            b"input" | b"system" | b"instructions" | b"token_ids" | b"query" | b"queries"
            | b"documents" | b"text_1" | b"text_2" => Self::Prompt,
            b"tools" | b"functions" => Self::Tools,
            _ => Self::Other,
        }
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
