//! UTF-8 validity of text that comes in pieces.

use core::str::from_utf8;

const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
/// Two characters of three bytes in the low six bytes of a word, and what shows them.
const TWO_OF_THREE_BITS: u64 = 0x0000_c0c0_f0c0_c0f0;
const TWO_OF_THREE: u64 = 0x0000_8080_e080_80e0;

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
        let rest = rest.get(valid_prefix(rest)..).unwrap_or_default();
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

/// The length of whole valid characters at the beginning of `bytes`, up to the first place that needs
/// a closer look: the end, or something invalid. Faster in V8 than the standard library's check,
/// above all for Chinese, Japanese and Korean, where nearly every character has three bytes.
fn valid_prefix(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    loop {
        let step = match rest.first_chunk() {
            Some(word) => {
                let word = u64::from_le_bytes(*word);
                let ascii = (word & HIGH_BITS).trailing_zeros() as usize / 8;
                if ascii > 0 {
                    ascii
                } else if word & TWO_OF_THREE_BITS == TWO_OF_THREE
                    && is_plain_lead(word)
                    && is_plain_lead(word >> 24)
                {
                    6
                } else {
                    one_character(rest)
                }
            }
            None => one_character(rest),
        };
        if step == 0 {
            return bytes.len() - rest.len();
        }
        rest = rest.get(step..).unwrap_or_default();
    }
}

/// Whether any two continuations may follow the lowest byte, a lead of three bytes: all but E0 (too
/// long a spelling is possible) and ED (surrogates are).
const fn is_plain_lead(word: u64) -> bool {
    !matches!(word & 0x0f, 0x00 | 0x0d)
}

/// The length of the valid character at the beginning of `bytes`, 0 if there is none (Unicode 16,
/// table 3-7).
fn one_character(bytes: &[u8]) -> usize {
    match bytes {
        [0x00..=0x7f, ..] => 1,
        [0xc2..=0xdf, 0x80..=0xbf, ..] => 2,
        [0xe0, 0xa0..=0xbf, 0x80..=0xbf, ..]
        | [0xe1..=0xec | 0xee..=0xef, 0x80..=0xbf, 0x80..=0xbf, ..]
        | [0xed, 0x80..=0x9f, 0x80..=0xbf, ..] => 3,
        [0xf0, 0x90..=0xbf, 0x80..=0xbf, 0x80..=0xbf, ..]
        | [0xf1..=0xf3, 0x80..=0xbf, 0x80..=0xbf, 0x80..=0xbf, ..]
        | [0xf4, 0x80..=0x8f, 0x80..=0xbf, 0x80..=0xbf, ..] => 4,
        _ => 0,
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

    #[test]
    fn every_beginning_of_a_character_is_judged_rightly() {
        for first in 0xc0..=0xff_u8 {
            for second in 0..=0xff_u8 {
                for tail in [
                    &b"\x80\x80"[..],
                    b"\xbf\xbf",
                    b"\x80",
                    b"\x80a",
                    b"a",
                    b"\xe4\xb8\xad\xe4\xb8\xad",
                ] {
                    let bytes = [&[first, second], tail].concat();
                    let whole = std::str::from_utf8(&bytes).is_ok();
                    assert_eq!(valid_in_pieces(&bytes, 8), whole, "{bytes:x?}");
                    assert_eq!(valid_in_pieces(&bytes, 1), whole, "{bytes:x?}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

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
                // Text of all lengths of characters, with a byte or none spoilt.
                (
                    prop::collection::vec(
                        prop_oneof![
                            3 => any::<char>(), 3 => prop::char::range('\u{4e00}', '\u{9fff}'), 2 => prop::char::range('\u{d000}', '\u{d7ff}'),
                            2 => prop::char::range('\u{800}', '\u{fff}'), 2 => prop::char::range('a', 'z'), 1 => prop::char::range('\u{e0}', '\u{ff}'),
                        ],
                        0..16,
                    ),
                    any::<u8>(),
                    any::<prop::sample::Index>(),
                    any::<bool>(),
                )
                    .prop_map(|(chars, byte, at, spoil)| {
                        let mut bytes = chars.into_iter().collect::<String>().into_bytes();
                        if spoil && !bytes.is_empty() {
                            let at = at.index(bytes.len());
                            bytes[at] = byte;
                        }
                        bytes
                    }),
            ],
        ) {
            let whole = std::str::from_utf8(&bytes).is_ok();
            for piece in 1..=bytes.len().max(1) {
                prop_assert_eq!(valid_in_pieces(&bytes, piece), whole);
            }
        }
    }
}
