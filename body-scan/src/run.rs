//! The stretch of a JSON string that can be taken as it stands, eight bytes at a time.
//!
//! Almost every byte of a request is prompt text, so this loop is the cost of the scan. It needs
//! neither SIMD nor `unsafe` and is fast in V8, which has 64-bit integers but no wide multiply.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x80 * ONES;

/// The leading bytes of a slice that need no attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainRun {
    /// How many bytes precede the first quote, backslash or control character.
    pub len: usize,
    /// Whether a byte of the run, or of the eight that hold its end, is not ASCII.
    pub maybe_not_ascii: bool,
}

/// The run of `bytes` that ends before the first `"`, `\` or byte below 0x20.
#[inline]
#[must_use]
pub fn plain_run(bytes: &[u8]) -> PlainRun {
    let mut len = 0;
    let mut high = 0;
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word);
        let found = special(word);
        high |= word;
        if found != 0 {
            return PlainRun {
                len: len + (found.trailing_zeros() / 8) as usize,
                maybe_not_ascii: high & HIGH_BITS != 0,
            };
        }
        len += 8;
    }
    for byte in tail {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            break;
        }
        high |= u64::from(*byte);
        len += 1;
    }
    PlainRun {
        len,
        maybe_not_ascii: high & HIGH_BITS != 0,
    }
}

/// The leading part of a string that is kept as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct RawSpan {
    /// Its length in bytes.
    pub(super) len: usize,
    /// How many escapes of two bytes it holds.
    pub(super) escapes: usize,
    /// As in [`PlainRun`].
    pub(super) maybe_not_ascii: bool,
}

/// Plain runs and the escapes of a single letter between them. It ends before the closing quote,
/// a control character, and every escape that has another, shorter or more usual spelling.
#[inline]
pub(super) fn raw_span(bytes: &[u8]) -> RawSpan {
    let mut span = RawSpan::default();
    let mut rest = bytes;
    loop {
        let run = plain_run(rest);
        span.len += run.len;
        span.maybe_not_ascii |= run.maybe_not_ascii;
        match rest.get(run.len..) {
            Some(
                [
                    b'\\',
                    b'"' | b'\\' | b'n' | b't' | b'r' | b'b' | b'f',
                    behind @ ..,
                ],
            ) => {
                span.len += 2;
                span.escapes += 1;
                rest = behind;
            }
            _ => return span,
        }
    }
}

/// A word whose lowest set bit lies in the first byte that is `"`, `\` or below 0x20. Bits above it
/// may be false alarms of the borrow. Flipping bit 1 maps `"` to 0x20 and the control characters
/// onto themselves, so that one comparison finds both.
#[inline]
const fn special(word: u64) -> u64 {
    let quote_or_control = (word ^ (0x02 * ONES)).wrapping_sub(0x21 * ONES);
    let backslash = (word ^ (0x5c * ONES)).wrapping_sub(ONES);
    (quote_or_control | backslash) & !word & HIGH_BITS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::plain_run;

    fn one_by_one(bytes: &[u8]) -> usize {
        bytes
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
            .unwrap_or(bytes.len())
    }

    #[test]
    fn every_byte_at_every_place_of_a_block_is_judged_rightly() {
        for byte in 0..=255_u8 {
            for place in 0..70 {
                for filler in [b'a', b' ', b'!', b'#', 0x7f, 0x80, 0xdc, 0xff] {
                    let mut text = vec![filler; 70];
                    text[place] = byte;
                    let run = plain_run(&text);
                    assert_eq!(run.len, one_by_one(&text), "{byte:#x} at {place}");
                    if !text[..run.len].is_ascii() {
                        assert!(run.maybe_not_ascii, "{byte:#x} at {place}");
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn the_run_is_the_one_found_byte_by_byte(
            bytes in prop::collection::vec(
                prop_oneof![20 => 0x20..=0x7e_u8, 3 => 0x1c..=0x24_u8, 1 => any::<u8>()],
                0..200,
            ),
        ) {
            let run = plain_run(&bytes);
            prop_assert_eq!(run.len, one_by_one(&bytes));
            prop_assert!(run.maybe_not_ascii || bytes[..run.len].is_ascii());
        }
    }
}
