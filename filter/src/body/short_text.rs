//! Text of bounded length without an allocation.

/// At most `N` bytes; what does not fit is dropped and remembered as an overflow.
#[derive(Debug, Clone)]
pub(super) struct ShortText<const N: usize> {
    bytes: [u8; N],
    len: usize,
    overflowed: bool,
}

impl<const N: usize> ShortText<N> {
    /// No text.
    pub(super) const fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
            overflowed: false,
        }
    }

    /// Forgets the text.
    pub(super) const fn clear(&mut self) {
        self.len = 0;
        self.overflowed = false;
    }

    /// Appends as much of `text` as fits.
    pub(super) fn push(&mut self, text: &[u8]) {
        let room = self.bytes.get_mut(self.len..).unwrap_or_default();
        for (place, byte) in room.iter_mut().zip(text) {
            *place = *byte;
        }
        let taken = room.len().min(text.len());
        self.overflowed |= taken < text.len();
        self.len += taken;
    }

    /// The bytes kept; a leading part when the text overflowed.
    pub(super) fn kept(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The text, if all of it was kept.
    pub(super) fn whole(&self) -> Option<&[u8]> {
        (!self.overflowed).then(|| self.kept())
    }
}
