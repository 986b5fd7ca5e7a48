//! Tests, demo and benches that start real Envoy.
//!
//! The rig starts things and ends them; the tests in `tests/` say what must hold; the binaries in
//! `src/bin/` show it and measure it.

pub mod bench;
pub mod demo;
pub mod freshness;
pub mod rig;
