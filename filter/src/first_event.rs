//! Whether a stream of events begins with an error, though its status said 200.
//!
//! ```text
//!   : a comment          \
//!   event: error          > passed over, or (`event: error`) believed
//!   data: {"error": {...,"code":503}}   <- the first that carries data decides
//! ```
//!
//! vLLM refuses a streamed completion at its admission limit like this: the status has gone out before
//! the engine was asked. No retry sees it, and a server that refuses fast looks idle. A stream that
//! begins well costs one read of a few bytes; only one that begins with an error is read on.

use std::borrow::Cow;

use crate::host::Host;

/// How much of the first chunk is read to tell an error from anything else, in bytes.
const GLANCE_BYTES: usize = 64;
/// How much of a stream is read at most, in bytes.
const MAX_BYTES: usize = 2_048;
/// How the data of an error begins, without white space: today's vLLM and OpenAI, older vLLM,
/// Anthropic's messages.
const ERRORS: [&[u8]; 3] = [
    b"{\"error\":",
    b"{\"object\":\"error\"",
    b"{\"type\":\"error\"",
];

/// What the beginning of a stream says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// Not enough has come to tell.
    Unknown,
    /// Anything but an error of the server's.
    Well,
    /// The server failed or refused.
    Error,
}

/// The reading of a stream's beginning.
#[derive(Debug, Default)]
pub struct FirstEvent {
    seen: Vec<u8>,
    told: bool,
}

impl FirstEvent {
    /// A chunk of `size` bytes passes. Tells once whether the stream begins with an error.
    pub fn on_chunk(&mut self, host: &dyn Host, size: usize) -> Beginning {
        if self.told || size == 0 {
            return Beginning::Unknown;
        }
        let room = MAX_BYTES.saturating_sub(self.seen.len());
        let glance = size.min(GLANCE_BYTES).min(room);
        self.seen.extend_from_slice(&host.response_body(0, glance));
        let mut verdict = judge(&self.seen);
        // An error is read to its code, and a comment to what follows it.
        if verdict != Beginning::Well && size > glance && room > glance {
            let rest = host.response_body(glance, size.min(room) - glance);
            self.seen.extend_from_slice(&rest);
            verdict = judge(&self.seen);
        }
        if verdict == Beginning::Unknown && self.seen.len() >= MAX_BYTES {
            verdict = Beginning::Well;
        }
        self.told = verdict != Beginning::Unknown;
        if self.told {
            self.seen = Vec::new();
        }
        verdict
    }
}

/// What the first bytes of a stream say.
fn judge(seen: &[u8]) -> Beginning {
    let mut named_error = false;
    let mut rest = seen;
    while let Some((line, after)) = split_line(rest) {
        let ended = after.is_some();
        if let Some(data) = line.strip_prefix(b"data:") {
            return if named_error || is_error(data) == Some(true) {
                blamed(data, ended)
            } else if ended || is_error(data) == Some(false) {
                Beginning::Well
            } else {
                Beginning::Unknown
            };
        }
        if ended && !is_passed_over(line) {
            return Beginning::Well;
        }
        named_error |= line.strip_prefix(b"event:").map(<[u8]>::trim_ascii) == Some(b"error");
        rest = after.unwrap_or_default();
    }
    Beginning::Unknown
}

/// The first line and, if that is complete, what follows it; `None` at the end.
fn split_line(text: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let mut parts = text.splitn(2, |byte| *byte == b'\n');
    let line = parts.next().filter(|_| !text.is_empty())?;
    Some((line, parts.next()))
}

/// Whether a line is one of those that may stand before the first data.
fn is_passed_over(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.is_empty()
        || [&b":"[..], b"event:", b"id:", b"retry:"]
            .iter()
            .any(|field| line.starts_with(field))
}

/// Whether data begins as an error does; `None` when too little of it has come.
fn is_error(data: &[u8]) -> Option<bool> {
    let mut squeezed = data.iter().filter(|byte| !byte.is_ascii_whitespace());
    let longest = ERRORS.iter().map(|error| error.len()).max().unwrap_or(0);
    let begin: Vec<u8> = squeezed.by_ref().take(longest).copied().collect();
    if ERRORS.iter().any(|error| begin.starts_with(error)) {
        return Some(true);
    }
    let may_become = ERRORS.iter().any(|error| error.starts_with(&begin));
    (!may_become).then_some(false)
}

/// Whose fault an error is: a code of 400 to 499 says the client's, but for 429.
fn blamed(data: &[u8], ended: bool) -> Beginning {
    if !ended {
        return Beginning::Unknown;
    }
    let squeezed: Cow<'_, [u8]> = data
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    match code(&squeezed) {
        Some(429) | None => Beginning::Error,
        Some(400..500) => Beginning::Well,
        Some(_) => Beginning::Error,
    }
}

/// The last number that stands as a code: the message before it may hold anything.
fn code(squeezed: &[u8]) -> Option<u32> {
    const KEY: &[u8] = b"\"code\":";
    let at = squeezed.windows(KEY.len()).rposition(|part| part == KEY)?;
    let digits = squeezed.get(at + KEY.len()..)?;
    let digits = digits.strip_prefix(b"\"").unwrap_or(digits);
    let digits = digits.split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
