//! A model server with a real engine model, for the demo, load tests and CI.
//!
//! ```text
//!   cli       many instances in one process: arguments, signals
//!    │
//!   server    HTTP instances: OpenAI endpoints, /metrics as vLLM writes it, faults, lies, counts
//!    │
//!   engine    pure model of an inference engine, in virtual time (a simulator uses it too)
//! ```

pub mod cli;
pub mod engine;
pub mod lengths;
pub mod server;
