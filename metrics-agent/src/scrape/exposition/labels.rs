//! The labels of a sample: `{name="value",other="a \"quoted\" one"}`.

use std::borrow::Cow;

use memchr::memchr2;

use super::sample::{BadLine, is_label_byte, skip_blanks};

/// One label, borrowed from the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value as written, escapes included; see [`Label::value`].
    raw: &'a str,
}

impl<'a> Label<'a> {
    /// The value with `\\`, `\"` and `\n` resolved. Any other escape is kept as it stands, as most
    /// readers do.
    #[must_use]
    pub fn value(&self) -> Cow<'a, str> {
        if !self.raw.contains('\\') {
            return Cow::Borrowed(self.raw);
        }
        let mut value = String::with_capacity(self.raw.len());
        let mut letters = self.raw.chars();
        while let Some(letter) = letters.next() {
            if letter != '\\' {
                value.push(letter);
                continue;
            }
            match letters.next() {
                Some('n') => value.push('\n'),
                Some(quoted @ ('\\' | '"')) => value.push(quoted),
                Some(other) => value.extend(['\\', other]),
                None => value.push('\\'),
            }
        }
        Cow::Owned(value)
    }
}

/// The labels of one sample, checked when the sample was parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Labels<'a> {
    /// What stands behind the opening brace, the closing one included; empty without labels.
    block: &'a [u8],
}

impl<'a> Labels<'a> {
    /// Reads a label block whose `{` is already gone; gives the labels and what follows the `}`.
    ///
    /// # Errors
    /// When the block is malformed, has no end, holds bytes that are not UTF-8 or more than
    /// `most` labels.
    pub(super) fn parse(after_brace: &'a [u8], most: usize) -> Result<(Self, &'a [u8]), BadLine> {
        let mut rest = after_brace;
        let mut count = 0usize;
        while next(&mut rest)?.is_some() {
            count += 1;
            if count > most {
                return Err(BadLine::TooManyLabels);
            }
        }
        // `rest` is a suffix of `after_brace` that starts just behind the closing brace.
        let length = after_brace.len().saturating_sub(rest.len());
        let block = after_brace.get(..length).ok_or(BadLine::Labels)?;
        Ok((Self { block }, rest))
    }

    /// The labels in the order of the page. When a name is given twice, both are there.
    pub fn iter(&self) -> impl Iterator<Item = Label<'a>> + use<'a> {
        let mut rest = self.block;
        // The block was checked; its end is the end of the iteration, whatever the reason.
        std::iter::from_fn(move || next(&mut rest).ok().flatten())
    }

    /// The value of the first label called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.iter()
            .find(|label| label.name == name)
            .map(|label| label.value())
    }

    /// The label block as it stands, without its opening brace: equal bytes are equal series.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.block
    }
}

/// Takes the next label off `rest`; `None` at the closing brace, which is taken too.
fn next<'a>(rest: &mut &'a [u8]) -> Result<Option<Label<'a>>, BadLine> {
    let mut at = skip_blanks(rest);
    if let Some(after) = at.strip_prefix(b"}") {
        *rest = after;
        return Ok(None);
    }
    let end = at
        .iter()
        .position(|byte| !is_label_byte(*byte))
        .unwrap_or(at.len());
    let (name, after) = at.split_at_checked(end).ok_or(BadLine::Labels)?;
    if name.first().is_none_or(u8::is_ascii_digit) {
        return Err(BadLine::Labels);
    }
    at = skip_blanks(after)
        .strip_prefix(b"=")
        .ok_or(BadLine::Labels)?;
    at = skip_blanks(at).strip_prefix(b"\"").ok_or(BadLine::Labels)?;
    let end = closing_quote(at).ok_or(BadLine::Labels)?;
    let (raw, after) = at.split_at_checked(end).ok_or(BadLine::Labels)?;
    at = skip_blanks(after.get(1..).ok_or(BadLine::Labels)?);
    // The comma after the last label is optional; a brace is left for the next call.
    match at.split_first() {
        Some((b',', after)) => *rest = after,
        Some((b'}', _)) => *rest = at,
        _ => return Err(BadLine::Labels),
    }
    Ok(Some(Label {
        name: text(name)?,
        raw: text(raw)?,
    }))
}

fn text(bytes: &[u8]) -> Result<&str, BadLine> {
    std::str::from_utf8(bytes).map_err(|_| BadLine::NotUtf8)
}

/// Where the quote is that ends a value: the first that no backslash escapes.
fn closing_quote(value: &[u8]) -> Option<usize> {
    let mut from = 0usize;
    loop {
        let found = from + memchr2(b'"', b'\\', value.get(from..)?)?;
        if value.get(found) == Some(&b'"') {
            return Some(found);
        }
        from = found + 2;
    }
}
