//! What people, probes and Prometheus ask: the page at `/`, `/metrics`, `/healthz`, `/readyz`,
//! `/debug/pools`, `/debug/status`.
//!
//! Plain HTTP/1, GET and HEAD only, nothing of a request is read but its first line and headers.

mod debug;
mod readiness;
mod routes;
mod server;

pub use readiness::Readiness;
pub use routes::{Admin, Body};
pub use server::serve;

#[cfg(test)]
mod tests;
