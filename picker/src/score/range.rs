//! Min-max normalisation that one extreme value cannot bend.
//!
//! The reference scores a value by its place between the least and the greatest of the pool. Then
//! one endpoint that claims a queue of a billion makes all others look equally empty, and the ledger
//! among them counts nothing. So the upper end goes no further than [`MEDIANS`] times the median
//! plus [`SLACK`] above the least: honest pools are scored as in the reference, and what lies beyond
//! is simply the worst.

/// How many medians above the least value the range may end.
const MEDIANS: f32 = 4.0;
/// How many requests above that.
const SLACK: f32 = 8.0;

/// The least and greatest value that a score tells apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    low: f32,
    high: f32,
}

impl Range {
    /// The range of `values`, none of which may be NaN; `scratch` is working space.
    pub(crate) fn of(values: impl Iterator<Item = f32> + Clone, scratch: &mut Vec<f32>) -> Self {
        let (low, high) = values
            .clone()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        // The median is at least the least value, so it need not be known when the range is narrow.
        if high <= low + MEDIANS * low + SLACK {
            return Self { low, high };
        }
        scratch.clear();
        scratch.extend(values);
        let middle = scratch.len().saturating_sub(1) / 2;
        let (_, median, _) = scratch.select_nth_unstable_by(middle, f32::total_cmp);
        Self {
            low,
            high: high.min(low + MEDIANS * *median + SLACK),
        }
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
