//! Who and which: endpoint ids, pool names, versions. A mistake here refuses the message.

use std::net::{IpAddr, SocketAddr};

use picker::{EndpointId, SnapshotVersion};

use crate::{
    error::{ContractError, Excerpt, Problem},
    limits, proto,
};

/// An endpoint's identity as it travels.
#[must_use]
pub fn id_to_proto(id: EndpointId) -> proto::EndpointId {
    proto::EndpointId {
        ip: match id.address.ip() {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        },
        port: u32::from(id.address.port()),
        generation: id.generation,
    }
}

/// A checked endpoint identity. An IPv4 address in IPv6 clothes (`::ffff:a.b.c.d`) is read as IPv4,
/// so that one endpoint has one identity and no address range check can be got round.
///
/// # Errors
/// When the address has neither 4 nor 16 bytes or the port is not in `1..=65535`.
pub fn id_from_proto(raw: &proto::EndpointId) -> Result<EndpointId, ContractError> {
    let ip = match raw.ip.len() {
        4 => <[u8; 4]>::try_from(raw.ip.as_slice())
            .ok()
            .map(IpAddr::from),
        16 => <[u8; 16]>::try_from(raw.ip.as_slice())
            .ok()
            .map(IpAddr::from),
        _ => None,
    };
    let ip = ip.ok_or_else(|| Problem::IpLength(raw.ip.len()).at("ip"))?;
    let port = u16::try_from(raw.port)
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| Problem::Port(raw.port).at("port"))?;
    Ok(EndpointId {
        address: SocketAddr::new(ip.to_canonical(), port),
        generation: raw.generation,
    })
}

/// Whether `name` may name a pool (1..128 bytes of visible ASCII).
///
/// # Errors
/// When it may not; the error's place is `pool`.
pub fn check_pool_name(name: &str) -> Result<(), ContractError> {
    if limits::is_pool_name(name) {
        Ok(())
    } else {
        Err(Problem::Name(Excerpt::new(name)).at("pool"))
    }
}

/// A snapshot's version as it travels.
#[must_use]
pub fn version_to_proto(version: SnapshotVersion) -> proto::Version {
    proto::Version {
        agent_id: version.agent_id,
        epoch: version.epoch,
        sequence: version.sequence,
        taken_at_unix_ms: version.taken_at_unix_ms,
    }
}

pub(crate) fn version_from_proto(
    raw: Option<proto::Version>,
) -> Result<SnapshotVersion, ContractError> {
    let raw = raw.ok_or_else(|| Problem::Missing.at("version"))?;
    Ok(SnapshotVersion {
        agent_id: raw.agent_id,
        epoch: raw.epoch,
        sequence: raw.sequence,
        taken_at_unix_ms: raw.taken_at_unix_ms,
    })
}
