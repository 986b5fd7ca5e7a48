//! Who can be picked: an endpoint of an InferencePool, and what is known of it.

use std::net::SocketAddr;

use crate::signal::Signals;

/// An endpoint's identity: its address plus a generation. A reused `ip:port` is a new endpoint: it
/// starts with no in-flight requests and no cached prefix, and late completions of the old one
/// change nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId {
    /// The `ip:port` that the gateway's cluster knows as a member.
    pub address: SocketAddr,
    /// A hash of what tells one life of this address from the next (pod UID or configured name,
    /// and the engine's start time). Equal among agents that look at the same pod.
    pub generation: u64,
}

/// Whether an endpoint may be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Health {
    /// It may be picked.
    #[default]
    Ready,
    /// It is going away: never picked while any other endpoint is left.
    Draining,
    /// It fails or hangs: picked only when too few others are left (the panic threshold).
    Suspect,
}

/// One endpoint of a pool: identity, health, operator's weight and its last known signals.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Address and generation.
    pub id: EndpointId,
    /// Whether it may be picked.
    pub health: Health,
    /// The operator's relative capacity, finite and in `0.01..=100`; 1 is a normal endpoint.
    pub weight: f32,
    /// What a second of it costs relative to a normal endpoint, finite and in `0.01..=100`; looked
    /// at only when the configuration gives price a weight.
    pub price: f32,
    /// What its metrics said last, each signal with its own time or unknown.
    pub signals: Signals,
}

impl Endpoint {
    /// A ready endpoint of weight 1 of which nothing is known yet.
    #[must_use]
    pub fn new(id: EndpointId) -> Self {
        Self {
            id,
            health: Health::Ready,
            weight: 1.0,
            price: 1.0,
            signals: Signals::default(),
        }
    }
}
