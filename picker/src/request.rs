//! What the body scan learned of one request.

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
}
