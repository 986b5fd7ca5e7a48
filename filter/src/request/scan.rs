//! The reading of one request's body while it arrives, and its rewriting when all was read.

use std::ops::Range;

use super::waiting::Ask;
use crate::{
    body::{BodyScanner, Progress},
    hints::Hints,
    host::Host,
    model_hints::ModelHints,
    rewrite,
    work::Work,
};

/// A body that is being read.
#[derive(Debug)]
pub(super) struct Scan {
    /// The pool by the request's headers; `None` when only its model will tell.
    pub(super) pool: Option<usize>,
    pub(super) work: Work,
    pub(super) hints: Hints,
    pub(super) model_hints: ModelHints,
    pub(super) scanner: BodyScanner,
    pub(super) content_length: Option<u64>,
    /// How much is read at most, in bytes.
    pub(super) cap: usize,
    /// Whether the model may have to be rewritten, so that the body is read to its end.
    pub(super) may_rewrite: bool,
    /// What it asks of admission, if there is any.
    pub(super) ask: Option<Ask>,
    pub(super) bytes: Bytes,
    pub(super) read: usize,
}

/// Where the bytes that were read are.
#[derive(Debug)]
pub(super) enum Bytes {
    /// Envoy buffers for us and shows everything so far.
    Buffered,
    /// Each chunk is shown as it passes, and gone then.
    Passing,
    /// As `Passing`, but the bytes are taken out of each chunk and kept here until they go on as one.
    Held(Vec<u8>),
}

impl Scan {
    /// Reads what is new of the `size` bytes that Envoy shows.
    pub(super) fn advance(&mut self, host: &dyn Host, size: usize) -> Progress {
        let start = match self.bytes {
            Bytes::Buffered => self.read,
            Bytes::Passing | Bytes::Held(_) => 0,
        };
        // One byte past the cap, because only that tells a body of exactly the cap from a longer
        // one.
        let room = self.cap.saturating_add(1).saturating_sub(self.read);
        let wanted = size.saturating_sub(start).min(room);
        if wanted == 0 {
            // An empty chunk is nothing new; a buffer that shrank is not worth waiting for.
            return if size < start || room == 0 {
                Progress::Decided
            } else {
                Progress::NeedMore
            };
        }
        let chunk = host.request_body(start, wanted);
        if let Bytes::Held(held) = &mut self.bytes {
            // What cannot be taken out must not be sent twice.
            if host.replace_request_body(chunk.len(), &[]).is_err() {
                return Progress::Decided;
            }
            held.extend_from_slice(&chunk);
        }
        self.read = self.read.saturating_add(chunk.len());
        if chunk.len() < wanted {
            return Progress::Decided;
        }
        let progress = self.scanner.push(&chunk);
        // Envoy announces the end in a callback of its own, which need not be waited for.
        let complete = self.content_length == u64::try_from(self.read).ok();
        if complete {
            Progress::Decided
        } else {
            progress
        }
    }

    /// Puts `target` in place of the model at `spans`. Returns the body's new length, if it was
    /// announced, or `None` when the body could not be changed.
    pub(super) fn rewrite(
        &mut self,
        host: &dyn Host,
        spans: &[Range<usize>],
        target: &str,
    ) -> Option<Option<u64>> {
        let literal = rewrite::literal(target);
        let end = spans.last()?.end;
        if let Bytes::Held(held) = &mut self.bytes {
            *held = rewrite::replaced(held, spans, &literal)?;
            self.let_go(host).then_some(())?;
        } else {
            replace_in_buffer(host, spans, end, &literal)?;
        }
        let length = self.content_length;
        Some(length.map(|length| rewrite::new_length(length, spans, &literal)))
    }

    /// Puts the bytes that were held in front of what passes now. Returns whether that worked.
    pub(super) fn let_go(&mut self, host: &dyn Host) -> bool {
        match std::mem::replace(&mut self.bytes, Bytes::Passing) {
            Bytes::Held(held) if !held.is_empty() => host.replace_request_body(0, &held).is_ok(),
            Bytes::Buffered | Bytes::Passing | Bytes::Held(_) => true,
        }
    }
}

/// Puts `literal` in place of each of `spans` in the body that Envoy buffers. A buffer changes at its
/// beginning only: everything up to `end`, where the last span ends, goes, and comes back piece by
/// piece, from the last one on, so that no second copy of a long body is put together here.
fn replace_in_buffer(
    host: &dyn Host,
    spans: &[Range<usize>],
    end: usize,
    literal: &[u8],
) -> Option<()> {
    let mut pieces = Vec::with_capacity(spans.len());
    let mut copied = 0;
    for span in spans {
        let wanted = span.start.checked_sub(copied)?;
        let piece = host.request_body(copied, wanted);
        pieces.push((piece.len() == wanted).then_some(piece)?);
        copied = span.end;
    }
    let mut gone = end;
    for piece in pieces.iter().rev() {
        host.replace_request_body(std::mem::take(&mut gone), literal)
            .ok()?;
        host.replace_request_body(0, piece).ok()?;
    }
    Some(())
}
