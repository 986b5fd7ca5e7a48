//! One sample line: `name{labels} value timestamp`.

use memchr::memchr3;

use super::Labels;

/// Why a line was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// It does not start with a metric name.
    #[error("no metric name")]
    Name,
    /// Its label block is malformed or has no end.
    #[error("malformed labels")]
    Labels,
    /// It has more labels than allowed.
    #[error("too many labels")]
    TooManyLabels,
    /// A label holds bytes that are not UTF-8.
    #[error("label that is not UTF-8")]
    NotUtf8,
    /// It has no value or one that is no number.
    #[error("no number for a value")]
    Value,
    /// Something follows the value that is no timestamp.
    #[error("neither timestamp nor end after the value")]
    Timestamp,
}

/// One measured value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample<'a> {
    /// The name as it stands in the page, `_total` and the like included.
    pub name: &'a [u8],
    /// Its labels.
    pub labels: Labels<'a>,
    /// The value: any `f64`, so NaN and the infinities too. `1e400` is infinite.
    pub value: f64,
    /// The timestamp as written (milliseconds in the Prometheus format, seconds in OpenMetrics).
    pub timestamp: Option<f64>,
}

/// A line of which only the name was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleLine<'a> {
    /// The metric name, not empty; only its first byte is checked before [`SampleLine::parse`].
    pub name: &'a [u8],
    rest: &'a [u8],
}

impl<'a> SampleLine<'a> {
    /// Finds the name of a line; `None` for comments and empty lines.
    ///
    /// # Errors
    /// When the line is neither and does not start with a name that something follows.
    pub fn split(line: &'a [u8]) -> Result<Option<Self>, BadLine> {
        let line = skip_blanks(line);
        match line.first() {
            None | Some(b'#' | b'\r') => return Ok(None),
            Some(first) if first.is_ascii_alphabetic() || matches!(first, b'_' | b':') => {}
            Some(_) => return Err(BadLine::Name),
        }
        let end = memchr3(b'{', b' ', b'\t', line).ok_or(BadLine::Value)?;
        let (name, rest) = line.split_at_checked(end).ok_or(BadLine::Name)?;
        Ok(Some(Self { name, rest }))
    }

    /// Reads labels, value and timestamp.
    ///
    /// # Errors
    /// When any of them is malformed; see [`BadLine`].
    pub fn parse(self, most_labels: usize) -> Result<Sample<'a>, BadLine> {
        if !self
            .name
            .iter()
            .all(|byte| is_label_byte(*byte) || *byte == b':')
        {
            return Err(BadLine::Name);
        }
        let rest = skip_blanks(self.rest);
        let (labels, rest) = match rest.strip_prefix(b"{") {
            Some(after) => Labels::parse(after, most_labels)?,
            None => (Labels::default(), rest),
        };
        let (value, rest) = token(rest);
        let value = number(value).ok_or(BadLine::Value)?;
        let (stamp, rest) = token(rest);
        let timestamp = match stamp.first() {
            None | Some(b'#') => None,
            Some(_) => {
                let timestamp = number(stamp).filter(|stamp| stamp.is_finite());
                if !matches!(token(rest).0.first(), None | Some(b'#')) {
                    return Err(BadLine::Timestamp);
                }
                Some(timestamp.ok_or(BadLine::Timestamp)?)
            }
        };
        Ok(Sample {
            name: self.name,
            labels,
            value,
            timestamp,
        })
    }
}

/// The next run of bytes without blanks, and what follows it.
fn token(rest: &[u8]) -> (&[u8], &[u8]) {
    let rest = skip_blanks(rest);
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
        .unwrap_or(rest.len());
    rest.split_at_checked(end).unwrap_or((rest, &[]))
}

/// Decimal numbers, `NaN` and the infinities. Hexadecimal floats and digits grouped by `_` are
/// refused, as by Prometheus since the format exists for more than one language.
fn number(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// What follows the leading blanks.
pub(super) fn skip_blanks(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let Some((b' ' | b'\t', after)) = rest.split_first() {
        rest = after;
    }
    rest
}

/// Whether a label name may hold this byte (not as its first one when it is a digit).
pub(super) const fn is_label_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
