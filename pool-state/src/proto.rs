//! The generated protobuf types of `zerohop.poolstate.v1`.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code; the .proto file carries the documentation"
)]

include!(concat!(env!("OUT_DIR"), "/zerohop.poolstate.v1.rs"));
