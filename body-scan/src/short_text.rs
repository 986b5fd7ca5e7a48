//! Text of bounded length.

use super::canonical::append;

/// What is allocated at first; most keys and models fit.
const FIRST_BYTES: usize = 64;

/// At most so many bytes; what does not fit is dropped and remembered as an overflow.
#[derive(Debug, Clone)]
pub(super) struct ShortText {
    bytes: Vec<u8>,
    max: usize,
    overflowed: bool,
}

impl ShortText {
    /// No text; keeps at most `max` bytes.
    pub(super) const fn new(max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            max,
            overflowed: false,
        }
    }

    /// Forgets the text.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.overflowed = false;
    }

    /// Appends as much of `text` as fits.
    pub(super) fn push(&mut self, text: &[u8]) {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(self.max.min(FIRST_BYTES));
        }
        let room = self.max.saturating_sub(self.bytes.len());
        self.overflowed |= text.len() > room;
        append(&mut self.bytes, text.get(..room).unwrap_or(text));
    }

    /// The bytes kept; a leading part when the text overflowed.
    pub(super) fn kept(&self) -> &[u8] {
        &self.bytes
    }

    /// The text, if all of it was kept.
    pub(super) fn whole(&self) -> Option<&[u8]> {
        (!self.overflowed).then(|| self.kept())
    }

    /// The bytes allocated.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}
