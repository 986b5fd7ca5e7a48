//! The Proxy-Wasm filter that picks the endpoint inside Envoy.
//!
//! ```text
//!   agent --gRPC--> agent_stream (leader) --slots--> worker::View \
//!                                                                  +--> Picker --> header
//!   client --> request (headers, body) --facts--------------------/
//! ```
//!
//! Everything speaks to [`host::Host`]; `entry` (wasm only) connects it with Envoy.

#[cfg(target_arch = "wasm32")]
mod abi;
pub mod agent_stream;
pub mod answer;
#[cfg(feature = "chaos")]
mod chaos;
pub mod config;
#[cfg(target_arch = "wasm32")]
mod entry;
pub mod explain;
pub mod first_event;
pub mod headers;
pub mod hints;
pub mod host;
pub mod in_flight;
pub mod lease;
pub mod metrics;
pub mod model_hints;
pub mod outcome;
pub mod pair;
pub mod prefix_share;
pub mod queueing;
pub mod record;
pub mod request;
pub mod restore;
pub mod rewrite;
pub mod root;
pub mod session;
pub mod slots;
pub mod subset;
#[cfg(test)]
mod testing;
pub mod usage;
pub mod wake;
pub mod work;
pub mod worker;

pub use body_scan as body;
