//! `\uXXXX` escapes: pairs of them make one character.

/// Joins the UTF-16 units of consecutive escapes as Python does: a high unit directly followed by
/// the escape of a low one is a character; any other surrogate stands alone.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SurrogateJoin {
    high: Option<u16>,
}

/// The encoding of one unit or pair: UTF-8, or its generalisation (WTF-8) for a lone surrogate,
/// which no check for UTF-8 lets pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Encoded {
    bytes: [u8; 4],
    len: usize,
}

impl Encoded {
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn character(character: char) -> Self {
        let mut bytes = [0; 4];
        let len = character.encode_utf8(&mut bytes).len();
        Self { bytes, len }
    }

    const fn surrogate(unit: u16) -> Self {
        Self {
            bytes: [
                0xe0 | (unit >> 12) as u8,
                0x80 | (unit >> 6 & 0x3f) as u8,
                0x80 | (unit & 0x3f) as u8,
                0,
            ],
            len: 3,
        }
    }
}

impl SurrogateJoin {
    /// Takes the unit of an escape. Gives what is known to be complete: a lone surrogate that this
    /// unit leaves behind, and a character.
    pub(super) fn unit(&mut self, unit: u16) -> (Option<Encoded>, Option<Encoded>) {
        if let (Some(high), 0xdc00..=0xdfff) = (self.high, unit) {
            self.high = None;
            let code = 0x1_0000 + ((u32::from(high) & 0x3ff) << 10) + (u32::from(unit) & 0x3ff);
            return (None, char::from_u32(code).map(Encoded::character));
        }
        let alone = self.flush();
        let character = match unit {
            0xd800..=0xdbff => {
                self.high = Some(unit);
                None
            }
            0xdc00..=0xdfff => Some(Encoded::surrogate(unit)),
            _ => char::from_u32(u32::from(unit)).map(Encoded::character),
        };
        (alone, character)
    }

    /// Whether a high surrogate waits for its low one.
    pub(super) const fn is_waiting(self) -> bool {
        self.high.is_some()
    }

    /// The high surrogate that waits in vain, when something other than an escape follows.
    #[inline]
    pub(super) fn flush(&mut self) -> Option<Encoded> {
        self.high.take().map(Encoded::surrogate)
    }
}

#[cfg(test)]
mod tests {
    use super::SurrogateJoin;

    fn join(units: &[u16]) -> Vec<u8> {
        let mut join = SurrogateJoin::default();
        let mut bytes = Vec::new();
        for unit in units {
            let (alone, character) = join.unit(*unit);
            for part in [alone, character].into_iter().flatten() {
                bytes.extend_from_slice(part.as_bytes());
            }
        }
        if let Some(part) = join.flush() {
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }

    #[test]
    fn pairs_join_and_lone_surrogates_stay_ill_formed() {
        assert_eq!(join(&[0xd83d, 0xde00]), "\u{1f600}".as_bytes());
        assert_eq!(join(&[0x6f]), b"o");
        assert_eq!(join(&[0x20ac]), "\u{20ac}".as_bytes());
        for lone in [
            &[0xd83d_u16][..],
            &[0xde00],
            &[0xde00, 0xd83d],
            &[0xd83d, 0xd83d, 0xde00],
            &[0xd83d, 0x41],
        ] {
            assert!(String::from_utf8(join(lone)).is_err(), "{lone:x?}");
        }
        assert_eq!(join(&[0xd83d, 0x41]), [0xed, 0xa0, 0xbd, b'A']);
    }
}
