//! What people see of the agent: the status page, `zerohop-agent top`, and the history both draw from.
//!
//! ```text
//!   views of pools --every second--> Memory (10 minutes of load, a minute of counts)
//!                                      |
//!                                      v
//!   policies, roll-out, gateways --> Status --JSON--> /debug/status --> zerohop-agent top
//!                                             '-----> /events ------> the page at /
//! ```

mod memory;
mod report;
mod types;
mod watcher;

pub use memory::{BUCKET_SECONDS, BUCKETS, Memory, Minute};
pub use report::report;
pub use types::{
    AdapterStatus, GatewayStatus, ObjectiveStatus, PodStatus, PolicyStatus, PoolStatus, RuleStatus,
    Status, TargetStatus,
};
pub use watcher::{Events, Watcher};

#[cfg(test)]
mod tests;
