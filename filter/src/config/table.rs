//! Reading one JSON object field by field, so that nothing in it goes unnoticed.

use std::ops::RangeInclusive;

use picker::config::Decimal;
use serde_json::{Map, Value};

/// The longest excerpt of a wrong value in a message, in characters.
const EXCERPT_CHARS: usize = 64;

/// An object whose fields are taken one after the other; what is left at the end is unknown.
pub(super) struct Table {
    path: String,
    entries: Map<String, Value>,
    known: Vec<&'static str>,
    seen: Vec<&'static str>,
}

impl Table {
    /// The object at `path` (empty for the root), or a mistake if it is none.
    pub(super) fn new(path: &str, value: Value, mistakes: &mut Vec<String>) -> Option<Self> {
        let Value::Object(entries) = value else {
            mistakes.push(wrong(path, "an object", &value));
            return None;
        };
        Some(Self {
            path: path.to_owned(),
            entries,
            known: Vec::new(),
            seen: Vec::new(),
        })
    }

    /// The value of a field, if it is there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        let value = self.entries.remove(key);
        if value.is_some() {
            self.seen.push(key);
        }
        value
    }

    /// Whether a field was there when it was taken.
    pub(super) fn saw(&self, key: &str) -> bool {
        self.seen.contains(&key)
    }

    /// Reports every field that nobody took.
    pub(super) fn finish(self, mistakes: &mut Vec<String>) {
        for key in self.entries.keys() {
            let place = join(&self.path, &excerpt_text(key));
            mistakes.push(format!(
                "{place}: unknown field; known fields are {}",
                self.known.join(", ")
            ));
        }
    }
}

/// A field's path within its parent's.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// The message for a value that is not allowed.
pub(super) fn wrong(path: &str, allowed: &str, got: &Value) -> String {
    let place = if path.is_empty() {
        "the document"
    } else {
        path
    };
    format!("{place}: must be {allowed}, got {}", excerpt(got))
}

/// `true` or `false`.
pub(super) fn boolean(path: &str, value: &Value, mistakes: &mut Vec<String>) -> Option<bool> {
    let taken = value.as_bool();
    if taken.is_none() {
        mistakes.push(wrong(path, "true or false", value));
    }
    taken
}

/// A whole number within a range.
pub(super) fn integer(
    path: &str,
    value: &Value,
    range: RangeInclusive<usize>,
    mistakes: &mut Vec<String>,
) -> Option<usize> {
    let taken = value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok())
        .filter(|number| range.contains(number));
    if taken.is_none() {
        let allowed = format!("a whole number in {}..={}", range.start(), range.end());
        mistakes.push(wrong(path, &allowed, value));
    }
    taken
}

/// A list with a bounded number of elements.
pub(super) fn list(
    path: &str,
    value: Value,
    counts: RangeInclusive<usize>,
    mistakes: &mut Vec<String>,
) -> Vec<Value> {
    let Value::Array(elements) = value else {
        mistakes.push(wrong(path, "a list", &value));
        return Vec::new();
    };
    if !counts.contains(&elements.len()) {
        mistakes.push(format!(
            "{path}: must have {} to {} elements, got {}",
            counts.start(),
            counts.end(),
            elements.len()
        ));
        return Vec::new();
    }
    elements
}

/// A wrong value as a message shows it. The formatting that `Value` brings along would take 12 KB of the
/// filter's wasm, most of them for fractions.
fn excerpt(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(whole), _) => whole.to_string(),
            (None, Some(number)) => Decimal(number).to_string(),
            (None, None) => "a number".to_owned(),
        },
        Value::String(text) => format!("\"{}\"", excerpt_text(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// The beginning of a text, safe for a log line.
pub(super) fn excerpt_text(text: &str) -> String {
    let mut shown = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == EXCERPT_CHARS {
            shown.push_str("...");
            break;
        }
        if character.is_control() || !character.is_ascii() {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}
