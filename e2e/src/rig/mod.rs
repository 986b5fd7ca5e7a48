//! The rig: real Envoy, the real agent, and pods, decoys and clients in this process.
//!
//! ```text
//!   Client / raw --> Envoy (child process, shipped config with other ports) --> Pod, Decoy
//!                      |                                                          ^
//!                      +--- gRPC --- Agent (child process) ------- scrapes -------+
//! ```

pub mod admin;
pub mod agent;
pub mod artifacts;
pub mod chaos;
pub mod client;
#[cfg(feature = "kubernetes")]
pub mod cluster;
pub mod config;
pub mod decoy;
pub mod envoy;
pub mod error;
pub mod eventually;
pub mod fake_agent;
pub mod istio;
pub mod pod;
pub mod ports;
pub mod proc;
pub mod process;
pub mod raw;
pub mod resources;
pub mod scratch;
mod setup;
pub mod simulated;
pub mod vllm;

pub use admin::{Admin, label_of};
pub use agent::{Agent, AgentConfig};
pub use client::{Client, Load, LoadReport, Protocol, RequestSpec, Response};
pub use config::EnvoyConfig;
pub use decoy::Decoy;
pub use envoy::Envoy;
pub use error::RigError;
pub use eventually::eventually;
pub use fake_agent::{FakeAgent, Manner};
pub use pod::{Answer, Pod, words};
pub use setup::{Rig, RigOptions, base_config, discovering_config, informed};
pub use simulated::Simulated;
