//! The grammar of `json.loads`, resumable at any byte.

use super::{
    frames::{Frames, Standing},
    grammar::{Literal, Number, integer_run},
    nesting::{Container, Nesting},
    run::{RawSpan, plain_run, raw_span},
    surrogate::SurrogateJoin,
    utf8::Utf8Check,
};

/// What the lexer tells of a document. Depths count the open containers around the token, so that
/// the top-level members are at depth 1.
pub(super) trait Events {
    /// A container was opened and is now the innermost of `depth`.
    fn open(&mut self, depth: u16, container: Container);
    /// A container was closed; `depth` remain open.
    fn close(&mut self, depth: u16, container: Container);
    /// A key begins; its text follows.
    fn key_start(&mut self, depth: u16);
    /// The key ended; `at` bytes of the body have been read.
    fn key_end(&mut self, depth: u16, at: u64);
    /// A string value begins; its text follows. Its opening quote is the byte at `at` of the body.
    fn string_start(&mut self, depth: u16, at: u64);
    /// The string value ended; `at` bytes of the body have been read.
    fn string_end(&mut self, depth: u16, at: u64);
    /// A number begins; its text follows.
    fn number_start(&mut self, depth: u16);
    /// The number ended.
    fn number_end(&mut self, depth: u16);
    /// A literal was read.
    fn literal(&mut self, depth: u16, literal: Literal);
    /// A piece of the present key, string or number; escapes are decoded (lone surrogates to
    /// WTF-8).
    fn text(&mut self, text: &[u8]);
    /// A piece of the present string as it was written, `decoded_len` bytes long once decoded.
    fn raw_text(&mut self, raw: &[u8], decoded_len: usize);
    /// Whether the present string is wanted in raw pieces.
    fn takes_raw(&self) -> bool;
    /// Whole numbers of a list, with commas between them and no white space.
    fn integers(&mut self, raw: &[u8], count: usize);
    /// How many bytes of a string value may be read before [`Self::is_enough`] is asked again.
    fn budget(&self) -> usize;
    /// Whether nothing more need be read.
    fn is_enough(&self) -> bool;
    /// What counts while the present string is read, if of a document of this shape nothing but the
    /// length of such strings is still to be learned here.
    fn standing(&self, shape: u64) -> Option<Standing>;
}

/// Why the lexer reads no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Enough,
    NotJson,
    NotObject,
    TooDeep,
}

/// What may come next between two tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Document,
    Value,
    ValueOrClose,
    Key,
    KeyOrClose,
    Colon,
    CommaOrClose,
    Nothing,
}

/// Whether a string is a key or a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Key,
    Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first byte that is not part of a byte order mark.
    Start {
        mark_read: u8,
    },
    Between(Expect),
    Text(Role),
    Escape(Role),
    Hex {
        role: Role,
        digits: u8,
        unit: u16,
    },
    Number(Number),
    Literal {
        literal: Literal,
        read: u8,
    },
}

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Reads one document in pieces.
#[derive(Debug, Clone)]
pub(super) struct Lexer {
    state: State,
    nesting: Nesting,
    utf8: Utf8Check,
    surrogates: SurrogateJoin,
    frames: Frames,
    read: u64,
    stop: Option<Stop>,
}

impl Lexer {
    /// Before the first byte.
    pub(super) fn new() -> Self {
        Self {
            state: State::Start { mark_read: 0 },
            nesting: Nesting::default(),
            utf8: Utf8Check::default(),
            surrogates: SurrogateJoin::default(),
            frames: Frames::default(),
            read: 0,
            stop: None,
        }
    }

    /// How many bytes have been read.
    pub(super) const fn read(&self) -> u64 {
        self.read
    }

    /// The frames that are remembered.
    pub(super) const fn frames(&self) -> &Frames {
        &self.frames
    }

    /// Why nothing more is read, if so.
    pub(super) const fn stop(&self) -> Option<Stop> {
        self.stop
    }

    /// Whether the document has ended.
    pub(super) fn is_complete(&self) -> bool {
        self.stop.is_none() && self.state == State::Between(Expect::Nothing)
    }

