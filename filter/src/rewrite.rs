//! The model's bytes of a request, replaced where they stand.
//!
//! ```text
//!   {"stream":true,"model":"tiny","prompt":"..."}     spans: from quote to quote, all of them
//!   |------- read -------|####|-- never touched --|
//!   {"stream":true,"model":"tiny-canary","prompt":"..."}
//! ```
//!
//! Envoy replaces a buffer from its beginning only, so that everything up to the last span is read
//! and written again; what lies behind it stays where it is. Not a byte beside the model changes.

use std::ops::Range;

/// A text as a JSON string, quotes included.
#[must_use]
pub fn literal(text: &str) -> Vec<u8> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut bytes = Vec::with_capacity(text.len() + 2);
    bytes.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => bytes.extend([b'\\', byte]),
            0..0x20 => {
                let digit = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or(b'0');
                bytes.extend_from_slice(b"\\u00");
                bytes.extend([digit(byte >> 4), digit(byte & 0x0f)]);
            }
            _ => bytes.push(byte),
        }
    }
    bytes.push(b'"');
    bytes
}

/// `begin`, the body's bytes up to the end of the last of `spans`, with `literal` in place of each
/// span. `None` when the spans are not in order within it.
#[must_use]
pub fn replaced(begin: &[u8], spans: &[Range<usize>], literal: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(begin.len() + spans.len() * literal.len());
    let mut copied = 0;
    for span in spans {
        begin.get(span.clone())?;
        bytes.extend_from_slice(begin.get(copied..span.start)?);
        bytes.extend_from_slice(literal);
        copied = span.end;
    }
    bytes.extend_from_slice(begin.get(copied..)?);
    Some(bytes)
}

/// The length of a body of `length` bytes after the replacement.
#[must_use]
pub fn new_length(length: u64, spans: &[Range<usize>], literal: &[u8]) -> u64 {
    let removed: usize = spans.iter().map(ExactSizeIterator::len).sum();
    let added = spans.len().saturating_mul(literal.len());
    length
        .saturating_add(added as u64)
        .saturating_sub(removed as u64)
}

#[cfg(test)]
mod tests;
