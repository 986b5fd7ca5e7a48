//! Measurements of the whole, with figures that a machine can read.

pub mod body;
pub mod ext_proc;
pub mod figures;
pub mod filter_cost;
pub mod knee;
pub mod rewrite_cost;
pub mod scripted_pods;
pub mod upstream;
pub mod wakeup;
pub mod wire;
