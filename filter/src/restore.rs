//! The name that the client asked for, put back into the answer while it passes.
//!
//! ```text
//!   data: {"id":"x","model":"tiny-canary","choices":[...]}\n
//!                           ^ from here the public name goes out, up to the closing quote nothing
//! ```
//!
//! The member `model` of the document is replaced, and that of its member `response` (events of
//! `/v1/responses`) or `message` (`message_start` of Anthropic). Whatever stands there goes: an engine
//! that reports an alias of its own would give it away otherwise. So nothing has to be held back and
//! compared, and a chunk may end at any byte. Text that a model was made to write is in a string, and
//! strings are stepped over.
//!
//! In a stream of events each line is a document. Once the name has been put back the rest of the
//! document is not looked at.

mod passage;

pub use passage::Passage;

use crate::body::plain_run;

/// The longest key that matters, in bytes.
const MAX_KEY_BYTES: usize = 8;

/// Puts the public name into one answer.
#[derive(Debug)]
pub struct Restorer {
    /// The name as a JSON string, quotes included.
    public: Vec<u8>,
    /// Whether each line is a document.
    lines: bool,
    state: State,
    /// How many objects are open in which `model` counts: 0 to 2.
    level: u8,
    /// How many other containers are open within.
    skipped: u32,
    /// Whether a string is a key here.
    key_follows: bool,
    /// The last key where `model` counts; longer and escaped ones are cut so that they match nothing.
    key: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Structure,
    Text(Text),
    /// Behind a backslash.
    Escape(Text),
    /// Up to the end of the document nothing matters.
    Rest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Key,
    /// The value that was replaced.
    Replaced,
    Skipped,
}

/// A chunk on its way out.
struct Edit<'a> {
    chunk: &'a [u8],
    /// The bytes before this one went out, or were left out.
    done: usize,
    out: Option<Vec<u8>>,
}

impl Edit<'_> {
    /// What was not dealt with before `at` goes out as it came.
    fn keep_to(&mut self, at: usize) -> &mut Vec<u8> {
        let size = self.chunk.len();
        let out = self.out.get_or_insert_with(|| Vec::with_capacity(size));
        out.extend_from_slice(self.chunk.get(self.done..at).unwrap_or_default());
        self.done = at;
        out
    }

    /// What was not dealt with before `at` is left out.
    fn drop_to(&mut self, at: usize) {
        self.out.get_or_insert_default();
        self.done = at;
    }
}

impl Restorer {
    /// For an answer whose model is to read as `public`, a JSON string; `lines` says that it is a
    /// stream of events and not one document.
    #[must_use]
    pub const fn new(public: Vec<u8>, lines: bool) -> Self {
        Self {
            public,
            lines,
            state: State::Structure,
            level: 0,
            skipped: 0,
            key_follows: false,
            key: Vec::new(),
        }
    }

    /// Whether nothing that follows will change.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Rest && !self.lines
    }

    /// The next chunk as it goes out; `None` when it goes out as it came.
    #[must_use]
    pub fn pass(&mut self, chunk: &[u8]) -> Option<Vec<u8>> {
        let mut edit = Edit {
            chunk,
            done: 0,
            out: None,
        };
        let mut at = 0;
        while let Some((byte, behind)) = chunk.get(at..).and_then(<[u8]>::split_first) {
            let replacing = matches!(
                self.state,
                State::Text(Text::Replaced) | State::Escape(Text::Replaced)
            );
            at += match self.state {
                State::Structure => {
                    self.structure(*byte, at, &mut edit);
                    1
                }
                State::Text(text) => self.text(text, chunk.get(at..).unwrap_or_default()),
                State::Escape(text) => {
                    self.state = State::Text(text);
                    1
                }
                State::Rest if self.ends_line(*byte) => {
                    self.reset();
                    1
                }
                State::Rest => {
                    let end = behind.iter().position(|byte| self.ends_line(*byte));
                    1 + end.unwrap_or(behind.len())
                }
            };
            if replacing {
                edit.drop_to(at);
            }
        }
        edit.out.is_some().then(|| {
            edit.keep_to(chunk.len());
            edit.out.unwrap_or_default()
        })
    }

    const fn ends_line(&self, byte: u8) -> bool {
        self.lines && matches!(byte, b'\n' | b'\r')
    }

    fn reset(&mut self) {
        self.state = State::Structure;
        self.level = 0;
        self.skipped = 0;
        self.key.clear();
    }

    /// One byte between texts, at `at` of the chunk.
    fn structure(&mut self, byte: u8, at: usize, edit: &mut Edit<'_>) {
        let counts = self.level > 0 && self.skipped == 0;
        match byte {
            _ if self.ends_line(byte) => self.reset(),
            // A list of documents is none, and the mark of a stream's end is a list.
            b'[' if self.level == 0 => self.state = State::Rest,
            b'{' if self.level == 0 => self.enter(1),
            b'{' if counts && self.level == 1 && matches!(&*self.key, b"response" | b"message") => {
                self.enter(2);
            }
            b'{' | b'[' => self.skipped = self.skipped.saturating_add(1),
            b'}' | b']' if counts => {
                self.level -= 1;
                self.key.clear();
                if self.level == 0 {
                    self.state = State::Rest;
                }
            }
            b'}' | b']' => self.skipped = self.skipped.saturating_sub(1),
            b',' if counts => self.key_follows = true,
            b':' if counts => self.key_follows = false,
            b'"' if counts && self.key_follows => {
                self.key.clear();
                self.state = State::Text(Text::Key);
            }
            b'"' if counts && self.key == b"model" => {
                edit.keep_to(at).extend_from_slice(&self.public);
                edit.drop_to(at.saturating_add(1));
                self.state = State::Text(Text::Replaced);
            }
            b'"' if self.level > 0 => self.state = State::Text(Text::Skipped),
            _ => {}
        }
    }

    fn enter(&mut self, level: u8) {
        self.level = level;
        self.key_follows = true;
        self.key.clear();
    }

    /// Reads the rest of a text, up to and with what ends or interrupts it. Returns how much that was.
    fn text(&mut self, text: Text, rest: &[u8]) -> usize {
        let len = plain_run(rest).len;
        if text == Text::Key {
            // One byte more than counts tells a long key from a short one.
            let room = MAX_KEY_BYTES
                .saturating_add(1)
                .saturating_sub(self.key.len());
            let taken = rest.get(..len.min(room)).unwrap_or_default();
            self.key.extend_from_slice(taken);
        }
        self.state = match rest.get(len) {
            Some(b'"') if text == Text::Replaced && self.level == 1 => State::Rest,
            Some(b'"') => State::Structure,
            Some(b'\\') => {
                if text == Text::Key && self.key.len() <= MAX_KEY_BYTES {
                    self.key.push(b'\\');
                }
                State::Escape(text)
            }
            // No text goes past the end of its line.
            Some(byte) if self.ends_line(*byte) => {
                self.state = State::Rest;
                return len;
            }
            _ => return rest.len().min(len.saturating_add(1)),
        };
        len.saturating_add(1)
    }
}

#[cfg(test)]
mod tests;
