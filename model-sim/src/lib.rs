//! A model server with a real engine model, for the demo, load tests and CI.
//!
//! ```text
//!   engine    pure model of an inference engine, in virtual time (a simulator uses it too)
//!      ▲
//!   server    HTTP instances on top: OpenAI endpoints, /metrics as vLLM writes it, faults
//! ```

pub mod cli;
pub mod engine;
pub mod lengths;
pub mod server;
