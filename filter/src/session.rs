//! Sessions: requests that belong together and are better off at one endpoint.
//!
//! A session is only a number: the hash of what the client sent, together with the pool's name, so
//! that it is the same in every worker and gateway and means nothing elsewhere. The value itself is
//! neither kept nor logged.

use xxhash_rust::xxh64::xxh64;

use crate::{config::SessionConfig, headers::HeaderMap};

/// The longest header or cookie value that names a session, in bytes; a longer one names none.
pub const MAX_VALUE_BYTES: usize = 1_024;
/// How much of a `cookie` header is searched, in bytes.
const MAX_COOKIE_BYTES: usize = 16 * 1_024;

/// The session that the headers name: by the configured header or, without it, by the cookie.
#[must_use]
pub fn read(headers: &HeaderMap, config: &SessionConfig, pool: &str) -> Option<u64> {
    let of_header = |name: &String| usable(headers.get(name)?.trim_ascii(), pool);
    let of_cookie = |name: &String| usable(cookie(headers.get("cookie")?, name)?, pool);
    let session = config.header.as_ref().and_then(of_header);
    session.or_else(|| config.cookie.as_ref().and_then(of_cookie))
}

/// What tells one pool's sessions from another's.
#[must_use]
pub fn seed(pool: &str) -> u64 {
    xxh64(pool.as_bytes(), 0)
}

/// The number of a session.
#[must_use]
pub fn hash(value: &[u8], seed: u64) -> u64 {
    xxh64(value, seed)
}

fn usable(value: &[u8], pool: &str) -> Option<u64> {
    let fits = (1..=MAX_VALUE_BYTES).contains(&value.len());
    fits.then(|| hash(value, seed(pool)))
}

/// The first cookie of this name, without the quotes it may have.
fn cookie<'a>(header: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let header = header.get(..MAX_COOKIE_BYTES).unwrap_or(header);
    header.split(|byte| *byte == b';').find_map(|pair| {
        let pair = pair.trim_ascii_start();
        let value = pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        let value = value.trim_ascii();
        let quoted = value
            .strip_prefix(b"\"")
            .and_then(|v| v.strip_suffix(b"\""));
        Some(quoted.unwrap_or(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{host::Host, testing::FakeEnvoy};

    fn config(header: Option<&str>, cookie: Option<&str>) -> SessionConfig {
        SessionConfig {
            header: header.map(str::to_owned),
            cookie: cookie.map(str::to_owned),
            body_user: false,
        }
    }

    fn session(config: &SessionConfig, pool: &str, headers: &[(&str, &[u8])]) -> Option<u64> {
        let host = FakeEnvoy::new().vm();
        host.stream(headers);
        read(&host.request_headers(), config, pool)
    }

    #[test]
    fn the_header_comes_before_the_cookie() {
        let both = config(Some("x-session-id"), Some("sid"));
        let header: (&str, &[u8]) = ("x-session-id", b"alice");
        let cookie: (&str, &[u8]) = ("cookie", b"a=b; sid=bob");
        let alice = session(&both, "p", &[header]);
        let bob = session(&both, "p", &[cookie]);
        assert!(alice.is_some() && bob.is_some() && alice != bob);
        assert_eq!(session(&both, "p", &[cookie, header]), alice);
        assert_eq!(session(&both, "p", &[("x-session-id", b""), cookie]), bob);
        assert_eq!(session(&both, "p", &[]), None);
        assert_eq!(session(&config(None, None), "p", &[cookie, header]), None);
        assert_eq!(session(&config(None, Some("sid")), "p", &[header]), None);
        assert_ne!(session(&both, "q", &[header]), alice, "another pool");
    }

    #[test]
    fn cookies_in_one_table() {
        let table: [(&[u8], Option<&[u8]>); 14] = [
            (b"sid=1", Some(b"1")),
            (b"a=2;sid=1;b=3", Some(b"1")),
            (b"a=2;   sid=1 ; b=3", Some(b"1")),
            (b"sid=\"1\"", Some(b"1")),
            (b"sid=\"1", Some(b"\"1")),
            (b"sid=a=b", Some(b"a=b")),
            (b"sid=1; sid=2", Some(b"1")),
            (b"xsid=1", None),
            (b"sidx=1", None),
            (b"SID=1", None),
            (b"sid", None),
            (b"", None),
            (b";;;==;=", None),
            (b"\xff\xfe=\x00; sid=\xff", Some(b"\xff")),
        ];
        for (header, value) in table {
            assert_eq!(cookie(header, "sid"), value, "{header:?}");
        }
        let far = [b"a=b;".repeat(10_000), b"sid=1".to_vec()].concat();
        assert_eq!(cookie(&far, "sid"), None, "only the beginning is searched");
    }

    #[test]
    fn what_is_too_long_or_empty_names_no_session() {
        let both = config(Some("x-session-id"), Some("sid"));
        let long = vec![b'x'; MAX_VALUE_BYTES + 1];
        let crumb = [b"sid=", long.as_slice()].concat();
        for headers in [
            &[("x-session-id", long.as_slice())],
            &[("cookie", crumb.as_slice())],
            &[("x-session-id", &b"  \t "[..])],
            &[("cookie", &b"sid="[..])],
            &[("cookie", &b"sid=\"\""[..])],
        ] {
            assert_eq!(session(&both, "p", headers), None);
        }
        let longest = ("x-session-id", &long[..MAX_VALUE_BYTES]);
        assert!(session(&both, "p", &[longest]).is_some());
        let hostile = ("x-session-id", &b"\x00\xff\r\n{}"[..]);
        assert!(session(&both, "p", &[hostile]).is_some(), "only bytes");
    }
}
