//! The Proxy-Wasm filter that picks the endpoint inside Envoy.

pub mod body;
