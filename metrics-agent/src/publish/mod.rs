//! Serves the push contract to gateways, and beside it the endpoints to Envoy (see [`crate::eds`]).
//!
//! ```text
//!   Hub --Published (watch)--> gateway task: one Cursor a pool --bytes--> tonic --> gateway
//!                                   ^                                        |
//!                                   +--- Hello, reports, heartbeats ---------+
//! ```
//!
//! A gateway that reads slowly gets the latest state when it is ready for it, as one message from
//! what it holds; nothing queues up for it. Gateways that hold the same publication get the same
//! encoded bytes.

mod codec;
mod cursor;
mod gateway;
mod server;
mod services;
pub mod tls;

pub use cursor::Cursor;
pub use server::{PushServer, serve};

use std::time::Duration;

/// How often each side says that it is alive.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// A peer that was silent for so long is taken for dead.
pub const SILENCE: Duration = Duration::from_secs(3);
/// Gateways that are served at a time.
pub const MAX_STREAMS: usize = 1_024;
