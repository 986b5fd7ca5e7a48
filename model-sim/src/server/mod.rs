//! HTTP instances on top of the engine: many simulated model servers in one process.
//!
//! ```text
//!   listener ──▶ connection ──▶ routes ──▶ api (chat, completions, models, LoRA)
//!      │ refuse      │ reset      │           │ submit / abort
//!      ▼             ▼            ▼           ▼
//!    faults, overrides, stats   metrics    process: engine + clock ◀── driver (one timer)
//! ```

mod admin;
mod api;
mod clock;
mod config;
mod connection;
mod control;
mod driver;
mod echo;
mod error;
mod exchange;
mod faults;
mod http_stats;
mod incoming;
mod instance;
mod listener;
mod lora;
mod metrics;
mod overrides;
mod process;
mod reply;
mod routes;
mod shared;
mod stats;

pub use admin::Admin;
pub use config::InstanceConfig;
pub use error::SimError;
pub use faults::{Faults, MetricsFault, Reset};
pub use instance::Instance;
pub use metrics::Dialect;
pub use overrides::MetricsOverride;
pub use stats::{RequestRecord, Stats};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; a panic elsewhere while the lock was held leaves data that is still worth serving.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
