//! Against a real Kubernetes API: etcd and kube-apiserver as `scripts/get-kubernetes.sh` builds them.
//! Run it with `make test-kubernetes`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod agent;
mod packaging;
mod rights;
mod source;
mod support;
mod written;
