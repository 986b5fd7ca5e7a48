//! Popularity: few are asked for often, many seldom.

use picker::Entropy;

/// Zipf's distribution over `0..count`: the item of rank `r` is drawn in proportion to
/// `1 / r^exponent`.
#[derive(Debug, Clone)]
pub struct Zipf {
    /// Shares summed up, the last is 1.
    cumulative: Vec<f64>,
}

impl Zipf {
    /// Over `count` items (0 counts as 1); an `exponent` of 0 makes them equally likely.
    #[must_use]
    pub fn new(count: u32, exponent: f64) -> Self {
        let mut sum = 0.0;
        let mut cumulative: Vec<f64> = (1..=count.max(1))
            .map(|rank| {
                sum += f64::from(rank).powf(-exponent);
                sum
            })
            .collect();
        for share in &mut cumulative {
            *share /= sum;
        }
        Self { cumulative }
    }

    /// An item; 0 is the most popular.
    pub fn draw(&self, entropy: &mut dyn Entropy) -> u32 {
        let at = entropy.unit();
        self.cumulative.partition_point(|share| *share <= at) as u32
    }
}

#[cfg(test)]
mod tests {
    use picker::SplitMix64;

    use super::Zipf;

    #[test]
    fn the_second_is_drawn_half_as_often_as_the_first() {
        let (zipf, mut entropy) = (Zipf::new(15, 1.0), SplitMix64::new(7));
        let mut counts = [0.0; 15];
        for _ in 0..100_000 {
            counts[zipf.draw(&mut entropy) as usize] += 1.0;
        }
        let ratio = |rank: usize| counts[0] / counts[rank - 1];
        assert!((1.9..2.1).contains(&ratio(2)), "{}", ratio(2));
        assert!((13.5..16.5).contains(&ratio(15)), "{}", ratio(15));
    }

    #[test]
    fn one_item_is_always_that_one() {
        assert_eq!(Zipf::new(0, 1.0).draw(&mut SplitMix64::new(1)), 0);
    }
}
