//! Where traffic may go at all. A picked endpoint outside is never used, whoever named it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use super::table;

/// The most networks that can be listed.
const MAX_NETWORKS: usize = 64;

/// The networks that endpoints may have addresses in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AllowedAddresses {
    /// Everything except loopback, link-local (where clouds keep their metadata), multicast,
    /// unspecified and broadcast addresses.
    #[default]
    Usual,
    /// Exactly these networks.
    Only(Vec<Network>),
}

/// An address range in CIDR notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl AllowedAddresses {
    /// Reads a list of networks; each mistake is reported.
    pub(super) fn check(path: &str, value: Value, mistakes: &mut Vec<String>) -> Self {
        let mut networks = Vec::new();
        for (index, element) in table::list(path, value, 1..=MAX_NETWORKS, mistakes)
            .iter()
            .enumerate()
        {
            match element.as_str().and_then(Network::parse) {
                Some(network) => networks.push(network),
                None => mistakes.push(table::wrong(
                    &format!("{path}[{index}]"),
                    "a network such as 10.0.0.0/8 or fd00::/8, without bits after the prefix",
                    element,
                )),
            }
        }
        Self::Only(networks)
    }

    /// Whether traffic may go to `address`. An IPv4 address within IPv6 counts as the IPv4 address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match self {
            Self::Usual => is_usual(address),
            Self::Only(networks) => networks.iter().any(|network| network.contains(address)),
        }
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let network = Self {
            address: address.parse().ok()?,
            prefix_bits: prefix.parse().ok()?,
        };
        network.is_exact().then_some(network)
    }

    /// Whether the prefix fits the family and all bits after it are zero.
    fn is_exact(self) -> bool {
        match self.address {
            IpAddr::V4(address) => {
                self.prefix_bits <= 32
                    && u128::from(address.to_bits()) << 96 & !mask(self.prefix_bits) == 0
            }
            IpAddr::V6(address) => {
                self.prefix_bits <= 128 && address.to_bits() & !mask(self.prefix_bits) == 0
            }
        }
    }

    fn contains(self, other: IpAddr) -> bool {
        let (network, other) = match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (u128::from(a.to_bits()) << 96, u128::from(b.to_bits()) << 96)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits()),
            _ => return false,
        };
        (network ^ other) & mask(self.prefix_bits) == 0
    }
}

/// The leading `bits` of 128.
fn mask(bits: u8) -> u128 {
    u128::MAX
        .checked_shl(128u32.saturating_sub(u32::from(bits)))
        .unwrap_or(0)
}

fn is_usual(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_usual_v4(address),
        IpAddr::V6(address) => is_usual_v6(address),
    }
}

const fn is_usual_v4(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first != 0
        && !address.is_loopback()
        && !address.is_link_local()
        && !address.is_multicast()
        && !address.is_broadcast()
}

fn is_usual_v6(address: Ipv6Addr) -> bool {
    /// Where Amazon serves instance metadata over IPv6; not link-local.
    const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_unicast_link_local()
        && !address.is_multicast()
        && address != METADATA
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(networks: &[&str]) -> AllowedAddresses {
        let parsed = networks.iter().map(|text| Network::parse(text));
        AllowedAddresses::Only(parsed.map(Option::unwrap).collect())
    }

    fn allows(allowed: &AllowedAddresses, address: &str) -> bool {
        allowed.contains(address.parse().unwrap())
    }

    #[test]
    fn the_default_refuses_every_special_address() {
        let usual = AllowedAddresses::default();
        for special in [
            "127.0.0.1",
            "127.255.0.9",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
        ] {
            assert!(!allows(&usual, special), "{special} must be refused");
        }
        for good in [
            "10.1.2.3",
            "192.168.0.1",
            "8.8.8.8",
            "fd00::1",
            "2001:db8::1",
        ] {
            assert!(allows(&usual, good), "{good} must be allowed");
        }
    }

    #[test]
    fn a_list_allows_exactly_its_networks() {
        let allowed = only(&["127.0.0.0/8", "10.2.0.0/16", "fd00::/8"]);
        for good in ["127.0.0.1", "10.2.255.255", "fdff::1", "::ffff:10.2.0.1"] {
            assert!(allows(&allowed, good), "{good} must be allowed");
        }
        for bad in ["10.3.0.0", "128.0.0.1", "::1", "fc00::1", "8.8.8.8"] {
            assert!(!allows(&allowed, bad), "{bad} must be refused");
        }
        assert!(allows(&only(&["0.0.0.0/0"]), "1.2.3.4"));
        assert!(!allows(&only(&["0.0.0.0/0"]), "fd00::1"));
        assert!(allows(&only(&["10.0.0.1/32"]), "10.0.0.1"));
        assert!(!allows(&only(&["10.0.0.1/32"]), "10.0.0.2"));
    }

    #[test]
    fn malformed_networks_are_refused() {
        for bad in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0.0/-1",
            "10.0.0.1/8",
            "::1/129",
            "fd00::1/8",
            "a/8",
            "10.0.0.0/8/8",
            "10.0.0.0/ 8",
        ] {
            assert_eq!(Network::parse(bad), None, "{bad:?} is no network");
        }
    }
}