    /// Reads the next piece, up to the byte after which nothing more is needed.
    pub(super) fn push<E: Events>(&mut self, whole: &[u8], events: &mut E) {
        let mut piece = whole;
        while let (Some(first), None) = (piece.first(), self.stop) {
            let step = match self.state {
                State::Text(role) => self.text(piece, role, events),
                State::Between(expect) => self.between(piece, expect, events),
                State::Number(number) => self.number(piece, number, events),
                State::Literal { literal, read } => {
                    self.literal(piece, literal, read.into(), events)
                }
                State::Escape(role) => self.escape(*first, role, events),
                State::Hex { role, digits, unit } => self.hex(*first, role, digits, unit, events),
                State::Start { mark_read } => self.start(*first, mark_read),
            };
            self.read = self.read.saturating_add(step as u64);
            piece = piece.get(step..).unwrap_or_default();
            if self.frames.is_open() && self.state == State::Text(Role::Value) {
                self.frames.end(whole, piece.len(), self.standing(events));
            }
        }
        self.frames.give_up();
    }

    fn standing<E: Events>(&self, events: &E) -> Option<Standing> {
        events.standing(self.nesting.shape()?)
    }

    fn start(&mut self, first: u8, mark_read: u8) -> usize {
        if BYTE_ORDER_MARK.get(usize::from(mark_read)) == Some(&first) {
            self.state = State::Start {
                mark_read: mark_read + 1,
            };
            return 1;
        }
        if matches!(mark_read, 0 | 3) {
            self.state = State::Between(Expect::Document);
            return 0;
        }
        self.fail(Stop::NotJson)
    }

