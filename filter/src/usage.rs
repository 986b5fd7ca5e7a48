//! The engine's own token counts, read from the last bytes of an answer.
//!
//! ```text
//!   ...,"text":"\"usage\":{...}"}],"usage":{"prompt_tokens":21,"completion_tokens":12},"metrics":null}
//!       ^ a string is stepped over whole ^ the member at depth 1       <---- read backwards ---------|
//! ```
//!
//! Only the tail is kept, so that a long answer costs no more than a short one. A complete JSON
//! document ends outside of any string, so that read backwards from there each quote is known to be a
//! string's end or its begin, and text that a client made the engine write cannot pass for a member.
//! Whatever does not add up is read as "not said".

mod backwards;

#[cfg(test)]
mod tests;

/// How much of the end of an answer is kept, in bytes.
pub const TAIL_BYTES: usize = 2_048;

/// What an engine says about one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: Option<u32>,
    /// Those of them that were cached; at most `prompt_tokens`, and unknown with it.
    pub cached_tokens: Option<u32>,
    /// Tokens generated.
    pub output_tokens: Option<u32>,
}

/// The last bytes of an answer.
#[derive(Debug, Clone, Default)]
pub struct Tail(Vec<u8>);

impl Tail {
    /// Adds the next bytes of the answer; of a chunk no more than its last [`TAIL_BYTES`] matter.
    pub fn push(&mut self, chunk: &[u8]) {
        let chunk = chunk
            .last_chunk::<TAIL_BYTES>()
            .map_or(chunk, <[u8; TAIL_BYTES]>::as_slice);
        let excess = (self.0.len() + chunk.len()).saturating_sub(TAIL_BYTES);
        self.0.drain(..excess.min(self.0.len()));
        self.0.extend_from_slice(chunk);
    }

    /// The token counts of a complete answer that is one JSON document.
    #[must_use]
    pub fn of_document(&self) -> Option<Usage> {
        backwards::usage(&self.0)
    }

    /// The token counts of a complete answer that is a stream of server-sent events: the last that
    /// were sent.
    #[must_use]
    pub fn of_events(&self) -> Option<Usage> {
        // A line break within a JSON string is always escaped, so that lines are whole documents.
        // The first line may have lost its beginning, which is noticed where it matters.
        self.0
            .rsplit(|byte| *byte == b'\n')
            .find_map(|line| backwards::usage(line.strip_prefix(b"data:").unwrap_or(line)))
    }
}
