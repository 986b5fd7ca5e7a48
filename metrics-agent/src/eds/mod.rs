//! Serves the pools' members to Envoy by its own protocol, EDS.
//!
//! ```text
//!   Hub --Published--> follow --Assignments (watch)--> one Subscription a stream --> Envoy
//! ```
//!
//! A resource is a pool: its name, and each pod and port as an endpoint with health and weight. Only
//! what changed of that is sent, not every new signal. `docs/eds.md` tells operators of it.

mod assignments;
pub mod proto;
mod server;
mod subscription;

pub use assignments::{Assignment, Assignments, follow};
pub use server::EdsServer;
pub use subscription::{Heard, Subscription};

/// The one type of resource that is served.
pub const TYPE_URL: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

#[cfg(test)]
mod tests;
