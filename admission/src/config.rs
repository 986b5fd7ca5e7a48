//! The parameters of admission: read leniently, checked strictly, every mistake reported at once.
//!
//! All fields are optional:
//!
//! ```json
//! {
//!   "measure": "predicted_ttft",
//!   "ttft_target_ms": 150,
//!   "room": {"waiting": 8, "prefill_tokens": 4096, "kv_usage": 0.97},
//!   "unclaimed_share": 0.5,
//!   "spare_share": 0.05,
//!   "hold_back": {"share": 0, "below": 0},
//!   "order": "fcfs",
//!   "ttl_ms": 60000,
//!   "sheddable_hold_ms": 500,
//!   "queue": {"requests": 8192, "bytes": 268435456,
//!             "priority_requests": 4096, "priority_bytes": 134217728,
//!             "flow_requests": 4096, "flow_bytes": 134217728}
//! }
//! ```

use picker::{
    Priority,
    config::{Node, Section},
};
use serde::{Deserialize, Deserializer};

use crate::room::Limits;

/// A day.
const MAX_MS: u64 = 86_400_000;
/// The most requests that a queue may hold.
const MAX_REQUESTS: u64 = 1_000_000;
/// The most bytes that a queue may hold: what a VM can address at most.
const MAX_BYTES: u64 = 1 << 32;

/// The configuration as it was written, any shape accepted.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RawAdmissionConfig(Option<Node>);

impl<'de> Deserialize<'de> for RawAdmissionConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Node::deserialize(deserializer).map(|node| Self(Some(node)))
    }
}

/// By what the pool counts as full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Measure {
    /// Room at the endpoint that the picker would choose, and the TTFT that it predicts there.
    #[default]
    PredictedTtft,
    /// The reference's: the mean over the endpoints of `max(waiting / 5, KV-cache utilization / 0.8)`
    /// is at least 1.
    Utilization,
}

/// In which order the requests of one flow go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// First come, first served.
    #[default]
    Fcfs,
    /// By the moment at which the first token is due ([`crate::Arrival::due`]); those without one as if
    /// it were due when they would expire.
    Deadline,
}

/// A bound of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bound {
    /// All that one worker holds for the pool.
    Worker,
    /// What it holds of one priority.
    Priority,
    /// What it holds of one flow: one fairness id in one priority.
    Flow,
}

/// The most that may wait under one bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Requests, `1..=1000000`.
    pub requests: u64,
    /// Bytes of their bodies, `1..=4294967296`.
    pub bytes: u64,
}

/// Room that unimportant requests leave to the others.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HoldBack {
    /// The share of every limit that they may not use, `0.0..=0.9`.
    pub share: f32,
    /// Whom it concerns: every priority less than this.
    pub below: Priority,
}

/// What admission does, checked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdmissionConfig {
    /// By what the pool counts as full.
    pub measure: Measure,
    /// The TTFT that is to be kept, in milliseconds, `1.0..=60000.0`: a sheddable request is refused
    /// when it would have to wait for longer. Measured under overload (docs/benchmarks/admission.md): 200
    /// gives the critical ones a greater and all together no better goodput, 500 is too late.
    pub ttft_target_ms: f32,
    /// What an endpoint may have before it counts as full.
    pub room: Limits,
    /// The share of a limit up to which room is taken without a claim, `0.0..=1.0`. A claim keeps two
    /// workers from taking the same room in the same millisecond, and costs microseconds; while half of
    /// the room is free there is enough for both. 0 claims always, and then no limit is ever passed.
    pub unclaimed_share: f32,
    /// The share of the requests that an endpoint runs at once that sheddable requests leave free,
    /// `0.0..=0.9`, and one at least, so that a more important one need not wait for somebody's answer to
    /// end. Looked at where it is known how many that are.
    pub spare_share: f32,
    /// Room that unimportant requests leave to the others.
    pub hold_back: HoldBack,
    /// In which order the requests of one flow go.
    pub order: Order,
    /// How long a request may wait that brings no deadline of its own, in milliseconds, up to a day;
    /// no deadline may be later either. The reference's 60 s.
    pub ttl_ms: u64,
    /// How long a sheddable request may wait, in milliseconds, up to a day. Short: its client does
    /// better with a 429 at once than with one after a minute.
    pub sheddable_hold_ms: u64,
    /// The most that one worker holds for the pool.
    pub worker: Bounds,
    /// The most that it holds of one priority.
    pub priority: Bounds,
    /// The most that it holds of one flow.
    pub flow: Bounds,
}

const MIB: u64 = 1 << 20;

