//! Ports that nobody else in this run takes.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::atomic::{AtomicU16, Ordering},
};

/// Below the range from which systems take the ports of outgoing connections, so that no client
/// connection can sit on a port between its choice and its use.
const FIRST: u16 = 15_000;
const COUNT: u16 = 15_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A loopback address that was free a moment ago and that this process hands out only once. Test
/// binaries that run one after the other start at different places.
#[must_use]
pub fn free_address() -> SocketAddr {
    let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap_or(0);
    let mut candidate = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST));
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let offset = (u32::from(start) + u32::from(step)) % u32::from(COUNT);
        candidate.set_port(FIRST + u16::try_from(offset).unwrap_or(0));
        if TcpListener::bind(candidate).is_ok() {
            break;
        }
    }
    candidate
}
