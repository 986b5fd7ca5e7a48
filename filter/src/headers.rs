//! The headers that the filter reads, removes and sets. Values are bytes: a client may send any.

use std::net::SocketAddr;

use crate::host::Host;

/// Names the endpoints to try, in order; read by Envoy's `override_host` policy.
pub const DESTINATION: &str = "x-gateway-destination-endpoint";

/// Headers by which a client could choose where its request goes.
pub const ROUTING: [&str; 4] = [
    DESTINATION,
    "x-gateway-destination-endpoint-subset",
    "x-gateway-destination-endpoint-served",
    "x-envoy-original-dst-host",
];

/// The longest content-type that is looked at, in bytes.
const MAX_CONTENT_TYPE: usize = 256;

/// Removes every value of every routing header that the client sent.
pub fn strip_routing(host: &dyn Host) {
    for name in ROUTING {
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
        list.push_str(&endpoint.to_string());
    }
    list
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
}
