//! What is told of pools, models and endpoints at the moment of asking.
//!
//! ```text
//!                    .--> reference: the names that dashboards and autoscalers key on (llm_d_epp_*)
//!   views, models ---+
//!                    '--> own:       what those lack (zerohop_agent_*)
//! ```
//!
//! Two rules. What is unknown or stale is absent or left out of a mean, and never zero. A series goes
//! with what it tells of: a removed endpoint that keeps its last queue misleads an autoscaler for ever.

mod own;
mod reference;

use std::{collections::HashMap, sync::Arc};

use picker::{Millis, Signal, Signals};

use super::{Telemetry, family::Family, spread::Spread};
use crate::{
    index::{EndpointView, PoolView, TargetId},
    resources::ModelList,
};

/// What the series are made of.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    /// The pools with their endpoints.
    pub pools: &'a [PoolView],
    /// What each endpoint said last that it serves.
    pub models: &'a HashMap<TargetId, Arc<ModelList>>,
    /// Whether the names that the reference used before are written too.
    pub former_names: bool,
    /// The moment.
    pub now: Millis,
}

impl Series<'_> {
    pub(super) fn families(&self, telemetry: &Telemetry) -> Vec<Family> {
        let mut families = reference::families(self, telemetry);
        families.extend(own::families(self));
        families
    }

    /// The endpoints whose load counts for their pool: not stale, and not about to leave.
    fn counting<'a>(&self, endpoints: impl Iterator<Item = &'a EndpointView>) -> Vec<Counting<'a>> {
        let counting = endpoints.filter(|endpoint| !endpoint.is_draining());
        counting
            .filter_map(|endpoint| {
                let signals = endpoint.fresh(self.now)?;
                Some(Counting { endpoint, signals })
            })
            .collect()
    }
}

/// An endpoint that counts, with its fresh signals.
struct Counting<'a> {
    endpoint: &'a EndpointView,
    signals: &'a Signals,
}

/// One of the gauges of an endpoint.
type Gauge = fn(&Signals) -> Option<Signal<f32>>;

const WAITING: Gauge = |signals| signals.waiting;
const RUNNING: Gauge = |signals| signals.running;
const KV_USAGE: Gauge = |signals| signals.kv_usage;

/// How a gauge lies over the endpoints that tell it.
fn spread(counting: &[Counting<'_>], gauge: Gauge) -> Option<Spread> {
    let known = counting.iter().filter_map(|each| gauge(each.signals));
    Spread::of(known.map(|signal| signal.value))
}

fn ready(counting: &[Counting<'_>]) -> f64 {
    let ready = counting.iter().filter(|each| each.endpoint.is_ready());
    ready.count() as f64
}
