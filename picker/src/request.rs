//! What the body scan learned of one request.

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
}
