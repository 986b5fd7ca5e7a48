//! Tests, demo and benches that start real Envoy.
