//! The canonical bytes of a prompt, from which its prefix hashes are made.
//!
//! They are the prompt-bearing members of the body in document order, free of all that a client may
//! write differently from one turn to the next: white space, the spelling of escapes, commas and
//! the ends of the outermost lists. Each token is a tag and its text, in which every character has
//! one spelling: a quote, a backslash and the control characters that have a letter are escaped by
//! it, all others stand for themselves. An image, a sound or a file is the hash of its text. Numbers in a row share a tag, with commas between them. The
//! tags are bytes that no UTF-8 holds, so that two different prompts cannot give the same bytes. A
//! chat that grows by a message extends the bytes of its previous request.

/// What a stretch of canonical bytes is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Tag {
    /// The eight bytes of a hash follow.
    Media = 0xf7,
    ObjectStart = 0xf8,
    ObjectEnd = 0xf9,
    ArrayStart = 0xfa,
    ArrayEnd = 0xfb,
    Key = 0xfc,
    Text = 0xfd,
    Number = 0xfe,
    Word = 0xff,
}

/// Appends a text. Most are a few bytes long, and for those V8's call to copy memory costs more than
/// the copy.
#[inline]
pub(super) fn append(bytes: &mut Vec<u8>, text: &[u8]) {
    if text.len() > 16 {
        bytes.extend_from_slice(text);
    } else {
        for byte in text {
            bytes.push(*byte);
        }
    }
}

/// The leading canonical bytes of a prompt, bounded.
#[derive(Debug, Clone)]
pub(super) struct CanonicalPrompt {
    bytes: Vec<u8>,
    max: usize,
    /// Whether the last token was a number.
    after_number: bool,
}

impl CanonicalPrompt {
    /// Keeps at most `max` bytes.
    pub(super) const fn new(max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            max,
            after_number: false,
        }
    }

    /// How many more bytes are kept.
    #[inline]
    pub(super) const fn room(&self) -> usize {
        self.max.saturating_sub(self.bytes.len())
    }

    /// Appends as much of `text` as there is room for.
    #[inline]
    pub(super) fn push(&mut self, text: &[u8]) {
        let taken = text.len().min(self.room());
        if taken == 0 {
            return;
        }
        if self.bytes.capacity() - self.bytes.len() < taken {
            self.grow(taken);
        }
        append(&mut self.bytes, text.get(..taken).unwrap_or_default());
    }

    /// Doubles the allocation, but never past the limit.
    #[cold]
    fn grow(&mut self, taken: usize) {
        let wanted = (self.bytes.capacity() * 2)
            .max(self.bytes.len() + taken)
            .max(1024)
            .min(self.max);
        self.bytes.reserve_exact(wanted - self.bytes.len());
    }

    /// Begins a token.
    #[inline]
    pub(super) fn tag(&mut self, tag: Tag) {
        self.after_number = false;
        if self.room() > 0 {
            if self.bytes.capacity() == self.bytes.len() {
                self.grow(1);
            }
            self.bytes.push(tag as u8);
        }
    }

    /// Begins a number, or several with commas between them.
    #[inline]
    pub(super) fn number(&mut self) {
        if self.after_number {
            self.push(b",");
        } else {
            self.tag(Tag::Number);
            self.after_number = true;
        }
    }

    /// Appends the decoded text of an escape, or plain text, in its one spelling.
    pub(super) fn push_decoded(&mut self, text: &[u8]) {
        self.push(match text {
            b"\"" => b"\\\"",
            b"\\" => b"\\\\",
            b"\n" => b"\\n",
            b"\r" => b"\\r",
            b"\t" => b"\\t",
            b"\x08" => b"\\b",
            b"\x0c" => b"\\f",
            _ => text,
        });
    }

    /// A place to return to.
    pub(super) const fn mark(&self) -> usize {
        self.bytes.len()
    }

    /// Drops what was appended since the mark.
    pub(super) fn rewind(&mut self, mark: usize) {
        self.bytes.truncate(mark);
    }

    /// The bytes kept.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes allocated.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}
