//! One JSON document, read from its end.

use super::Usage;

/// How deep numbers of interest lie: `response`, `usage`, the details of the prompt.
const LEVELS: usize = 5;

/// The counts of the object's member `usage`, or of its member `response`'s. `tail` are the last bytes
/// of the document, all of it or not.
pub(super) fn usage(tail: &[u8]) -> Option<Usage> {
    let mut rest = tail;
    let mut levels = [Object::default(); LEVELS];
    let mut depth = 0usize;
    let mut value = Value::Other;
    let mut names_value = false;
    loop {
        let (byte, before) = rest.trim_ascii_end().split_last()?;
        rest = before;
        if depth == 0 && *byte != b'}' {
            return None;
        }
        match byte {
            b'}' | b']' => {
                depth = depth.saturating_add(1);
                if let Some(level) = levels.get_mut(depth) {
                    *level = Object::default();
                }
            }
            b'{' | b'[' => {
                let closed = levels.get(depth).filter(|_| *byte == b'{');
                value = closed.map_or(Value::Other, |object| Value::Object(*object));
                // A document that began here has no member of that name.
                depth = depth.checked_sub(1).filter(|depth| *depth > 0)?;
            }
            b'"' => {
                let (before, text) = string(before)?;
                rest = before;
                if !std::mem::take(&mut names_value) {
                    value = Value::Other;
                    continue;
                }
                match (depth, text, value) {
                    (1, b"usage", Value::Object(object)) => return object.usage(),
                    (1, b"response", Value::Object(object)) => return object.inner,
                    _ => {}
                }
                if let Some(level) = levels.get_mut(depth) {
                    level.member(text, value);
                }
            }
            b':' => names_value = true,
            b',' => value = Value::Other,
            _ => {
                let length = rest.iter().rev().take_while(|byte| is_scalar(**byte));
                let (before, begin) = rest.split_at_checked(rest.len() - length.count())?;
                rest = before;
                value = number(begin, *byte).map_or(Value::Other, Value::Number);
            }
        }
    }
}

/// The value that was just passed.
#[derive(Clone, Copy)]
enum Value {
    Number(u32),
    Object(Object),
    Other,
}

/// What the members passed so far say of the object around them. Of a name that comes twice the last
/// one counts, as in most readers.
#[derive(Clone, Copy, Default)]
struct Object {
    prompt: Option<u32>,
    output: Option<u32>,
    cached: Option<u32>,
    details: Option<u32>,
    /// Part of the prompt is counted apart, so that its size is not said.
    is_split: bool,
    inner: Option<Usage>,
}

impl Object {
    fn member(&mut self, name: &[u8], value: Value) {
        let (slot, number) = match (name, value) {
            (b"prompt_tokens" | b"input_tokens", Value::Number(n)) => (&mut self.prompt, n),
            (b"completion_tokens" | b"output_tokens", Value::Number(n)) => (&mut self.output, n),
            (b"cached_tokens", Value::Number(n)) => (&mut self.cached, n),
            (b"prompt_tokens_details" | b"input_tokens_details", Value::Object(object)) => {
                self.details = self.details.or(object.cached);
                return;
            }
            (b"cache_read_input_tokens" | b"cache_creation_input_tokens", Value::Number(1..)) => {
                self.is_split = true;
                return;
            }
            (b"usage", Value::Object(object)) => {
                self.inner = self.inner.or(object.usage());
                return;
            }
            _ => return,
        };
        slot.get_or_insert(number);
    }

    /// The counts, if this object is one of counts.
    fn usage(&self) -> Option<Usage> {
        let prompt_tokens = self.prompt.filter(|_| !self.is_split);
        let cached = self.details.zip(prompt_tokens);
        (prompt_tokens.is_some() || self.output.is_some()).then_some(Usage {
            prompt_tokens,
            cached_tokens: cached.and_then(|(cached, all)| (cached <= all).then_some(cached)),
            output_tokens: self.output,
        })
    }
}

/// The string whose closing quote followed `bytes`: what lies before its opening quote, and its text as
/// it is written. `None` when it is not whole.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut end = bytes.len();
    loop {
        let quote = bytes.get(..end)?.iter().rposition(|byte| *byte == b'"')?;
        let before = bytes.get(..quote)?;
        if !is_escaped(before)? {
            return Some((before, bytes.get(quote.checked_add(1)?..)?));
        }
        end = quote;
    }
}

/// Whether a quote that follows `bytes` is escaped; `None` when what could tell lies before them.
fn is_escaped(bytes: &[u8]) -> Option<bool> {
    let other = bytes.iter().rposition(|byte| *byte != b'\\')?;
    Some((bytes.len() - other).is_multiple_of(2))
}

const fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// The whole number with these digits.
fn number(begin: &[u8], last: u8) -> Option<u32> {
    begin.iter().chain(&[last]).try_fold(0u32, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u32::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
