//! Prompt and output lengths like those of the ShareGPT sample: log-normal, drawn from a seed.

/// A log-normal distribution of token counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lengths {
    /// Half of the draws are at or below this.
    pub median: f64,
    /// Standard deviation of the logarithm.
    pub sigma: f64,
    /// Draws above this become this.
    pub max: u32,
}

/// Prompt lengths of the ShareGPT sample as benchmarks cut it: median 109, mean about 251, at most
/// 1,024.
pub const SHAREGPT_PROMPT: Lengths = Lengths {
    median: 109.0,
    sigma: 1.624,
    max: 1_024,
};

/// Output lengths of the ShareGPT sample as benchmarks cut it: median 144, mean about 225, at most
/// 1,024.
pub const SHAREGPT_OUTPUT: Lengths = Lengths {
    median: 144.0,
    sigma: 1.012,
    max: 1_024,
};

impl Lengths {
    /// The length that belongs to `seed`: at least 1, at most `max`.
    pub fn draw(&self, seed: u64) -> u32 {
        // Box and Muller's transform of two uniform draws.
        let radius = (-2.0 * (1.0 - unit(mix(seed))).ln()).sqrt();
        let angle = std::f64::consts::TAU * unit(mix(seed ^ 0xA5A5_5A5A_0F0F_F0F0));
        let length = self.median * (self.sigma * radius * angle.cos()).exp();
        (length.round() as u32).clamp(1, self.max.max(1))
    }
}

/// SplitMix64's output function: spreads neighbouring seeds over all 64 bits.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number in [0, 1) from the upper 53 bits.
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::{Lengths, SHAREGPT_OUTPUT, SHAREGPT_PROMPT};

    fn median_and_mean(lengths: Lengths) -> (u32, f64) {
        let mut draws: Vec<u32> = (0..100_000).map(|seed| lengths.draw(seed)).collect();
        draws.sort_unstable();
        let sum: u64 = draws.iter().map(|draw| u64::from(*draw)).sum();
        (draws[50_000], sum as f64 / 100_000.0)
    }

    #[test]
    fn draws_have_the_median_and_mean_of_the_published_sample() {
        let (median, mean) = median_and_mean(SHAREGPT_OUTPUT);
        assert!(
            (142..=146).contains(&median) && (215.0..235.0).contains(&mean),
            "{median} {mean}"
        );
        let (median, mean) = median_and_mean(SHAREGPT_PROMPT);
        assert!(
            (106..=112).contains(&median) && (235.0..265.0).contains(&mean),
            "{median} {mean}"
        );
    }
}
