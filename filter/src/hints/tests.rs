//! Which hints reach the decision, whatever the client sends.

use proptest::prelude::*;

use super::*;
use crate::{headers, host::Host, testing::FakeEnvoy};

fn config(text: &str) -> HintConfig {
    let pools = r#""pools": [{"name": "p", "members": ["10.0.0.1:80"]}]"#;
    let config = Config::parse(format!("{{{pools}{text}}}").as_bytes()).unwrap();
    HintConfig::new(&config)
}

fn facts(config: &HintConfig, headers: &[(&str, &[u8])], user: Option<u64>) -> RequestFacts {
    facts_beside(None, config, headers, user)
}

const METADATA: [&str; 4] = [
    "metadata",
    "filter_metadata",
    "envoy.lb.subset_hint",
    headers::SUBSET,
];

fn facts_beside(
    metadata: Option<&[u8]>,
    config: &HintConfig,
    headers: &[(&str, &[u8])],
    user: Option<u64>,
) -> RequestFacts {
    let host = FakeEnvoy::new().vm();
    let stream = host.stream(headers);
    if let Some(value) = metadata {
        host.property_of(stream, &METADATA, value);
    }
    let mut facts = RequestFacts::default();
    let hints = config.read(&host, &host.request_headers(), "p");
    assert_eq!(hints.is_strict(), hints.subset.is_some());
    hints.add_to(&mut facts, user);
    facts
}

const EVERYTHING: &str = r#", "session": {"header": "x-session-id", "cookie": "sid",
    "body_user": true}, "trust_subset_header": true"#;

#[test]
fn the_first_of_header_cookie_and_user_is_the_session() {
    let all = config(EVERYTHING);
    let header: (&str, &[u8]) = ("x-session-id", b"a");
    let cookie: (&str, &[u8]) = ("cookie", b"sid=b");
    let session = |headers: &[_], user| facts(&all, headers, user).session;
    let (a, b, c) = (
        session(&[header], None),
        session(&[cookie], None),
        session(&[], Some(7)),
    );
    assert!(a.is_some() && b.is_some() && c.is_some() && a != b && b != c);
    assert_eq!(session(&[header, cookie], Some(7)), a);
    assert_eq!(session(&[cookie], Some(7)), b);
    assert_eq!(session(&[], None), None);
    assert_ne!(c, Some(7), "mixed with the pool's name");
}

#[test]
fn nothing_is_looked_at_unless_configured() {
    let headers: [(&str, &[u8]); 3] = [
        ("x-session-id", b"a"),
        ("cookie", b"sid=b"),
        (headers::SUBSET, b"10.0.0.1"),
    ];
    assert_eq!(
        facts(&config(""), &headers, Some(7)),
        RequestFacts::default()
    );
    let untrusted = config(r#", "trust_subset_header": false"#);
    assert_eq!(facts(&untrusted, &headers, None).subset, None);
    assert!(facts(&config(EVERYTHING), &headers, None).subset.is_some());
}

#[test]
fn metadata_count_before_the_header_unless_switched_off() {
    let header: [(&str, &[u8]); 1] = [(headers::SUBSET, b"10.0.0.1")];
    let subset = |config: &str, metadata| {
        let facts = facts_beside(metadata, &self::config(config), &header, None);
        facts.subset.map(|entries| {
            let ips = entries.into_iter().map(|entry| entry.ip.to_string());
            ips.collect::<Vec<_>>()
        })
    };
    let both = r#", "trust_subset_header": true"#;
    let off = r#", "trust_subset_metadata": false"#;
    let metadata: Option<&[u8]> = Some(b"10.0.0.2");
    assert_eq!(subset("", None), None);
    assert_eq!(subset("", metadata).unwrap(), ["10.0.0.2"]);
    assert_eq!(subset(both, metadata).unwrap(), ["10.0.0.2"]);
    assert_eq!(subset(both, None).unwrap(), ["10.0.0.1"]);
    assert_eq!(subset(both, Some(b"")).unwrap(), [""; 0]);
    assert_eq!(subset(off, metadata), None);
    let only_header = format!("{both}{off}");
    assert_eq!(subset(&only_header, metadata).unwrap(), ["10.0.0.1"]);
}

proptest! {
    #[test]
    fn no_bytes_do_harm(
        subset: Vec<u8>, session: Vec<u8>, cookie in "[\"=; sid\\x00-\\x7f]{0,40}", user: Option<u64>,
    ) {
        let headers = [
            (headers::SUBSET, subset.as_slice()),
            ("x-session-id", session.as_slice()),
            ("cookie", cookie.as_bytes()),
        ];
        let got = facts(&config(EVERYTHING), &headers, user);
        prop_assert!(got.subset.is_some(), "a header that was trusted counts, whatever it says");
    }
}
