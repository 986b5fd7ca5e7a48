//! Limits of the body scan.

/// How much of a body is read and how its prompt is cut into prefix blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanConfig {
    /// Bytes of the body that are looked at, at most. The scan decides when one more arrives, so
    /// the connection's buffer limit must lie above it.
    pub cap_bytes: usize,
    /// Canonical prompt bytes that are kept for the prefix hashes, at most. Also bounds the
    /// scanner's memory.
    pub prefix_max_bytes: usize,
    /// Canonical prompt bytes of one prefix block.
    pub block_bytes: usize,
    /// Take a model only from a document that was read to its end, and never decide before.
    pub strict_model: bool,
    /// Note where every value of `model` stands, so that it can be rewritten, and never decide before
    /// the end, since one more may follow.
    pub note_models: bool,
}

impl Default for ScanConfig {
    fn default() -> Self {
        Self {
            cap_bytes: 65_536,
            prefix_max_bytes: 16_384,
            block_bytes: 256,
            strict_model: false,
            note_models: false,
        }
    }
}
