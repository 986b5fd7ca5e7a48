//! What people, probes and Prometheus ask: `/metrics`, `/healthz`, `/readyz`, `/debug/pools`.
//!
//! Plain HTTP/1, GET and HEAD only, nothing of a request is read but its first line and headers.

mod debug;
mod routes;
mod server;

pub use routes::Admin;
pub use server::serve;

#[cfg(test)]
mod tests;
