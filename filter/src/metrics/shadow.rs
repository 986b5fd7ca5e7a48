//! What shadow mode counts: how often the cluster's own policy did what we would have done.

use super::name::{define, series};
use crate::host::{Host, MetricId, MetricKind};

/// Who served, seen from our decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    /// The endpoint that we would have chosen.
    Agree,
    /// Another one.
    Differ,
    /// Nobody, or nobody knows.
    Unknown,
}

const RESULTS: [&str; 3] = ["agree", "differ", "unknown"];

/// The counters of one pool, by [`Compared`].
#[derive(Debug)]
pub struct ShadowMetrics {
    requests: [Option<MetricId>; 3],
    predicted_ms: [Option<MetricId>; 3],
    measured_ms: [Option<MetricId>; 3],
}

impl ShadowMetrics {
    /// Defines them.
    #[must_use]
    pub fn define(host: &dyn Host, pool: &str) -> Self {
        let family = |family: &str| {
            RESULTS.map(|result| {
                let name = series(family, &[("pool", pool), ("result", result)]);
                define(host, MetricKind::Counter, &name)
            })
        };
        Self {
            requests: family("zerohop_shadow_total"),
            predicted_ms: family("zerohop_shadow_predicted_ttft_milliseconds_total"),
            measured_ms: family("zerohop_shadow_measured_ttft_milliseconds_total"),
        }
    }

    /// A request was served.
    pub fn compared(&self, host: &dyn Host, result: Compared) {
        add(host, &self.requests, result, 1);
    }

    /// The first token of a stream: when it was predicted at our choice, and when it came where the
    /// request went, in milliseconds.
    pub fn first_token(&self, host: &dyn Host, result: Compared, predicted: f32, measured: f32) {
        add(host, &self.predicted_ms, result, predicted as u32);
        add(host, &self.measured_ms, result, measured as u32);
    }
}

fn add(host: &dyn Host, family: &[Option<MetricId>; 3], result: Compared, by: u32) {
    if let (Some(Some(id)), 1..) = (family.get(result as usize), by) {
        host.increment(*id, by);
    }
}
