//! Mean and standard deviation of the values that are known.

/// How values lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    /// Their mean.
    pub(super) mean: f64,
    /// Their standard deviation as a whole population.
    pub(super) deviation: f64,
}

impl Spread {
    /// The spread of `values`; `None` of no values, because the mean of nothing is not zero.
    pub(super) fn of(values: impl Iterator<Item = f32> + Clone) -> Option<Self> {
        let values = values.map(f64::from);
        let count = values.clone().count() as f64;
        if count == 0.0 {
            return None;
        }
        let mean = values.clone().sum::<f64>() / count;
        let variance = values.map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        Some(Self {
            mean,
            deviation: variance.sqrt(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_known_values_only() {
        let spread = Spread::of([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0].into_iter());
        let expected = Spread {
            mean: 5.0,
            deviation: 2.0,
        };
        assert_eq!(spread, Some(expected));
        assert_eq!(Spread::of(std::iter::empty()), None);
    }
}
