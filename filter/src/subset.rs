//! Subset hints: the only endpoints that a request may go to, in the two forms of the endpoint picker
//! protocol.
//!
//! ```text
//!   header, of a sender in front of this Envoy
//!     x-gateway-destination-endpoint-subset: 10.0.0.1:8000, 10.0.0.2, [fd00::1]:8000, fd00::2
//!   dynamic metadata, of a filter before ours
//!     envoy.lb.subset_hint: {x-gateway-destination-endpoint-subset: [10.0.0.1:8000, 10.0.0.2]}
//! ```
//!
//! An address without a port allows every port of it. What is no address is ignored; a hint of
//! which nothing is left allows nobody. Of several headers of the name the last counts, that of the
//! sender nearest to this Envoy: one that appends its own to what a client sent is obeyed all the same.
//! The metadata may be a list, as the protocol has it, or one text in the form of the header.

use std::net::{IpAddr, SocketAddr};

use picker::SubsetEntry;

use crate::{
    headers::{self, HeaderMap},
    host::Host,
};

/// The most entries that are looked at; those after them are not allowed.
const MAX_ENTRIES: usize = 1_024;
/// Where Envoy keeps the metadata form of the hint.
const METADATA: [&str; 4] = [
    "metadata",
    "filter_metadata",
    "envoy.lb.subset_hint",
    headers::SUBSET,
];

/// The subset that the request's header `name` names; `None` without the header.
#[must_use]
pub fn read_header(headers: &HeaderMap, name: &str) -> Option<Vec<SubsetEntry>> {
    let named = |(known, _): &(&[u8], &[u8])| *known == name.as_bytes();
    let (_, value) = headers.iter().filter(named).last()?;
    Some(entries(value))
}

/// The subset that the request's dynamic metadata names; `None` without it.
///
/// Envoy gives a list in the form of headers, each element the name of one, and a text as it is. No
/// text is taken for a list: the number of a list's elements fills four bytes, and since the last of
/// them is zero it is part of no address.
#[must_use]
pub fn read_metadata(host: &dyn Host) -> Option<Vec<SubsetEntry>> {
    let value = host.property(&METADATA)?;
    if value.get(3) != Some(&0) {
        return Some(entries(&value));
    }
    let list = HeaderMap::new(value);
    let elements = list.iter().map(|(element, _)| element);
    Some(elements.take(MAX_ENTRIES).filter_map(entry).collect())
}

fn entries(text: &[u8]) -> Vec<SubsetEntry> {
    let entries = text.split(|byte| *byte == b',').take(MAX_ENTRIES);
    entries.filter_map(entry).collect()
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
    use proptest::prelude::*;

    use super::*;
    use crate::testing::FakeEnvoy;

    fn shown(subset: Vec<SubsetEntry>) -> Vec<String> {
        let show = |entry: SubsetEntry| match entry.port {
            Some(port) => SocketAddr::new(entry.ip, port).to_string(),
            None => entry.ip.to_string(),
        };
        subset.into_iter().map(show).collect()
    }

    fn subset(value: &[u8]) -> Option<Vec<String>> {
        let host = FakeEnvoy::new().vm();
        host.stream(&[(headers::SUBSET, b"10.9.9.9"), (headers::SUBSET, value)]);
        read_header(&host.request_headers(), headers::SUBSET).map(shown)
    }

    fn of_metadata(value: &[u8]) -> Option<Vec<String>> {
        let host = FakeEnvoy::new().vm();
        let stream = host.stream(&[]);
        host.property_of(stream, &METADATA, value);
        read_metadata(&host).map(shown)
    }

    /// A list as Envoy gives it.
    fn list(elements: &[&[u8]]) -> Vec<u8> {
        let size = |length: usize| u32::try_from(length).unwrap().to_le_bytes();
        let mut bytes = size(elements.len()).to_vec();
        for element in elements {
            bytes.extend(size(element.len()));
            bytes.extend(size(0));
        }
        for element in elements {
            bytes.extend([*element, b"\0\0"].concat());
        }
        bytes
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
    fn without_a_header_or_metadata_there_is_no_hint() {
        let host = FakeEnvoy::new().vm();
        host.stream(&[]);
        assert_eq!(read_header(&host.request_headers(), headers::SUBSET), None);
        assert_eq!(read_metadata(&host), None);
    }

    #[test]
    fn metadata_is_a_list_or_a_text() {
        let three: [&[u8]; 3] = [b"10.0.0.1:8000", b" fd00::1 ", b"[fd00::2]:80"];
        let listed = of_metadata(&list(&three)).unwrap();
        assert_eq!(listed, ["10.0.0.1:8000", "fd00::1", "[fd00::2]:80"]);
        let told = of_metadata(b"10.0.0.1:8000,fd00::1, [fd00::2]:80").unwrap();
        assert_eq!(told, listed);
        assert_eq!(
            of_metadata(&list(&[b"pod-1", b"10.0.0.1"])).unwrap(),
            ["10.0.0.1"]
        );
        // One element is one endpoint, also where it looks like several.
        assert!(
            of_metadata(&list(&[b"10.0.0.1,10.0.0.2"]))
                .unwrap()
                .is_empty()
        );
        // Nothing, a number, true: whoever writes that into the hint allows nobody.
        let nobody: [&[u8]; 4] = [&list(&[]), b"", &1.0_f64.to_le_bytes(), b"\x01"];
        for value in nobody {
            assert!(of_metadata(value).unwrap().is_empty(), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn metadata_of_any_bytes_is_a_hint(value: Vec<u8>) {
            prop_assert!(of_metadata(&value).is_some());
            prop_assert!(of_metadata(&[&[1, 0, 0, 0], value.as_slice()].concat()).is_some());
        }
    }

    #[test]
    fn the_list_is_bounded() {
        let long = b"10.0.0.1,".repeat(20_000);
        assert_eq!(subset(&long).unwrap().len(), MAX_ENTRIES);
        let garbage = [b"x,".repeat(MAX_ENTRIES), b"10.0.0.1".to_vec()].concat();
        assert!(subset(&garbage).unwrap().is_empty());
        assert_eq!(of_metadata(&long).unwrap().len(), MAX_ENTRIES);
        let listed = list(&vec![b"10.0.0.1".as_slice(); 2 * MAX_ENTRIES]);
        assert_eq!(of_metadata(&listed).unwrap().len(), MAX_ENTRIES);
    }
}
