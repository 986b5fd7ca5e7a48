//! Subset hints: the endpoints that a sender in front of this Envoy allows, in the header of the
//! endpoint picker protocol.
//!
//! ```text
//!   x-gateway-destination-endpoint-subset: 10.0.0.1:8000, 10.0.0.2, [fd00::1]:8000, fd00::2
//! ```
//!
//! An address without a port allows every port of it. What is no address is ignored; a header of
//! which nothing is left allows nobody. Of several headers of the name the last counts, that of the
//! sender nearest to this Envoy: one that appends its own to what a client sent is obeyed all the same.

use std::net::{IpAddr, SocketAddr};

use picker::SubsetEntry;

use crate::headers::HeaderMap;

/// The most entries that are looked at; those after them are not allowed.
const MAX_ENTRIES: usize = 1_024;

/// The subset that the request's header `name` names; `None` without the header.
#[must_use]
pub fn read(headers: &HeaderMap, name: &str) -> Option<Vec<SubsetEntry>> {
    let named = |(known, _): &(&[u8], &[u8])| *known == name.as_bytes();
    let (_, value) = headers.iter().filter(named).last()?;
    let entries = value.split(|byte| *byte == b',').take(MAX_ENTRIES);
    Some(entries.filter_map(entry).collect())
}

fn entry(text: &[u8]) -> Option<SubsetEntry> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    if let Ok(address) = text.parse::<SocketAddr>() {
        return (address.port() != 0).then(|| SubsetEntry {
            ip: address.ip(),
            port: Some(address.port()),
        });
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    let ip: IpAddr = bare.unwrap_or(text).parse().ok()?;
    // Brackets are for IPv6.
    (bare.is_none() || ip.is_ipv6()).then_some(SubsetEntry { ip, port: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{headers, host::Host, testing::FakeEnvoy};

    fn subset(value: &[u8]) -> Option<Vec<String>> {
        let host = FakeEnvoy::new().vm();
        host.stream(&[(headers::SUBSET, b"10.9.9.9"), (headers::SUBSET, value)]);
        let show = |entry: SubsetEntry| match entry.port {
            Some(port) => SocketAddr::new(entry.ip, port).to_string(),
            None => entry.ip.to_string(),
        };
        read(&host.request_headers(), headers::SUBSET)
            .map(|entries| entries.into_iter().map(show).collect())
    }

    #[test]
    fn entries_in_one_table() {
        let table: [(&[u8], &[&str]); 22] = [
            (b"10.0.0.1:8000", &["10.0.0.1:8000"]),
            (b"10.0.0.1", &["10.0.0.1"]),
            (b"10.0.0.1,10.0.0.2:1", &["10.0.0.1", "10.0.0.2:1"]),
            (b" 10.0.0.1 ,\t10.0.0.2 ", &["10.0.0.1", "10.0.0.2"]),
            (b"[fd00::1]:8000", &["[fd00::1]:8000"]),
            (b"[fd00::1]", &["fd00::1"]),
            (b"fd00::1", &["fd00::1"]),
            (b"fd00::1:8000", &["fd00::1:8000"]),
            (b"", &[]),
            (b",,,", &[]),
            (b"pod-1:8000", &[]),
            (b"10.0.0.1:0", &[]),
            (b"10.0.0.1:65536", &[]),
            (b"10.0.0.1:", &[]),
            (b"10.0.0.1:+80", &[]),
            (b"10.0.0.256", &[]),
            (b"010.0.0.1", &[]),
            (b"[10.0.0.1]", &[]),
            (b"[fd00::1", &[]),
            (b"[\"10.0.0.1:8000\"]", &[]),
            (b"\xff\xfe,10.0.0.1,\x00", &["10.0.0.1"]),
            (b"*,10.0.0.0/8,10.0.0.7;10.0.0.8", &[]),
        ];
        for (value, expected) in table {
            let got = subset(value).unwrap();
            assert_eq!(got, expected, "{:?}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn no_header_is_no_hint() {
        let host = FakeEnvoy::new().vm();
        host.stream(&[]);
        assert_eq!(read(&host.request_headers(), headers::SUBSET), None);
    }

    #[test]
    fn the_list_is_bounded() {
        let long = b"10.0.0.1,".repeat(20_000);
        assert_eq!(subset(&long).unwrap().len(), MAX_ENTRIES);
        let garbage = [b"x,".repeat(MAX_ENTRIES), b"10.0.0.1".to_vec()].concat();
        assert!(subset(&garbage).unwrap().is_empty());
    }
}
