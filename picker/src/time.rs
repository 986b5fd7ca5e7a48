//! Time as the picker sees it: monotonic milliseconds that the caller brings.

/// A moment on the caller's monotonic clock, in milliseconds since an origin that only the caller
/// knows. Moments from different machines must never be compared; ages travel instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// Milliseconds from `earlier` to `self`; 0 when `earlier` lies in the future, so that a clock
    /// that steps back makes signals look fresh rather than wrapping to "centuries old".
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `age_ms` milliseconds before `self`, stopping at the origin.
    #[must_use]
    pub const fn minus(self, age_ms: u64) -> Self {
        Self(self.0.saturating_sub(age_ms))
    }

    /// The moment `millis` milliseconds after `self`, stopping at the end of time.
    #[must_use]
    pub const fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}
