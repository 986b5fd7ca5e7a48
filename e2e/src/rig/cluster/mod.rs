//! A real Kubernetes API on loopback: etcd and kube-apiserver as child processes.
//!
//! Nothing else of a cluster runs, so that nothing happens to objects but what a test and the agent
//! do: no scheduler binds pods, no controller makes them, and the status of a pod is what a test
//! writes.

pub mod istiod;
mod objects;
mod server;

pub use istiod::Istiod;
pub use objects::{Objects, documents};
pub use server::{ADMIN, Cluster};
