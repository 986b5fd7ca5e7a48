//! A deterministic simulator of pools, gateways and the agent, around the real picker.
//!
//! ```text
//!   Workload --arrivals--> gateways x workers --Picker--> pods (model-sim's engines)
//!      ^                     |   ^   \__ slots __/             |
//!      |                     |   |                             | gauges, every scrape interval
//!      |         in-flight   |   | snapshot, after the         |
//!      |         reports     v   | push delay                  |
//!      |                     agent <--------------------------'
//!      '--- conversation's answer ended <------ Outcome
//! ```
//!
//! The picker, the layout of the slots by which workers talk and the engines are the very code of
//! their crates; only time, the network and Envoy are made up. Equal scenarios, seeds and workloads
//! give bit-identical outcomes.

pub mod capacity;
mod oracle;
pub mod outcome;
pub mod profile;
pub mod report;
pub mod scenario;
mod simulation;
pub mod workload;

pub use outcome::{Outcome, RequestRecord, Status};
pub use scenario::{AdmissionUnderTest, PodEvent, PodEventKind, PolicyUnderTest, Scenario};
pub use simulation::simulate;
pub use workload::{Arrival, ConversationId, Workload};

pub use model_sim::engine::{EngineConfig, LoraId, SimTime};
