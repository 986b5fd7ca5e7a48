//! The headers that the filter reads, removes and sets. Values are bytes: a client may send any.

use std::net::SocketAddr;

use crate::{explain, host::Host};

/// Names the endpoints to try, in order; read by Envoy's `override_host` policy.
pub const DESTINATION: &str = "x-gateway-destination-endpoint";

/// Names the endpoints that a trusted sender allows.
pub const SUBSET: &str = "x-gateway-destination-endpoint-subset";

/// Tells the client which endpoint served.
pub const SERVED: &str = "x-gateway-destination-endpoint-served";

/// Headers by which a client could choose where its request goes.
pub const ROUTING: [&str; 4] = [DESTINATION, SUBSET, SERVED, "x-envoy-original-dst-host"];

/// The model that the body names, for Envoy's routes.
pub const MODEL_NAME: &str = "x-gateway-model-name";
/// Its base model, if it is an adapter, else the model itself.
pub const BASE_MODEL_NAME: &str = "x-gateway-base-model-name";

/// The name of the objective that a request belongs to: the name of today and the older one.
pub const OBJECTIVE: [&str; 2] = [
    "x-llm-d-inference-objective",
    "x-gateway-inference-objective",
];
/// The model that a request is rewritten to: the name of today and the older one.
pub const MODEL_REWRITE: [&str; 2] = ["x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite"];

/// Endpoints that a test of conformance asks for.
pub const TEST_SELECTION: &str = "test-epp-endpoint-selection";
/// Tells a test of conformance which endpoint served.
pub const TEST_SERVED: &str = "x-conformance-test-served-endpoint";

/// Which of the headers that steer are believed or set, beside those that never are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Steering {
    /// [`OBJECTIVE`] and [`MODEL_REWRITE`] come from somebody who may send them.
    pub trusted: bool,
    /// [`MODEL_NAME`] and [`BASE_MODEL_NAME`] are set here.
    pub names_models: bool,
    /// Nothing may be changed.
    pub shadow: bool,
}

impl Steering {
    /// Whether the header is removed when a client sent it.
    fn removes(self, name: &[u8]) -> bool {
        let any = |names: &[&str]| names.iter().any(|known| known.as_bytes() == name);
        !self.shadow
            && name.starts_with(b"x-")
            && (any(&ROUTING)
                || any(&[explain::ASK])
                || (!self.trusted && (any(&OBJECTIVE) || any(&MODEL_REWRITE)))
                || (self.names_models && any(&[MODEL_NAME, BASE_MODEL_NAME])))
    }
}

/// The longest content-type that is looked at, in bytes.
const MAX_CONTENT_TYPE: usize = 256;

/// All headers of a request, as the host gave them at once: one call in place of one for each.
#[derive(Debug, Clone, Default)]
pub struct HeaderMap(Vec<u8>);

impl HeaderMap {
    /// From the ABI's form: the number of pairs, then the sizes of each name and value, then each name
    /// and value closed by a zero; numbers of 4 bytes, little-endian.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Names, in lower case, and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (count, rest) = size(&self.0).unwrap_or_default();
        // Sizes that do not fit are no sizes.
        let (sizes, texts) = count
            .checked_mul(8)
            .and_then(|bytes| rest.split_at_checked(bytes))
            .unwrap_or_default();
        let mut rest = texts;
        sizes.chunks_exact(8).map_while(move |sizes| {
            let (name_size, sizes) = size(sizes)?;
            let (value_size, _) = size(sizes)?;
            let (name, after) = text(rest, name_size)?;
            let (value, after) = text(after, value_size)?;
            rest = after;
            Some((name, value))
        })
    }

    /// The first value of a header.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let mut pairs = self.iter();
        let found = pairs.find(|(known, _)| *known == name.as_bytes());
        found.map(|(_, value)| value)
    }
}

fn size(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    Some((usize::try_from(u32::from_le_bytes(*size)).ok()?, rest))
}

fn text(bytes: &[u8], size: usize) -> Option<(&[u8], &[u8])> {
    let (text, rest) = bytes.split_at_checked(size)?;
    Some((text, rest.split_first()?.1))
}

/// Removes every value of every header that may not steer, of those that are in `headers`.
pub fn strip_routing(host: &dyn Host, headers: &HeaderMap, steering: Steering) {
    for (name, _) in headers.iter().filter(|(name, _)| steering.removes(name)) {
        let name = std::str::from_utf8(name).unwrap_or_default();
        if let Err(error) = host.remove_request_header(name) {
            log::error!("client's {name} was not removed: {error}");
        }
    }
}

/// The value of [`DESTINATION`] for an ordered list of endpoints.
#[must_use]
pub fn destination(endpoints: impl Iterator<Item = SocketAddr>) -> String {
    let mut list = String::new();
    for (index, endpoint) in endpoints.enumerate() {
        if index > 0 {
            list.push(',');
        }
        push_address(&mut list, endpoint);
    }
    list
}

