//! Subset hints: a sender whom the operator trusts names the only endpoints that may be picked.

use std::net::SocketAddr;

use crate::request::SubsetEntry;

/// Whether the subset has this endpoint. An IPv4 address within IPv6 counts as the IPv4 address.
pub(super) fn has(subset: &[SubsetEntry], address: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    subset.iter().any(|entry| {
        entry.ip.to_canonical() == ip && entry.port.is_none_or(|port| port == address.port())
    })
}
