//! A mean that is slow to move and cannot be led out of its bounds.

/// How many samples the first guess counts as.
const GUESS: f32 = 20.0;
/// How many samples decide once many were seen.
const MEMORY: f32 = 500.0;
/// How far from the present mean a sample may lie, as a factor.
const CLIP: f32 = 16.0;

/// An exponentially weighted mean that begins with a guess.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mean {
    value: f32,
    weight: f32,
    low: f32,
    high: f32,
}

impl Mean {
    /// Begins at `guess`, stays within `low..=high`.
    pub(crate) const fn new(guess: f32, low: f32, high: f32) -> Self {
        Self {
            value: guess,
            weight: GUESS,
            low,
            high,
        }
    }

    /// The mean so far.
    pub(crate) const fn get(&self) -> f32 {
        self.value
    }

    /// Takes a sample; one that is no number is ignored, a wild one counts as far as it is plausible.
    pub(crate) fn see(&mut self, sample: f32) {
        if !sample.is_finite() {
            return;
        }
        if self.weight < MEMORY {
            self.weight += 1.0;
        }
        let sample = sample
            .clamp(self.value / CLIP, self.value * CLIP)
            .clamp(self.low, self.high);
        self.value += (sample - self.value) / self.weight;
    }
}
