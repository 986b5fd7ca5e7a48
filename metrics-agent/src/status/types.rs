//! The document that the page and `top` draw. Its form may change with any release: both come from the
//! same build as the agent that they ask.
//!
//! Every text in it may come from a pod, a gateway or a resource: whoever shows it must take it for
//! nothing but text.

use serde::{Deserialize, Serialize};

/// The agent and all that it knows.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Status {
    /// The agent's identity.
    pub agent: String,
    /// Its version.
    pub version: String,
    /// The moment, in milliseconds since 1970.
    pub unix_ms: u64,
    /// Seconds since its start.
    pub uptime_s: u64,
    /// Why it is not ready, a line each; empty when it is.
    pub problems: Vec<String>,
    /// Numbers the latest column of [`PodStatus::load`], which is still growing.
    pub bucket: u64,
    /// Seconds that a column stands for.
    pub bucket_seconds: u64,
    /// The most columns.
    pub buckets: u64,
    /// The pools by name.
    pub pools: Vec<PoolStatus>,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// Counts its publications; `None` while it is withheld from gateways.
    pub sequence: Option<u64>,
    /// The reference's measure: 1 is saturated.
    pub saturation: f32,
    /// Finished requests a second over the last minute, as the engines count; `None` when none does.
    pub requests_per_second: Option<f32>,
    /// Requests that gateways refused for want of an endpoint or of room in the last minute, as far as
    /// they were connected; `None` while no connected gateway reports them.
    pub sheds: Option<u64>,
    /// Its endpoints in the order of the configuration.
    pub pods: Vec<PodStatus>,
    /// The gateways that are connected for it.
    pub gateways: Vec<GatewayStatus>,
    /// What it serves and how; `None` without resources.
    pub policy: Option<PolicyStatus>,
    /// Adapters that are declared for it.
    pub rollout: Vec<AdapterStatus>,
}

/// An endpoint. What is unknown is `None`, never zero.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PodStatus {
    /// What people call it.
    pub name: String,
    /// Where requests go.
    pub address: String,
    /// `ready`, `draining`, `suspect` or `pending`.
    pub state: String,
    /// Why, in a few words.
    pub reason: String,
    /// Whether it waits for its adapters before gateways hear of it.
    pub held: bool,
    /// Requests in its queue.
    pub waiting: Option<f32>,
    /// Requests in its batch.
    pub running: Option<f32>,
    /// KV-cache utilization, 0 to 1.
    pub kv_usage: Option<f32>,
    /// The greater of queue / 5 and KV-cache utilization / 0.8: 1 is saturated.
    pub saturation: Option<f32>,
    /// Age of its oldest load signal in milliseconds.
    pub age_ms: Option<u64>,
    /// Requests that gateways sent and have not seen end.
    pub in_flight: u32,
    /// Its part of the pool's requests that finished in the last minute, 0 to 1.
    pub share: Option<f32>,
    /// Part of the prompt tokens of the last minute that were in its prefix cache, 0 to 1.
    pub prefix_hits: Option<f32>,
    /// Its saturation over time, a character a column, the latest last: `-` unknown, else a digit of
    /// base 36 that counts twentieths, so that `k` is saturated. Whole at first; in later events of a
    /// stream the latest column alone.
    pub load: String,
}

/// A gateway.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct GatewayStatus {
    /// What it calls itself.
    pub id: String,
    /// Seconds since it connected.
    pub connected_s: u64,
    /// Milliseconds since anything came from it.
    pub heard_age_ms: u64,
    /// Requests that it sent to the pool and has not seen end.
    pub in_flight: u32,
    /// Their prompt tokens.
    pub tokens: u64,
}

/// A policy in force.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// Tells one policy from another.
    pub revision: String,
    /// Whether gateways that know no endpoint leave the choice to Envoy instead of refusing.
    pub fail_open: bool,
    /// What becomes of which model.
    pub rules: Vec<RuleStatus>,
    /// Priorities that requests may name.
    pub objectives: Vec<ObjectiveStatus>,
    /// How many models and adapters the pool serves.
    pub models: usize,
}

/// A rule of a policy.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RuleStatus {
    /// The model that requests name; `None` is any.
    pub model: Option<String>,
    /// The resource that says so.
    pub source: String,
    /// How much its requests matter.
    pub priority: Option<i32>,
    /// What is asked for instead.
    pub targets: Vec<TargetStatus>,
}

/// A target of a rule.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TargetStatus {
    /// The model.
    pub model: String,
    /// Its part of the requests, 0 to 1.
    pub share: f32,
}

/// A priority with a name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ObjectiveStatus {
    /// The name.
    pub name: String,
    /// The priority.
    pub priority: i32,
}

/// How far an adapter is rolled out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AdapterStatus {
    /// Its name.
    pub name: String,
    /// Whether pods shall have it; else they shall not.
    pub wanted: bool,
    /// Ready pods that have it.
    pub having: usize,
    /// Ready pods.
    pub of: usize,
    /// Whether requests may be sent to it.
    pub drawn: bool,
}