    /// Reads white space and structural bytes, up to the first byte of a text, number or literal.
    fn between<E: Events>(&mut self, piece: &[u8], expect: Expect, events: &mut E) -> usize {
        let mut expect = expect;
        let mut step = 0;
        for byte in piece {
            if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                step += 1;
                continue;
            }
            if byte.is_ascii_digit()
                && matches!(expect, Expect::Value | Expect::ValueOrClose)
                && self.nesting.innermost() == Some(Container::Array)
                && let Some(list) = piece.get(step..)
            {
                let len = self.integers(list, events);
                if len > 0 {
                    return step + len;
                }
            }
            let at = self.read.saturating_add(step as u64);
            step += 1;
            self.state = self.structural(*byte, expect, at, events);
            if self.stop.is_none() && events.is_enough() {
                self.stop = Some(Stop::Enough);
            }
            match self.state {
                State::Between(next) if self.stop.is_none() => expect = next,
                _ => break,
            }
        }
        step
    }

    fn structural<E: Events>(
        &mut self,
        byte: u8,
        expect: Expect,
        at: u64,
        events: &mut E,
    ) -> State {
        let depth = self.nesting.depth();
        match (expect, byte) {
            (Expect::Colon, b':') => State::Between(Expect::Value),
            (Expect::Key | Expect::KeyOrClose, b'"') => {
                events.key_start(depth);
                State::Text(Role::Key)
            }
            (Expect::CommaOrClose, b',') => {
                State::Between(if self.nesting.innermost() == Some(Container::Object) {
                    Expect::Key
                } else {
                    Expect::Value
                })
            }
            (Expect::KeyOrClose | Expect::CommaOrClose, b'}') => {
                self.close(Container::Object, events)
            }
            (Expect::ValueOrClose | Expect::CommaOrClose, b']') => {
                self.close(Container::Array, events)
            }
            (Expect::Document, b'{') => self.open(Container::Object, Expect::KeyOrClose, events),
            (
                Expect::Document,
                b'[' | b'"' | b'-' | b'0'..=b'9' | b'n' | b't' | b'f' | b'N' | b'I',
            ) => {
                self.fail(Stop::NotObject);
                self.state
            }
            (Expect::Value | Expect::ValueOrClose, _) => self.value(byte, depth, at, events),
            _ => {
                self.fail(Stop::NotJson);
                self.state
            }
        }
    }

    fn value<E: Events>(&mut self, byte: u8, depth: u16, at: u64, events: &mut E) -> State {
        match byte {
            b'"' => {
                events.string_start(depth, at);
                State::Text(Role::Value)
            }
            b'{' => self.open(Container::Object, Expect::KeyOrClose, events),
            b'[' => self.open(Container::Array, Expect::ValueOrClose, events),
            _ => {
                if let Some(number) = Number::begin(byte) {
                    events.number_start(depth);
                    events.text(&[byte]);
                    State::Number(number)
                } else if let Some(literal) = Literal::begin(byte) {
                    State::Literal { literal, read: 1 }
                } else {
                    self.fail(Stop::NotJson);
                    self.state
                }
            }
        }
    }

    fn open<E: Events>(&mut self, container: Container, next: Expect, events: &mut E) -> State {
        if self.nesting.open(container) {
            events.open(self.nesting.depth(), container);
        } else {
            self.fail(Stop::TooDeep);
        }
        State::Between(next)
    }

    fn close<E: Events>(&mut self, container: Container, events: &mut E) -> State {
        if self.nesting.close(container) {
            events.close(self.nesting.depth(), container);
        } else {
            self.fail(Stop::NotJson);
        }
        State::Between(if self.nesting.depth() == 0 {
            Expect::Nothing
        } else {
            Expect::CommaOrClose
        })
    }

    fn text<E: Events>(&mut self, piece: &[u8], role: Role, events: &mut E) -> usize {
        if piece.first() != Some(&b'\\')
            && let Some(alone) = self.surrogates.flush()
        {
            events.text(alone.as_bytes());
            self.check_enough(role, events);
            return 0;
        }
        match role {
            Role::Value if events.takes_raw() => self.raw_text(piece, events),
            Role::Key | Role::Value => self.decoded_text(piece, role, events),
        }
    }

    /// Reads a stretch of prompt text, or of text nobody wants, in large pieces.
    fn raw_text<E: Events>(&mut self, piece: &[u8], events: &mut E) -> usize {
        let window = piece.get(..events.budget()).unwrap_or(piece);
        let span = if self.surrogates.is_waiting() {
            RawSpan::default()
        } else {
            raw_span(window)
        };
        if span.len > 0 {
            let raw = window.get(..span.len).unwrap_or_default();
            let to_check = span.maybe_not_ascii || !self.utf8.is_complete();
            if to_check && !self.utf8.takes(raw) {
                return self.fail(Stop::NotJson);
            }
            events.raw_text(raw, span.len - span.escapes);
            if events.is_enough() {
                self.stop = Some(Stop::Enough);
                return span.len;
            }
        }
        let step = span.len + 1;
        match window.get(span.len) {
            None => span.len,
            Some(b'"') if self.utf8.is_complete() => {
                let behind = piece.get(step..).unwrap_or_default();
                if let Some(standing) = self.standing(events)
                    && let Some(frame) = self.frames.begin(behind, standing)
                {
                    return step + frame;
                }
                self.end_text(Role::Value, events, step as u64);
                step
            }
            Some(special) => self.special(*special, Role::Value, events, step),
        }
    }

    /// Reads a run of a key or of a value that is needed as such.
    fn decoded_text<E: Events>(&mut self, piece: &[u8], role: Role, events: &mut E) -> usize {
        let run = plain_run(piece);
        if run.len > 0 {
            let plain = piece.get(..run.len).unwrap_or_default();
            let to_check = run.maybe_not_ascii || !self.utf8.is_complete();
            if to_check && !self.utf8.takes(plain) {
                return self.fail(Stop::NotJson);
            }
            events.text(plain);
        }
        match piece.get(run.len) {
            None => run.len,
            Some(special) => self.special(*special, role, events, run.len + 1),
        }
    }

    /// Reads the byte behind a run, the last one of `step`.
    fn special<E: Events>(
        &mut self,
        special: u8,
        role: Role,
        events: &mut E,
        step: usize,
    ) -> usize {
        match special {
            _ if !self.utf8.is_complete() => return self.fail(Stop::NotJson),
            b'"' => self.end_text(role, events, step as u64),
            b'\\' => self.state = State::Escape(role),
            _ => return self.fail(Stop::NotJson),
        }
        step
    }

    fn end_text<E: Events>(&mut self, role: Role, events: &mut E, step: u64) {
        let depth = self.nesting.depth();
        let at = self.read.saturating_add(step);
        match role {
            Role::Key => {
                events.key_end(depth, at);
                self.state = State::Between(Expect::Colon);
            }
            Role::Value => {
                events.string_end(depth, at);
                self.state = State::Between(Expect::CommaOrClose);
            }
        }
    }

    fn escape<E: Events>(&mut self, byte: u8, role: Role, events: &mut E) -> usize {
        let decoded = match byte {
            b'u' => {
                self.state = State::Hex {
                    role,
                    digits: 0,
                    unit: 0,
                };
                return 1;
            }
            b'"' | b'\\' | b'/' => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            _ => return self.fail(Stop::NotJson),
        };
        if let Some(alone) = self.surrogates.flush() {
            events.text(alone.as_bytes());
        }
        events.text(&[decoded]);
        self.state = State::Text(role);
        self.check_enough(role, events);
        1
    }

    fn hex<E: Events>(
        &mut self,
        byte: u8,
        role: Role,
        digits: u8,
        unit: u16,
        events: &mut E,
    ) -> usize {
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => return self.fail(Stop::NotJson),
        };
        let unit = unit << 4 | u16::from(value);
        if digits < 3 {
            self.state = State::Hex {
                role,
                digits: digits + 1,
                unit,
            };
            return 1;
        }
        let (alone, character) = self.surrogates.unit(unit);
        for part in [alone, character].into_iter().flatten() {
            events.text(part.as_bytes());
        }
        self.state = State::Text(role);
        self.check_enough(role, events);
        1
    }

    /// Keys are read to their end, so that where the scan stops does not depend on the chunks.
    fn check_enough<E: Events>(&mut self, role: Role, events: &E) {
        if role == Role::Value && events.is_enough() {
            self.stop = Some(Stop::Enough);
        }
    }

    fn number<E: Events>(&mut self, piece: &[u8], mut number: Number, events: &mut E) -> usize {
        let len = piece
            .iter()
            .position(|byte| !number.takes(*byte))
            .unwrap_or(piece.len());
        let text = piece.get(..len).unwrap_or_default();
        if !text.is_empty() {
            events.text(text);
        }
        let Some(behind) = piece.get(len) else {
            self.state = State::Number(number);
            return len;
        };
        if number.is_sign() && *behind == b'I' {
            self.state = State::Literal {
                literal: Literal::NegativeInfinity,
                read: 1,
            };
            return len;
        }
        if !number.is_complete() {
            return self.fail(Stop::NotJson);
        }
        events.number_end(self.nesting.depth());
        self.state = State::Between(Expect::CommaOrClose);
        self.check_enough(Role::Value, events);
        len
    }

    /// Reads the whole numbers at the beginning of a list's rest that another number follows, with
    /// the comma behind them; token ids come so. Stops short of where the facts might suffice.
    fn integers<E: Events>(&mut self, list: &[u8], events: &mut E) -> usize {
        let budget = events.budget().saturating_sub(2);
        let run = integer_run(list.get(..budget).unwrap_or(list));
        let Some(raw) = run.len.checked_sub(1).and_then(|len| list.get(..len)) else {
            return 0;
        };
        events.integers(raw, run.count);
        self.state = State::Between(Expect::Value);
        run.len
    }

    fn literal<E: Events>(
        &mut self,
        piece: &[u8],
        literal: Literal,
        read: usize,
        events: &mut E,
    ) -> usize {
        let rest = literal.word().get(read..).unwrap_or_default();
        let len = rest.len().min(piece.len());
        let (expected, found) = (rest.get(..len), piece.get(..len));
        if expected != found {
            return self.fail(Stop::NotJson);
        }
        if len < rest.len() {
            self.state = State::Literal {
                literal,
                read: u8::try_from(read + len).unwrap_or(u8::MAX),
            };
            return len;
        }
        events.literal(self.nesting.depth(), literal);
        self.state = State::Between(Expect::CommaOrClose);
        self.check_enough(Role::Value, events);
        len
    }

    const fn fail(&mut self, stop: Stop) -> usize {
        self.stop = Some(stop);
        0
    }
}
