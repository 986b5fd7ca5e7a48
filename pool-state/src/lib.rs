//! The push contract between agent and gateway, and the layout of the shared-data slots.
//!
//! ```text
//!   agent --protobuf (proto)--> leader VM --slot bytes (slot)--> every worker VM
//!              |                                  |
//!              +-------- checked (convert) -------+----> picker::PoolSnapshot
//! ```
//!
//! Everything that arrives is input: the conversions refuse what the contract does not allow and
//! say which field and why.

pub mod convert;
pub mod error;
pub mod gate;
pub mod limits;
pub mod mirror;
pub mod policy;
pub mod proto;
pub mod slot;

pub use error::ContractError;
pub use mirror::{Applied, PoolMirror};
pub use slot::SlotError;

#[cfg(test)]
mod testing;
