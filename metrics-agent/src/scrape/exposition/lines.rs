//! Cuts a page that arrives in chunks into lines.

use memchr::memchr;

use super::PageLimits;

/// One line of the page without its line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageLine<'a> {
    /// The whole line.
    Whole(&'a [u8]),
    /// The beginning of a line above [`PageLimits::line_bytes`]; the rest is dropped.
    TooLong(&'a [u8]),
}

/// Whether more of the page is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Bring the next chunk.
    Continue,
    /// The limit of lines is reached; further chunks are ignored.
    Stop,
}

/// Cuts chunks into lines. Lines inside a chunk are borrowed from it; only one that straddles two
/// chunks is copied, so that a page of any size costs at most one line of memory. Every way to cut
/// the page into chunks gives the same lines.
#[derive(Debug)]
pub struct LineSplitter {
    limits: PageLimits,
    /// The beginning of a line whose end has not come yet.
    carry: Vec<u8>,
    /// The present line was reported as too long; drop it up to its end.
    dropping: bool,
    lines: u32,
    stopped: bool,
}

impl LineSplitter {
    /// A splitter at the beginning of a page.
    #[must_use]
    pub const fn new(limits: PageLimits) -> Self {
        Self {
            limits,
            carry: Vec::new(),
            dropping: false,
            lines: 0,
            stopped: false,
        }
    }

    /// Takes the next chunk and hands every line that ends in it to `each`.
    pub fn push(&mut self, chunk: &[u8], mut each: impl FnMut(PageLine<'_>)) -> Flow {
        let mut rest = chunk;
        while !self.stopped {
            let Some((line, after)) =
                memchr(b'\n', rest).and_then(|end| Some((rest.get(..end)?, rest.get(end + 1..)?)))
            else {
                self.keep(rest, &mut each);
                return Flow::Continue;
            };
            rest = after;
            self.end_line(line, &mut each);
        }
        Flow::Stop
    }

    /// Ends the page. A last line without a line end is handed on only when `complete` says that
    /// the body is known to be whole: a value cut in the middle is a smaller value. True when such
    /// a line was dropped.
    pub fn finish(&mut self, complete: bool, mut each: impl FnMut(PageLine<'_>)) -> bool {
        let open = !self.stopped && (self.dropping || !self.carry.is_empty());
        if complete && open {
            self.end_line(&[], &mut each);
        }
        self.carry.clear();
        open && !complete
    }

    /// Whether lines were left unread because of [`PageLimits::lines`].
    #[must_use]
    pub const fn stopped(&self) -> bool {
        self.stopped
    }

    fn end_line(&mut self, tail: &[u8], each: &mut impl FnMut(PageLine<'_>)) {
        if self.lines >= self.limits.lines {
            self.stopped = true;
            return;
        }
        self.lines += 1;
        if self.dropping {
            self.dropping = false;
        } else if self.carry.is_empty() {
            each(self.measured(tail));
        } else {
            self.keep(tail, each);
            if self.dropping {
                self.dropping = false;
            } else {
                each(PageLine::Whole(&self.carry));
            }
        }
        self.carry.clear();
    }

    /// Remembers the beginning of a line, as far as a line may go.
    fn keep(&mut self, piece: &[u8], each: &mut impl FnMut(PageLine<'_>)) {
        if self.dropping || piece.is_empty() {
            return;
        }
        if self.lines >= self.limits.lines {
            self.stopped = true;
            return;
        }
        let room = self.limits.line_bytes.saturating_sub(self.carry.len());
        match piece.split_at_checked(room) {
            Some((fits, over)) if !over.is_empty() => {
                self.carry.extend_from_slice(fits);
                each(PageLine::TooLong(&self.carry));
                self.carry.clear();
                self.dropping = true;
            }
            _ => self.carry.extend_from_slice(piece),
        }
    }

    fn measured<'a>(&self, line: &'a [u8]) -> PageLine<'a> {
        match line.split_at_checked(self.limits.line_bytes) {
            Some((beginning, over)) if !over.is_empty() => PageLine::TooLong(beginning),
            _ => PageLine::Whole(line),
        }
    }
}
