//! What is seen of an answer while it passes: when it began and ended, how much it was, and what the
//! engine said of it.
//!
//! ```text
//!   sent ......... headers, first chunk ... chunk ... chunk ... end
//!     |------ first_token_ms ------|                             |
//!     |------------------------- total_ms -----------------------|
//! ```
//!
//! Reading bytes takes a call of the host, about half of what a chunk costs. So of a document only
//! the tail of each chunk is read, of a stream only when the client asked the engine to report its
//! token counts there, and otherwise chunks are counted and measured.

use crate::{
    headers,
    host::Host,
    usage::{TAIL_BYTES, Tail, Usage},
};

/// The fewest events of a stream from which tokens are counted. A shorter one may be an error that
/// came after the status.
const MIN_EVENTS: u64 = 3;
/// An event that carries a token has at least so many bytes; what is shorter is a comment or the mark
/// of the end.
const MIN_EVENT_BYTES: usize = 64;
/// The most tokens that are counted.
const MAX_TOKENS: u64 = 10_000_000;

/// How an answer is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watch {
    /// Whether the client asked for a stream of events; `None` when its request was not read to the end,
    /// so that the answer has to tell.
    pub streamed: Option<bool>,
    /// It also asked for the token counts in the stream.
    pub reports_usage: bool,
}

/// An answer on its way.
#[derive(Debug)]
pub struct Answer {
    watch: Watch,
    streamed: bool,
    sent: u64,
    /// Whether a chunk passed.
    begun: bool,
    /// When a stream's first chunk passed.
    first: Option<u64>,
    /// When the last one passed.
    last: u64,
    ended: Option<u64>,
    accepted: bool,
    bytes: u64,
    chunks: u64,
    smallest: usize,
    tail: Tail,
}

/// What a chunk tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Chunk {
    /// Whether it is the first one.
    pub is_first: bool,
    /// Nanoseconds since the one before, if it carries an event of a stream.
    pub gap: Option<u64>,
}

/// What a complete answer showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Milliseconds to the first chunk of a stream.
    pub first_token_ms: Option<f32>,
    /// Milliseconds to the end.
    pub total_ms: f32,
    /// The token counts: the engine's own, or those of a stream's events.
    pub usage: Usage,
}

impl Answer {
    /// The answer to a request that is sent at `sent`, nanoseconds on the host's clock.
    #[must_use]
    pub fn new(watch: Watch, sent: u64) -> Self {
        Self {
            watch,
            streamed: watch.streamed.unwrap_or_default(),
            sent,
            begun: false,
            first: None,
            last: 0,
            ended: None,
            accepted: false,
            bytes: 0,
            chunks: 0,
            smallest: usize::MAX,
            tail: Tail::default(),
        }
    }

    /// How much of it has passed, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// When the first chunk of a stream that was accepted passed, nanoseconds on the host's clock.
    #[must_use]
    pub fn first_token_at(&self) -> Option<u64> {
        self.first.filter(|_| self.accepted)
    }

    /// Whether it comes as a stream of events.
    #[must_use]
    pub const fn is_streamed(&self) -> bool {
        self.streamed
    }

    /// Whether it is a stream of events whose status is a success.
    #[must_use]
    pub const fn is_accepted_stream(&self) -> bool {
        self.streamed && self.accepted
    }

    /// It is an error, whatever its status says: nothing is learned from it.
    pub const fn reject(&mut self) {
        self.accepted = false;
    }

    /// Its headers came; `accepted` says that its status is a success.
    pub fn on_headers(&mut self, host: &dyn Host, accepted: bool) {
        self.accepted = accepted;
        if self.watch.streamed.is_none() {
            let content_type = host.response_header("content-type");
            self.streamed = content_type.is_some_and(|value| headers::is_event_stream(&value));
        }
    }

    /// A chunk of `size` bytes passes.
    pub fn on_chunk(&mut self, host: &dyn Host, size: usize, end_of_stream: bool) -> Chunk {
        let mut chunk = Chunk::default();
        if size > 0 {
            chunk.is_first = !std::mem::replace(&mut self.begun, true);
            if self.streamed {
                let now = host.monotonic_nanos();
                if chunk.is_first {
                    self.first = Some(now);
                } else if size >= MIN_EVENT_BYTES {
                    chunk.gap = Some(now.saturating_sub(self.last));
                }
                self.last = now;
            }
            self.bytes = self.bytes.saturating_add(size as u64);
            if size >= MIN_EVENT_BYTES {
                self.chunks = self.chunks.saturating_add(1);
                self.smallest = self.smallest.min(size);
            }
            if self.accepted && (self.watch.reports_usage || !self.streamed) {
                let start = size.saturating_sub(TAIL_BYTES);
                self.tail.push(&host.response_body(start, size - start));
            }
        }
        if end_of_stream {
            self.ended = Some(host.monotonic_nanos());
        }
        chunk
    }

    /// What a complete and successful answer showed; `None` for any other, of which nothing is
    /// learned, and for one that says nothing of tokens.
    #[must_use]
    pub fn measured(&self) -> Option<Measured> {
        let ended = self.ended.filter(|_| self.accepted)?;
        let usage = if self.streamed {
            self.tail.of_events().or_else(|| self.counted())
        } else {
            self.tail.of_document()
        };
        let after = |moment: u64| moment.saturating_sub(self.sent) as f32 / 1e6;
        Some(Measured {
            first_token_ms: self.first.map(after),
            total_ms: after(ended),
            usage: usage?,
        })
    }

    /// The tokens of a stream by its events. Events that Envoy passes on together are told apart by
    /// their size: one event is about as large as any other.
    fn counted(&self) -> Option<Usage> {
        let size = u64::try_from(self.smallest).ok()?;
        let events = (self.bytes / size.max(1)).max(self.chunks);
        (events >= MIN_EVENTS).then(|| Usage {
            // The first event of a stream opens it, with no token or the first one; the last closes it.
            output_tokens: u32::try_from((events - 1).min(MAX_TOKENS)).ok(),
            ..Usage::default()
        })
    }
}

#[cfg(test)]
mod tests;
