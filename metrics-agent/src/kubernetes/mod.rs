//! The Kubernetes API as a source of pools, endpoints and policies.
//!
//! ```text
//!   API --watch, one a kind--> View --changes--> Sink (the same as for files) --> pools, policies
//!    ^                                             |
//!    +------- Writer <------- verdicts, complaints-+
//! ```
//!
//! The agent reads pods and the inference APIs of one namespace and writes two things: its own entry
//! in the status of pools, and events about objects that cannot be used.

mod client;
mod cluster;
mod complaint;
mod kind;
mod sink;
mod source;
mod status;
mod view;
mod watch;
mod writer;

pub use client::{ConnectError, connect};
pub use cluster::Cluster;
pub use complaint::Complaint;
pub use kind::{INFERENCE_POOL, Kind, POD, WATCHED};
pub use sink::Resources;
pub use source::{Report, Sink, run};
pub use status::{CONTROLLER, Parent, Verdict};
pub use view::Key;

/// What is watched, and in whose name status is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The namespace of the pools and their pods.
    pub namespace: String,
    /// The parent whose entry in the pools' status is ours.
    pub parent: Parent,
    /// This agent's name in events.
    pub host: String,
}
