//! UTF-8 validity of text that comes in pieces.

use core::str::from_utf8;

/// Checks pieces of one text; the pieces may end inside a character.
#[derive(Debug, Clone, Default)]
pub(super) struct Utf8Check {
    /// The bytes of a character that has not ended yet.
    pending: [u8; 4],
    pending_len: usize,
}

impl Utf8Check {
    /// Whether all pieces so far, this one last, can begin a valid text.
    pub(super) fn takes(&mut self, piece: &[u8]) -> bool {
        let mut rest = piece;
        while self.pending_len > 0 {
            let Some((byte, behind)) = rest.split_first() else {
                return true;
            };
            rest = behind;
            let Some(place) = self.pending.get_mut(self.pending_len) else {
                return false;
            };
            *place = *byte;
            self.pending_len += 1;
            match from_utf8(self.pending.get(..self.pending_len).unwrap_or_default()) {
                Ok(_) => self.pending_len = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return false,
            }
        }
        match from_utf8(rest) {
            Ok(_) => true,
            Err(error) if error.error_len().is_some() => false,
            Err(error) => {
                for byte in rest.iter().skip(error.valid_up_to()) {
                    let Some(place) = self.pending.get_mut(self.pending_len) else {
                        return false;
                    };
                    *place = *byte;
                    self.pending_len += 1;
                }
                true
            }
        }
    }

    /// Whether the text may end here: no character is half read.
    pub(super) const fn is_complete(&self) -> bool {
        self.pending_len == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Utf8Check;

    fn valid_in_pieces(bytes: &[u8], piece: usize) -> bool {
        let mut check = Utf8Check::default();
        bytes.chunks(piece).all(|part| check.takes(part)) && check.is_complete()
    }

    proptest! {
        #[test]
        fn pieces_are_judged_like_the_whole(
            bytes in prop_oneof![
                prop::collection::vec(
                    prop_oneof![
                        0x00..=0x7f_u8, 0x80..=0xbf_u8, 0xc0..=0xff_u8, Just(0xed), Just(0xf0), Just(0xe0)
                    ],
                    0..12,
                ),
                any::<String>().prop_map(String::into_bytes),
            ],
        ) {
            let whole = std::str::from_utf8(&bytes).is_ok();
            for piece in 1..=bytes.len().max(1) {
                prop_assert_eq!(valid_in_pieces(&bytes, piece), whole);
            }
        }
    }
}
