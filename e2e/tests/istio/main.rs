//! Against a real istiod, on a real Kubernetes API: what it makes of the files in `envoy-config/istio/`
//! and `deploy/` is what real Envoy runs. Run it with `make test-istio`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod envoy_gateway;
mod pool;
mod service;
mod stage;
