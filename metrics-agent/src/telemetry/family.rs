//! Series that are made when somebody asks, so that they exist exactly as long as what they tell of.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

/// A metric with its series.
#[derive(Debug)]
pub(super) struct Family {
    /// Its whole name; a counter's without `_total`.
    pub(super) name: &'static str,
    /// One line for people, without a full stop.
    pub(super) help: &'static str,
    /// What kind of number it is.
    pub(super) kind: Kind,
    /// Labels and value of each series.
    pub(super) series: Vec<(Labels, f64)>,
}

/// Names and values; a value may be any text, the format escapes it.
pub(super) type Labels = Vec<(&'static str, String)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
}

impl Family {
    pub(super) const fn gauge(
        name: &'static str,
        help: &'static str,
        series: Vec<(Labels, f64)>,
    ) -> Self {
        Self {
            name,
            help,
            kind: Kind::Gauge,
            series,
        }
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let kind = match self.kind {
            Kind::Gauge => MetricType::Gauge,
            Kind::Counter => MetricType::Counter,
        };
        let help = format!("{}.", self.help);
        let mut metric = encoder.encode_descriptor(self.name, &help, None, kind)?;
        for (labels, value) in &self.series {
            let one = metric.encode_family(labels)?;
            match self.kind {
                Kind::Gauge => ConstGauge::new(*value).encode(one)?,
                Kind::Counter => ConstCounter::new(*value).encode(one)?,
            }
        }
        Ok(())
    }
}

/// The one collector of a registry that lives for one page.
#[derive(Debug)]
struct Page(Vec<Family>);

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut families = self.0.iter();
        families.try_for_each(|family| family.encode(&mut encoder))
    }
}

/// Appends the families to a page in the OpenMetrics text format.
pub(super) fn encode(page: &mut String, families: Vec<Family>) -> Result<(), fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page(families)));
    text::encode_registry(page, &registry)
}
