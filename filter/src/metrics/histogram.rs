//! Histograms as Prometheus knows them, made of Envoy's counters.
//!
//! ```text
//!   observe --> counts in memory --(once a second)--> le=.=0.1;.;FAMILY_bucket   cumulative
//!                                                     FAMILY_sum, FAMILY_count
//! ```
//!
//! Envoy's own histograms have no unit a filter could choose and buckets of their own, so that seconds
//! could not be shown with the bounds that dashboards expect. And what is gathered in memory costs a
//! request a few nanoseconds, not a call of the host for each bucket.

use super::name;
use crate::host::{Host, MetricId, MetricKind};

/// What a family of histograms measures.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) family: &'static str,
    /// Labels beside those of the row, as they stand in the name.
    pub(super) labels: &'static str,
    /// How many of the counted units are one of the unit that is shown.
    pub(super) scale: u32,
    /// The upper bounds in counted units, ascending.
    pub(super) bounds: &'static [u32],
}

/// One histogram of a [`Kind`].
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// Observations since they were last shown, one count for each bound and one for what is above.
    counts: Vec<u32>,
    /// Their sum in counted units, and what was too little to be shown before.
    sum: u64,
    any: bool,
    shown: Vec<Option<MetricId>>,
}

impl Histogram {
    /// Adds an observation in counted units.
    pub(super) fn observe(&mut self, kind: &Kind, value: u64) {
        if self.counts.is_empty() {
            self.counts.resize(kind.bounds.len() + 1, 0);
        }
        let bounds = kind.bounds.iter();
        let place = bounds
            .take_while(|bound| value > u64::from(**bound))
            .count();
        if let Some(count) = self.counts.get_mut(place) {
            *count = count.saturating_add(1);
        }
        self.sum = self.sum.saturating_add(value);
        self.any = true;
    }

    /// Takes over what `other` observed and did not show yet: to show one histogram under two names, it need
    /// not be filled twice. Both must have the same bounds and be shown together every time.
    pub(super) fn repeat(&mut self, other: &Self) {
        self.counts.clone_from(&other.counts);
        (self.sum, self.any) = (other.sum, other.any);
    }

    /// Shows what was observed since the last time. `labels` stand in the name as they are.
    pub(super) fn show(&mut self, host: &dyn Host, kind: &Kind, labels: &str) {
        if !std::mem::take(&mut self.any) {
            return;
        }
        if self.shown.is_empty() {
            self.define(host, kind, labels);
        }
        let mut below = 0u32;
        let mut shown = self.shown.iter();
        let mut add = |count: u32| {
            if let (Some(Some(id)), 1..) = (shown.next(), count) {
                host.increment(*id, count);
            }
        };
        for count in &mut self.counts {
            below = below.saturating_add(std::mem::take(count));
            add(below);
        }
        add(below);
        let scale = u64::from(kind.scale);
        add(u32::try_from(self.sum / scale).unwrap_or(u32::MAX));
        self.sum %= scale;
    }

    fn define(&mut self, host: &dyn Host, kind: &Kind, labels: &str) {
        let mut define = |begin: &str, bound: &str, end: &str| {
            let name = [begin, bound, labels, kind.labels, kind.family, end].concat();
            self.shown
                .push(name::define(host, MetricKind::Counter, &name));
        };
        for bound in kind.bounds {
            define("le=.=", &decimal(*bound, kind.scale), "_bucket");
        }
        define("le=.=", "+Inf;.;", "_bucket");
        define("", "", "_count");
        define("", "", "_sum");
    }
}

/// A bound as a label's value, in the unit that is shown: 2,500 thousandths are `2.5`.
fn decimal(bound: u32, scale: u32) -> String {
    let mut text = (bound / scale).to_string();
    let (mut rest, mut unit) = (bound % scale, scale / 10);
    if rest > 0 {
        text.push('.');
    }
    while rest > 0 && unit > 0 {
        // A digit is below 10.
        text.push(char::from(b'0' + (rest / unit) as u8));
        rest %= unit;
        unit /= 10;
    }
    text.push_str(";.;");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeEnvoy;

    const KIND: Kind = Kind {
        family: "x_seconds",
        labels: "",
        scale: 1_000_000,
        bounds: &[5_000, 1_000_000, 2_500_000],
    };

    #[test]
    fn buckets_are_cumulative_and_nothing_is_lost_of_the_sum() {
        let envoy = FakeEnvoy::new();
        let host = envoy.vm();
        let mut histogram = Histogram::default();
        histogram.show(&host, &KIND, "m=.=a;.;");
        assert!(envoy.metric_names().is_empty(), "nothing to show");
        for value in [5_000, 5_001, 900_000, 2_400_000, 99_000_000] {
            histogram.observe(&KIND, value);
        }
        let series = |end: &str| envoy.metric(&format!("{end}x_seconds_bucket"));
        for _ in 0..2 {
            histogram.show(&host, &KIND, "m=.=a;.;");
            let le =
                ["0.005", "1", "2.5", "+Inf"].map(|le| series(&format!("le=.={le};.;m=.=a;.;")));
            assert_eq!(le, [1, 3, 4, 5]);
            assert_eq!(envoy.metric("m=.=a;.;x_seconds_count"), 5);
            assert_eq!(envoy.metric("m=.=a;.;x_seconds_sum"), 102, "102.310001");
        }
        histogram.observe(&KIND, 690_000);
        histogram.show(&host, &KIND, "m=.=a;.;");
        assert_eq!(envoy.metric("m=.=a;.;x_seconds_sum"), 103);
        assert_eq!(envoy.metric("m=.=a;.;x_seconds_count"), 6);
    }

    #[test]
    fn one_histogram_is_shown_under_two_names() {
        const OTHER: Kind = Kind {
            family: "y_seconds",
            ..KIND
        };
        let envoy = FakeEnvoy::new();
        let host = envoy.vm();
        let (mut one, mut two) = (Histogram::default(), Histogram::default());
        for value in [700_000, 2_400_000, 0] {
            one.observe(&KIND, value);
            two.repeat(&one);
            one.show(&host, &KIND, "");
            two.show(&host, &OTHER, "");
            two.repeat(&one);
            two.show(&host, &OTHER, "");
        }
        for family in ["x_seconds", "y_seconds"] {
            assert_eq!(envoy.metric(&format!("{family}_count")), 3);
            assert_eq!(envoy.metric(&format!("{family}_sum")), 3, "3.1");
            let le = envoy.metric(&format!("le=.=1;.;{family}_bucket"));
            assert_eq!(le, 2);
        }
    }

    #[test]
    fn bounds_are_written_as_prometheus_writes_them() {
        for (bound, scale, text) in [
            (100, 1_000_000, "0.0001;.;"),
            (1_250_000, 1_000_000, "1.25;.;"),
            (3_600_000_000, 1_000_000, "3600;.;"),
            (1_048_576, 1, "1048576;.;"),
        ] {
            assert_eq!(decimal(bound, scale), text);
        }
    }
}
