//! The images, sounds and files of a prompt, inline or by address.
//!
//! ```text
//!   "url":"data:image/png;base64,iVBORw0..."  --> hash --> canonical prompt (8 bytes)
//!                                             --> size --> tokens
//! ```
//!
//! Nothing is decoded: the same bytes are the same image, and that is all a prefix needs to know.

use xxhash_rust::xxh64::xxh64;

/// Inline bytes that become one token. A JPEG has about a third of a base64 byte a pixel, and vision
/// models make a token of 28x28 pixels; compressed sound is of the same order.
const INLINE_BYTES_PER_TOKEN: u64 = 256;
/// The fewest tokens that one item becomes, and what one by address counts as.
const LEAST_TOKENS: u64 = 256;

/// What was seen of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Media {
    /// How many there are.
    pub items: u32,
    /// How long they are together as they stand in the body, in bytes.
    pub bytes: u64,
    /// How many tokens they are likely to become.
    pub tokens: u64,
}

impl Media {
    fn with(mut self, bytes: u64) -> Self {
        self.items = self.items.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        let tokens = (bytes / INLINE_BYTES_PER_TOKEN).max(LEAST_TOKENS);
        self.tokens = self.tokens.saturating_add(tokens);
        self
    }
}

/// How much of an item is hashed at a time, in bytes.
const BLOCK_BYTES: usize = 256;

/// Reads one item after the other.
#[derive(Debug, Clone, Default)]
pub(super) struct MediaReader {
    complete: Media,
    /// A hash of all blocks of the present item so far.
    chain: u64,
    /// The bytes behind them, less than a block.
    partial: Vec<u8>,
    /// The length of the present item so far.
    bytes: u64,
}

impl MediaReader {
    /// An item begins.
    pub(super) fn begin(&mut self) {
        self.chain = 0;
        self.partial.clear();
        self.bytes = 0;
    }

    /// More of the present item.
    #[inline(never)]
    pub(super) fn push(&mut self, mut text: &[u8]) {
        self.bytes = self.bytes.saturating_add(text.len() as u64);
        self.partial.reserve_exact(BLOCK_BYTES - self.partial.len());
        while !text.is_empty() {
            let room = BLOCK_BYTES - self.partial.len();
            let (taken, rest) = text.split_at(room.min(text.len()));
            self.partial.extend_from_slice(taken);
            text = rest;
            if self.partial.len() == BLOCK_BYTES {
                self.chain = xxh64(&self.partial, self.chain);
                self.partial.clear();
            }
        }
    }

    /// How many were read to their end.
    pub(super) const fn items(&self) -> u32 {
        self.complete.items
    }

    /// The bytes allocated.
    pub(super) fn capacity(&self) -> usize {
        self.partial.capacity()
    }

    /// The present item ended. Returns what stands for it.
    #[inline(never)]
    pub(super) fn end(&mut self) -> [u8; 8] {
        self.complete = self.complete.with(self.bytes);
        xxh64(&self.partial, self.chain).to_be_bytes()
    }

    /// What was read, and if an item is cut off that with `rest` more bytes of it.
    #[inline(never)]
    pub(super) fn seen(&self, cut_off: Option<u64>) -> Media {
        match cut_off {
            Some(rest) => self.complete.with(self.bytes.saturating_add(rest)),
            None => self.complete,
        }
    }
}
