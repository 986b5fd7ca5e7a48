//! Rolls LoRA adapters out: loads and unloads the declared ones on the pods of a pool, through the
//! engine's runtime API. Off for pools without a declaration. `docs/adapters.md` is for operators.
//!
//! ```text
//!   declaration --+                       +--> effective weights (only ready targets are drawn)
//!   pods (Hub) ---+--> Rollout --> Board -+--> pods that join wait for their adapters (Hub)
//!                        |           ^
//!                        +--> a task a pod: list, one step (plan), list again, ...
//! ```

mod board;
mod client;
mod plan;
mod pod;
mod rollout;
mod weights;

pub use board::Board;
pub use client::{AdapterClient, AdapterError};
pub use plan::{Step, next_step};
pub use rollout::Rollout;
pub use weights::{drawn, effective};

#[cfg(test)]
mod tests;
