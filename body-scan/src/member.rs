//! The members of a request that matter: OpenAI chat, completions, responses and embeddings,
//! Anthropic messages, and vLLM's additions.

/// A top-level member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    /// The model or LoRA adapter.
    Model,
    /// Whether a streamed answer is asked for.
    Stream,
    /// What a streamed answer is to report.
    StreamOptions,
    /// The output limit of completions, chat and Anthropic messages.
    MaxTokens,
    /// The newer output limit of chat, which wins over the older one.
    MaxCompletionTokens,
    /// The output limit of responses.
    MaxOutputTokens,
    /// How many answers are asked for.
    Choices,
    /// vLLM's separation of prefix caches.
    CacheSalt,
    /// Who asks, by the client's word: a session.
    User,
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
            b"max_tokens" => Self::MaxTokens,
            b"max_completion_tokens" => Self::MaxCompletionTokens,
            b"max_output_tokens" => Self::MaxOutputTokens,
            b"n" => Self::Choices,
            b"cache_salt" => Self::CacheSalt,
            b"user" => Self::User,
            b"messages" => Self::Messages,
            b"prompt" | b"input" | b"system" | b"instructions" => Self::Prompt,
            b"tools" | b"functions" => Self::Tools,
            _ => Self::Other,
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
    /// An image, a sound or a file, inline or by address: belongs to the prompt's identity, but its
    /// length says nothing about tokens.
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
            | b"video_url" => Self::Media,
            b"cache_control" => Self::Hint,
            _ => Self::Text,
        }
    }
}
