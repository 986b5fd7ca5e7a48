//! The identity of the tokens of a conversation, as the chained hashes that engines and gateways
//! make of them.
//!
//! ```text
//!   segments   | system prompt (7) 200 | question (91) 34 | answer (92) 180 | question (93) ...
//!   KV blocks  |16|16|16|16|16|...            chained, one hash each
//!   prefix     |    64    |    64    |...     chained, one hash each, of the prompt alone
//!   turns                              ^                  ^                  ^ ends of messages
//! ```
//!
//! A segment is a run of tokens with a name; equal names mean equal tokens. Nothing is stored per
//! token: a block's hash covers the pieces of segments in it.

use picker::{PickerConfig, Turn};

/// Tokens in an engine's KV block.
const KV_BLOCK_TOKENS: u32 = 16;
/// Bytes of prompt text per token, on average.
pub const BYTES_PER_TOKEN: u32 = 4;

/// How the gateway cuts prompts into blocks, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixBlocks {
    /// KV blocks of 16 tokens in a prefix block, at least 1.
    kv_blocks: u32,
    /// The most prefix blocks of a prompt.
    limit: usize,
}

impl Default for PrefixBlocks {
    /// As the default configuration of the picker cuts them.
    fn default() -> Self {
        Self::of(&PickerConfig::default())
    }
}

impl PrefixBlocks {
    /// As this configuration cuts them, four bytes a token. Block sizes are rounded to whole KV
    /// blocks.
    #[must_use]
    pub fn of(config: &PickerConfig) -> Self {
        let prefix = config.prefix;
        Self {
            kv_blocks: (prefix.block_bytes / BYTES_PER_TOKEN / KV_BLOCK_TOKENS).max(1),
            limit: (prefix.max_bytes / prefix.block_bytes.max(1)) as usize,
        }
    }
}

/// The tokens of a conversation so far. Grows at its end only.
#[derive(Debug, Clone)]
pub struct Transcript {
    prefix_blocks: PrefixBlocks,
    chain: u64,
    tokens: u32,
    kv_blocks: Vec<u64>,
    prefix: Vec<u64>,
    turns: Vec<Turn>,
}

impl Transcript {
    /// An empty conversation. Conversations of different `salt` (model, adapter, tenant) share no
    /// hashes.
    #[must_use]
    pub fn new(salt: u64, prefix_blocks: PrefixBlocks) -> Self {
        Self {
            prefix_blocks,
            chain: mix(salt ^ 0x5eed_0f7e_4a11_0000),
            tokens: 0,
            kv_blocks: Vec::new(),
            prefix: Vec::new(),
            turns: Vec::new(),
        }
    }

    /// Appends `tokens` tokens that are the first ones of the segment named `name`.
    pub fn push(&mut self, name: u64, tokens: u32) {
        let name = mix(name);
        let mut offset = 0;
        while offset < tokens {
            let room = KV_BLOCK_TOKENS - self.tokens % KV_BLOCK_TOKENS;
            let piece = room.min(tokens - offset);
            let place = u64::from(offset) << 8 | u64::from(piece);
            self.chain = mix(self.chain ^ name.wrapping_add(place));
            self.tokens = self.tokens.saturating_add(piece);
            offset += piece;
            if piece == room {
                self.close_block();
            }
        }
    }

    /// Appends a message: a segment at whose end a later request can go on.
    pub fn push_message(&mut self, name: u64, tokens: u32) {
        self.push(name, tokens);
        self.turns.push(Turn {
            hash: mix(self.chain ^ 0x7u64),
            end_bytes: self.tokens.saturating_mul(BYTES_PER_TOKEN),
        });
    }

    fn close_block(&mut self) {
        self.kv_blocks.push(self.chain);
        let per_block = self.prefix_blocks.kv_blocks as usize;
        let whole = self.kv_blocks.len().is_multiple_of(per_block);
        if whole && self.prefix.len() < self.prefix_blocks.limit {
            self.prefix.push(mix(self.chain ^ 0xfu64));
        }
    }

    /// How many tokens there are.
    #[must_use]
    pub fn tokens(&self) -> u32 {
        self.tokens
    }

    /// The chained hashes of the whole KV blocks of 16 tokens.
    #[must_use]
    pub fn kv_blocks(&self) -> &[u64] {
        &self.kv_blocks
    }

    /// The chained hashes of the leading blocks as the gateway cuts them.
    #[must_use]
    pub fn prefix(&self) -> &[u64] {
        &self.prefix
    }

    /// The ends of the messages so far.
    #[must_use]
    pub fn turns(&self) -> &[Turn] {
        &self.turns
    }
}

/// SplitMix64's output function.
const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(segments: &[(u64, u32)]) -> Transcript {
        let mut transcript = Transcript::new(1, PrefixBlocks::default());
        for (name, tokens) in segments {
            transcript.push_message(*name, *tokens);
        }
        transcript
    }

    fn shared<T: PartialEq>(one: &[T], other: &[T]) -> usize {
        one.iter().zip(other).take_while(|(a, b)| a == b).count()
    }

    #[test]
    fn equal_beginnings_give_equal_hashes_up_to_where_they_part() {
        let one = transcript(&[(1, 200), (2, 60)]);
        let other = transcript(&[(1, 200), (3, 60)]);
        assert_eq!((one.tokens(), one.kv_blocks().len()), (260, 16));
        assert_eq!(shared(one.kv_blocks(), other.kv_blocks()), 12);
        assert_eq!(
            (one.prefix().len(), shared(one.prefix(), other.prefix())),
            (4, 3)
        );
        assert_eq!(shared(one.turns(), other.turns()), 1);
        assert_eq!(one.turns()[1].end_bytes, 1_040);
    }

    #[test]
    fn a_conversation_that_goes_on_keeps_its_hashes() {
        let before = transcript(&[(1, 77), (2, 500)]);
        let after = transcript(&[(1, 77), (2, 500), (3, 100)]);
        assert_eq!(shared(before.kv_blocks(), after.kv_blocks()), 577 / 16);
        assert_eq!(shared(before.turns(), after.turns()), 2);
    }

    #[test]
    fn salts_names_and_lengths_tell_conversations_apart() {
        let one = transcript(&[(1, 64)]);
        let mut salted = Transcript::new(2, PrefixBlocks::default());
        salted.push(1, 64);
        let split = transcript(&[(1, 32), (1, 32)]);
        assert_eq!(shared(one.kv_blocks(), salted.kv_blocks()), 0);
        assert_eq!(shared(one.kv_blocks(), split.kv_blocks()), 2);
    }
}
