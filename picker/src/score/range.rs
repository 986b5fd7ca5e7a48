//! Min-max normalisation that one extreme value cannot bend.
//!
//! The reference scores a value by its place between the least and the greatest of the pool. Then
//! one endpoint that claims a queue of a billion makes all others look equally empty, and the ledger
//! among them counts nothing. So the range ends at [`SPREADS`] times the distance from the least
//! value to the median, plus [`SLACK`]: pools without such an endpoint are scored as in the
//! reference, and what lies beyond is simply the worst.

use super::{greater, lesser};

/// How many distances from the least value to the median the range may span.
const SPREADS: f32 = 2.0;
/// How many requests above that.
const SLACK: f32 = 8.0;
/// Values that the median is taken of; of a longer list, as many at equal distances.
const MEDIAN_OF: usize = 63;

/// The least and greatest value that a score tells apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    low: f32,
    high: f32,
}

impl Range {
    /// The range of `values`, none of which may be NaN; `scratch` is working space.
    pub(crate) fn of(values: impl Iterator<Item = f32> + Clone, scratch: &mut Vec<f32>) -> Self {
        let (Self { low, high }, count) = Self::counted(values.clone());
        // The median is at least the least value, so it need not be known when the range is narrow.
        if high <= low + SLACK {
            return Self { low, high };
        }
        scratch.clear();
        scratch.extend(values.step_by(count / MEDIAN_OF + 1));
        let middle = scratch.len().saturating_sub(1) / 2;
        let (_, median, _) = scratch.select_nth_unstable_by(middle, f32::total_cmp);
        Self {
            low,
            high: lesser(high, low + SPREADS * (*median - low) + SLACK),
        }
    }

    /// The range from the least to the greatest of `values`, none of which may be NaN: the
    /// reference's own, which one extreme value bends.
    #[cfg(feature = "baselines")]
    pub(crate) fn whole(values: impl Iterator<Item = f32>) -> Self {
        Self::counted(values).0
    }

    fn counted(values: impl Iterator<Item = f32>) -> (Self, usize) {
        let (mut low, mut high, mut count) = (f32::INFINITY, f32::NEG_INFINITY, 0);
        for value in values {
            low = lesser(low, value);
            high = greater(high, value);
            count += 1;
        }
        (Self { low, high }, count)
    }

    /// 1 for the least value, 0 for the greatest and beyond; 1 when all are equal.
    pub(crate) fn less_is_better(self, value: f32) -> f32 {
        let width = self.high - self.low;
        if width > 0.0 {
            ((self.high - value) / width).clamp(0.0, 1.0)
        } else {
            1.0
        }
    }
}
