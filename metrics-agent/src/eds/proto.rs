//! The generated types of `proto/eds.proto`.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code; the .proto file carries the documentation"
)]

include!(concat!(env!("OUT_DIR"), "/envoy.service.endpoint.v3.rs"));
