//! Where the values of `model` stand in a body.

use std::ops::Range;

/// The most values that are noted. Nobody names the model more often in good faith; a body that does
/// has no model that could be relied on.
const MAX_SPANS: usize = 16;

/// The places of the top-level string values of `model`, in order, each from its opening quote to
/// behind its closing one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelSpans {
    spans: Vec<Range<usize>>,
    started: usize,
}

impl ModelSpans {
    /// The places, in the order of the body.
    #[must_use]
    pub fn as_slice(&self) -> &[Range<usize>] {
        &self.spans
    }

    /// A value's opening quote is the byte at `at`.
    pub(super) fn begin(&mut self, at: u64) {
        self.started = index(at);
    }

    /// The value ended before the byte at `at`. Returns whether there was room to note it.
    pub(super) fn end(&mut self, at: u64) -> bool {
        let fits = self.spans.len() < MAX_SPANS;
        if fits {
            self.spans.push(self.started..index(at));
        }
        fits
    }

    /// The bytes allocated.
    pub(super) fn capacity(&self) -> usize {
        self.spans.capacity() * size_of::<Range<usize>>()
    }
}

fn index(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