impl Default for AdmissionConfig {
    fn default() -> Self {
        Self {
            measure: Measure::default(),
            ttft_target_ms: 150.0,
            room: Limits::default(),
            unclaimed_share: 0.5,
            spare_share: 0.05,
            hold_back: HoldBack::default(),
            order: Order::default(),
            ttl_ms: 60_000,
            sheddable_hold_ms: 500,
            worker: Bounds {
                requests: 8_192,
                bytes: 256 * MIB,
            },
            priority: Bounds {
                requests: 4_096,
                bytes: 128 * MIB,
            },
            flow: Bounds {
                requests: 4_096,
                bytes: 128 * MIB,
            },
        }
    }
}

impl RawAdmissionConfig {
    /// The checked configuration, or `None` when there was a mistake.
    ///
    /// Every mistake is appended to `mistakes` as "path.field: what is allowed, got value", with
    /// `path` as the place of this configuration in the whole document.
    pub fn check(self, path: &str, mistakes: &mut Vec<String>) -> Option<AdmissionConfig> {
        let before = mistakes.len();
        let mut config = AdmissionConfig::default();
        let mut root = Section::new(self.0, path, mistakes);
        let measures = [
            ("predicted_ttft", Measure::PredictedTtft),
            ("utilization", Measure::Utilization),
        ];
        if let Some(measure) = root.choice("measure", &measures) {
            config.measure = measure;
        }
        if let Some(target) = root.number("ttft_target_ms", 1.0..=60_000.0) {
            config.ttft_target_ms = target as f32;
        }
        if let Some(share) = root.number("unclaimed_share", 0.0..=1.0) {
            config.unclaimed_share = share as f32;
        }
        if let Some(share) = root.number("spare_share", 0.0..=0.9) {
            config.spare_share = share as f32;
        }
        let room = root.section("room");
        let hold_back = root.section("hold_back");
        let orders = [("fcfs", Order::Fcfs), ("deadline", Order::Deadline)];
        if let Some(order) = root.choice("order", &orders) {
            config.order = order;
        }
        if let Some(ttl) = root.integer("ttl_ms", 1..=MAX_MS) {
            config.ttl_ms = ttl;
        }
        if let Some(hold) = root.integer("sheddable_hold_ms", 0..=MAX_MS) {
            config.sheddable_hold_ms = hold;
        }
        let queue = root.section("queue");
        root.finish(mistakes);
        config.room = check_room(room, mistakes);
        config.hold_back = check_hold_back(hold_back, mistakes);
        check_queue(queue, &mut config, mistakes);
        (mistakes.len() == before).then_some(config)
    }
}

fn check_room(mut section: Section, mistakes: &mut Vec<String>) -> Limits {
    let mut limits = Limits::default();
    let fields: [(&'static str, &mut f32, f64, f64); 3] = [
        ("waiting", &mut limits.waiting, 1.0, 1e5),
        ("prefill_tokens", &mut limits.prefill_tokens, 1.0, 1e7),
        ("kv_usage", &mut limits.kv_usage, 0.1, 1.0),
    ];
    for (name, field, low, high) in fields {
        if let Some(given) = section.number(name, low..=high) {
            *field = given as f32;
        }
    }
    section.finish(mistakes);
    limits
}

fn check_hold_back(mut section: Section, mistakes: &mut Vec<String>) -> HoldBack {
    let mut hold_back = HoldBack::default();
    if let Some(share) = section.number("share", 0.0..=0.9) {
        hold_back.share = share as f32;
    }
    if let Some(below) = section.number("below", f64::from(i32::MIN)..=f64::from(i32::MAX)) {
        hold_back.below = Priority(below as i32);
        if below.fract() != 0.0 {
            let got = picker::config::Decimal(below);
            section.refuse("below", "must be a whole number", &got);
        }
    }
    section.finish(mistakes);
    hold_back
}

fn check_queue(mut section: Section, config: &mut AdmissionConfig, mistakes: &mut Vec<String>) {
    let fields: [(&'static str, &mut u64, u64); 6] = [
        ("requests", &mut config.worker.requests, MAX_REQUESTS),
        ("bytes", &mut config.worker.bytes, MAX_BYTES),
        (
            "priority_requests",
            &mut config.priority.requests,
            MAX_REQUESTS,
        ),
        ("priority_bytes", &mut config.priority.bytes, MAX_BYTES),
        ("flow_requests", &mut config.flow.requests, MAX_REQUESTS),
        ("flow_bytes", &mut config.flow.bytes, MAX_BYTES),
    ];
    for (name, field, most) in fields {
        if let Some(given) = section.integer(name, 1..=most) {
            *field = given;
        }
    }
    section.finish(mistakes);
}

#[cfg(test)]
mod tests;
