//! From a value to a place on an axis, and the values worth a label.

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spread {
    /// Equal differences take equal room.
    Linear,
    /// Equal ratios take equal room. Values must be greater than 0.
    Logarithmic,
}

/// A stretch of values and how it is spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    spread: Spread,
}

/// The steps that people count in, within a factor of ten.
const STEPS: [f64; 4] = [1.0, 2.0, 5.0, 10.0];

impl Scale {
    /// The scale from 0 to a round number that is not below any of `values`.
    pub(super) fn linear(values: impl Iterator<Item = f64>) -> Self {
        let high = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        let high = if high > 0.0 { high } else { 1.0 };
        let step = step(high);
        Scale {
            low: 0.0,
            high: (high / step).ceil() * step,
            spread: Spread::Linear,
        }
    }

    /// The scale exactly from `low` to `high`; an empty stretch becomes 1 wide.
    pub(super) fn between(low: f64, high: f64) -> Self {
        Scale {
            low,
            high: if high > low { high } else { low + 1.0 },
            spread: Spread::Linear,
        }
    }

    /// The scale over all of `values` that are greater than 0, out to numbers that get a label.
    pub(super) fn logarithmic(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        for value in values.filter(|value| *value > 0.0 && value.is_finite()) {
            low = low.min(value);
            high = high.max(value);
        }
        if high <= 0.0 {
            (low, high) = (1.0, 10.0);
        }
        let (mut low, mut high) = (round(low, false), round(high, true));
        if low >= high {
            (low, high) = (low / 2.0, high * 2.0);
        }
        Scale {
            low,
            high,
            spread: Spread::Logarithmic,
        }
    }

    /// Where `value` lies: 0 at the low end, 1 at the high end, never outside. `None` when it is no
    /// number.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        let place = match self.spread {
            Spread::Linear => (value - self.low) / (self.high - self.low),
            Spread::Logarithmic => {
                (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
            }
        };
        (!value.is_nan()).then_some(place.clamp(0.0, 1.0))
    }

    /// The values to label, in order.
    pub(super) fn ticks(&self) -> Vec<f64> {
        match self.spread {
            Spread::Linear => {
                let step = step(self.high - self.low);
                let first = (self.low / step).ceil() as i64;
                let last = (self.high / step + 1e-9).floor() as i64;
                (first..=last).map(|tick| tick as f64 * step).collect()
            }
            Spread::Logarithmic => self.logarithmic_ticks(),
        }
    }

    fn logarithmic_ticks(&self) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        // Over many decades only the powers of ten are labelled.
        let steps: &[f64] = if decades > 2.5 {
            &[1.0]
        } else {
            &[1.0, 2.0, 5.0]
        };
        let mut ticks = Vec::new();
        let mut power = 10.0_f64.powf(self.low.log10().floor());
        while power <= self.high * 1.000_001 {
            for step in steps {
                let tick = power * step;
                if tick >= self.low * 0.999_999 && tick <= self.high * 1.000_001 {
                    ticks.push(tick);
                }
            }
            power *= 10.0;
        }
        ticks
    }
}

/// A round step that cuts `length` into four to ten pieces.
fn step(length: f64) -> f64 {
    let power = 10.0_f64.powf((length / 4.0).log10().floor());
    let times = length / 4.0 / power;
    let step = STEPS.iter().rev().find(|step| **step <= times * 1.000_001);
    step.copied().unwrap_or(1.0) * power
}

/// The nearest of 1, 2, 5 times a power of ten that is not above (`up`: not below) `value`.
fn round(value: f64, up: bool) -> f64 {
    let power = 10.0_f64.powf(value.log10().floor());
    let times = value / power;
    let found = if up {
        STEPS.iter().find(|step| **step >= times * 0.999_999)
    } else {
        STEPS.iter().rev().find(|step| **step <= times * 1.000_001)
    };
    found.copied().unwrap_or(1.0) * power
}

/// A label for a tick: no more digits than it needs.
pub(super) fn label(value: f64) -> String {
    let digits = if value == 0.0 {
        0
    } else {
        (2 - value.abs().log10().floor() as i32).clamp(0, 6) as usize
    };
    let text = format!("{value:.digits$}");
    match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::{Scale, label};

    #[test]
    fn a_linear_scale_starts_at_0_and_ends_at_a_round_number() {
        let scale = Scale::linear([3.0, 317.0, f64::NAN, f64::INFINITY].into_iter());
        assert_eq!(
            scale.ticks(),
            [0.0, 50.0, 100.0, 150.0, 200.0, 250.0, 300.0, 350.0]
        );
        assert_eq!(scale.place(0.0), Some(0.0));
        assert_eq!(scale.place(175.0), Some(0.5));
        assert_eq!(scale.place(f64::INFINITY), Some(1.0), "clipped, not lost");
        assert_eq!(scale.place(f64::NAN), None);
    }

    #[test]
    fn a_logarithmic_scale_gives_equal_ratios_equal_room() {
        let scale = Scale::logarithmic([0.05, 35.0, 0.0].into_iter());
        assert_eq!(scale.ticks(), [0.1, 1.0, 10.0]);
        let at = |value| scale.place(value).unwrap();
        assert!((at(1.0) - at(0.1) - (at(10.0) - at(1.0))).abs() < 1e-12);
        assert_eq!(scale.place(0.0), Some(0.0), "nothing below the axis");
        assert_eq!(scale.place(0.05), Some(0.0));
        assert!((at(50.0) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn without_values_there_is_still_a_scale() {
        for scale in [
            Scale::linear(std::iter::empty()),
            Scale::logarithmic(std::iter::empty()),
            Scale::logarithmic([0.1].into_iter()),
            Scale::between(2.0, 2.0),
        ] {
            let ticks = scale.ticks();
            assert!((2..=12).contains(&ticks.len()), "{ticks:?}");
            assert!(ticks.iter().all(|tick| tick.is_finite()), "{ticks:?}");
        }
    }

    #[test]
    fn labels_have_no_needless_digits() {
        let labels: Vec<String> = [0.0, 0.05, 0.1, 1.0, 250.0, 1_000.0, 0.35]
            .map(label)
            .into();
        assert_eq!(labels, ["0", "0.05", "0.1", "1", "250", "1000", "0.35"]);
    }
}