/// Appends an address as `ip:port` or `[ip]:port`. By hand for IPv4, of which nearly all pods have
/// one: the general way costs several times as much, three times a request.
pub fn push_address(list: &mut String, address: SocketAddr) {
    let SocketAddr::V4(v4) = address else {
        list.push_str(&address.to_string());
        return;
    };
    for (index, octet) in v4.ip().octets().into_iter().enumerate() {
        if index > 0 {
            list.push('.');
        }
        push_number(list, octet.into());
    }
    list.push(':');
    push_number(list, v4.port());
}

fn push_number(list: &mut String, number: u16) {
    let mut unit = 10_000;
    while unit > 1 && number < unit {
        unit /= 10;
    }
    while unit > 0 {
        // A digit is below 10.
        list.push(char::from(b'0' + (number / unit % 10) as u8));
        unit /= 10;
    }
}

/// Whether a content-type says JSON: `application/json` or any `+json`, whatever the parameters.
#[must_use]
pub fn is_json(content_type: &[u8]) -> bool {
    if content_type.len() > MAX_CONTENT_TYPE {
        return false;
    }
    let media_type = content_type.split(|byte| *byte == b';').next();
    let media_type = media_type.unwrap_or_default().trim_ascii();
    media_type.eq_ignore_ascii_case(b"application/json")
        || media_type
            .last_chunk::<5>()
            .is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"))
}

/// Whether a content-type says a stream of events.
#[must_use]
pub fn is_event_stream(content_type: &[u8]) -> bool {
    const EVENT_STREAM: &[u8] = b"text/event-stream";
    let begin = content_type.get(..EVENT_STREAM.len());
    begin.is_some_and(|begin| begin.eq_ignore_ascii_case(EVENT_STREAM))
}

/// Whether a content-encoding leaves the body as it is.
#[must_use]
pub fn is_identity(content_encoding: &[u8]) -> bool {
    let trimmed = content_encoding.trim_ascii();
    trimmed.is_empty() || trimmed.eq_ignore_ascii_case(b"identity")
}

/// A whole number as it stands in `content-length` or `:status`.
#[must_use]
pub fn number(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    // `parse` would also take a plus sign.
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

/// An address as Envoy writes it in `upstream.address`.
#[must_use]
pub fn address(value: &[u8]) -> Option<SocketAddr> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::serialised;

    #[test]
    fn json_is_recognised_whatever_the_case_and_the_parameters() {
        for yes in [
            "application/json",
            "Application/JSON; charset=utf-8",
            " application/json ;x",
            "application/vnd.api+json",
        ] {
            assert!(is_json(yes.as_bytes()), "{yes}");
        }
        for no in [
            "",
            "text/plain",
            "application/jsonx",
            "multipart/form-data; x=application/json",
            "json",
        ] {
            assert!(!is_json(no.as_bytes()), "{no}");
        }
        assert!(!is_json(&b"application/json;".repeat(100)));
    }

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for bad in [
            &b""[..],
            b"+1",
            b"-1",
            b" 1",
            b"1e3",
            b"18446744073709551616",
            b"\xff",
        ] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_list_keeps_its_order_and_brackets_ipv6() {
        let endpoints = ["10.0.0.1:8000", "[fd00::1]:80"].map(|text| text.parse().unwrap());
        assert_eq!(
            destination(endpoints.into_iter()),
            "10.0.0.1:8000,[fd00::1]:80"
        );
        assert_eq!(destination([].into_iter()), "");
    }

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        let octets = [0, 1, 9, 10, 99, 100, 101, 199, 200, 255];
        let ports = [1, 9, 10, 80, 100, 999, 1_000, 8_000, 9_999, 10_000, 65_535];
        for octet in octets {
            for port in ports {
                let address = SocketAddr::from(([octet, 0, 255, octet], port));
                assert_eq!(destination([address].into_iter()), address.to_string());
            }
        }
    }

    #[test]
    fn a_map_of_headers_that_does_not_add_up_ends_where_it_stops_to() {
        let pairs = [(":method", &b"POST"[..]), ("a", b""), ("a", b"\xff\x00")];
        let bytes = serialised(&pairs);
        let map = HeaderMap::new(bytes.clone());
        let whole: Vec<_> = map.iter().collect();
        assert_eq!(whole, pairs.map(|(name, value)| (name.as_bytes(), value)));
        assert_eq!(map.get("a"), Some(&b""[..]), "the first value");
        assert_eq!(map.get("A"), None);
        for length in 0..bytes.len() {
            let cut = HeaderMap::new(bytes[..length].to_vec());
            assert!(cut.iter().count() < whole.len());
            for index in 0..length {
                for byte in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut broken = bytes[..length].to_vec();
                    broken[index] = byte;
                    HeaderMap::new(broken).iter().for_each(drop);
                }
            }
        }
    }
}
