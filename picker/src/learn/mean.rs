//! A mean that is slow to move and cannot be led out of its bounds.

use crate::score::{greater, lesser};

/// How many samples the first guess counts as.
const GUESS: f32 = 20.0;
/// How many samples decide once many were seen.
const MEMORY: f32 = 200.0;
/// How far from the present mean a sample may lie, as a factor. Answers' lengths spread widely, so
/// less would bias their mean; more, and one endpoint that tells nonsense would lead a pool of ten.
const MOST_SURPRISE: f32 = 4.0;

/// A running mean that begins with a guess.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mean {
    value: f32,
    weight: f32,
    low: f32,
    high: f32,
}

impl Mean {
    /// Begins at `guess` and stays within `low..=high`, all above 0.
    pub(super) const fn new(guess: f32, low: f32, high: f32) -> Self {
        Self {
            value: guess,
            weight: GUESS,
            low,
            high,
        }
    }

    /// The mean so far.
    pub(super) const fn get(&self) -> f32 {
        self.value
    }

    /// Takes a sample; one that is no number is ignored, a wild one counts as far as it is plausible.
    pub(super) fn see(&mut self, sample: f32) {
        if !sample.is_finite() {
            return;
        }
        if self.weight < MEMORY {
            self.weight += 1.0;
        }
        // Not `clamp`, which formats its bounds where it refuses them: 20 KB of the filter's wasm.
        let least = greater(self.value / MOST_SURPRISE, self.low);
        let most = lesser(self.value * MOST_SURPRISE, self.high);
        let sample = lesser(greater(sample, least), most);
        self.value += (sample - self.value) / self.weight;
    }
}
