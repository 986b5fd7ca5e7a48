//! When a learned number is worth telling.

/// A number that moved by no more than this part of itself is told as it was, so that what is
/// learned all the time does not make every scrape news.
const MATERIAL: f32 = 0.02;

/// Whether `learned` differs from what was `told` by more than a fiftieth.
pub(super) fn moved(told: f32, learned: f32) -> bool {
    (learned - told).abs() > MATERIAL * told.abs()
}
