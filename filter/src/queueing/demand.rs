//! What a request says of its waiting: whom it is for, how long it may wait, how soon it wants its first
//! token.
//!
//! Nothing of it is believed unless the configuration names where it stands. Whom it is for is only a
//! number here: the hash of what was sent, together with the pool's name; the value itself is neither kept
//! nor logged.

use xxhash_rust::xxh64::xxh64;

use crate::{
    config::{AdmissionConfig, FairnessConfig},
    headers::{self, HeaderMap},
    host::Host,
};

/// The longest value that names whom a request is for, in bytes; a longer one names nobody.
const MAX_VALUE_BYTES: usize = 4_096;

/// What one request says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Demand {
    /// Whom it is for; all who do not say are one.
    pub flow: u64,
    /// Milliseconds that it may wait.
    pub patience_ms: Option<u64>,
    /// Milliseconds within which its first token is wanted.
    pub ttft_ms: Option<u64>,
}

impl Demand {
    /// What a request says by its headers and properties, in its headers callback.
    #[must_use]
    pub fn read(host: &dyn Host, headers: &HeaderMap, config: &AdmissionConfig) -> Self {
        let millis = |name: &Option<String>| headers::number(headers.get(name.as_ref()?)?);
        Self {
            flow: flow(host, headers, &config.fairness).unwrap_or_default(),
            patience_ms: millis(&config.deadline_header),
            ttft_ms: millis(&config.slo_header),
        }
    }
}

fn flow(host: &dyn Host, headers: &HeaderMap, config: &FairnessConfig) -> Option<u64> {
    // What names a flow in one place must not pass for one that another place names.
    let usable = |value: &[u8], place: u64| {
        let fits = (1..=MAX_VALUE_BYTES).contains(&value.len());
        fits.then(|| xxh64(value, place))
    };
    let of_claim = || {
        let path: Vec<&str> = config.claim.iter().map(String::as_str).collect();
        let claim = (!path.is_empty()).then(|| host.property(&path)).flatten()?;
        usable(&claim, 1)
    };
    let of_header = || usable(headers.get(config.header.as_ref()?)?.trim_ascii(), 2);
    let of_key = || {
        let value = headers.get(config.api_key.as_ref()?)?.trim_ascii();
        // `Bearer KEY`, in whatever case, is KEY.
        let key = value.rsplit(|byte| *byte == b' ').next()?;
        usable(key, 3)
    };
    of_claim().or_else(of_header).or_else(of_key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Config, testing::FakeEnvoy};

    fn config(text: &str) -> AdmissionConfig {
        let text = format!(
            r#"{{"pools": [{{"name": "p", "members": ["10.0.0.1:80"]}}], "admission": {text}}}"#
        );
        Config::parse(text.as_bytes()).unwrap().admission.unwrap()
    }

    fn demand(config: &AdmissionConfig, headers: &[(&str, &[u8])], claim: Option<&str>) -> Demand {
        let host = FakeEnvoy::new().vm();
        let context = host.stream(headers);
        if let Some(claim) = claim {
            host.property_of(context, &["metadata", "sub"], claim.as_bytes());
        }
        Demand::read(&host, &host.request_headers(), config)
    }

    #[test]
    fn nothing_is_believed_that_the_configuration_does_not_name() {
        let silent = config("{}");
        let headers: &[(&str, &[u8])] = &[
            ("x-llm-d-inference-fairness-id", b"alice"),
            ("authorization", b"Bearer k"),
            ("x-deadline-ms", b"5"),
            ("x-llm-d-slo-ttft-ms", b"5"),
        ];
        assert_eq!(demand(&silent, headers, Some("alice")), Demand::default());
    }

    #[test]
    fn the_claim_comes_before_the_header_and_the_key() {
        let all = config(
            r#"{"fairness": {"claim": ["metadata", "sub"], "header": "X-Tenant", "api_key": "Authorization"}}"#,
        );
        let flow = |headers: &[(&str, &[u8])], claim| demand(&all, headers, claim).flow;
        let tenant: (&str, &[u8]) = ("x-tenant", b"alice");
        let key: (&str, &[u8]) = ("authorization", b"Bearer alice");
        let claimed = flow(&[tenant, key], Some("alice"));
        assert_eq!(claimed, flow(&[], Some("alice")));
        let named = flow(&[tenant, key], None);
        assert_eq!(named, flow(&[tenant], None));
        let keyed = flow(&[key], None);
        assert_eq!(keyed, flow(&[("authorization", b"alice")], None));
        assert_eq!(keyed, flow(&[("authorization", b"bearer  alice ")], None));
        assert!(
            claimed != named && named != keyed && claimed != keyed,
            "a header is no claim"
        );
        assert_eq!(flow(&[], None), 0);
        assert_eq!(flow(&[("x-tenant", b" ")], None), 0);
        assert_eq!(flow(&[("x-tenant", &[b'a'; 5_000])], None), 0);
        assert_ne!(flow(&[("x-tenant", b"\xff\x00")], None), 0);
    }

    #[test]
    fn times_are_whole_numbers_or_nothing() {
        let timed = config(r#"{"deadline_header": "X-Deadline-Ms", "slo_header": "x-slo"}"#);
        let says = |value: &[u8]| {
            let demand = demand(&timed, &[("x-deadline-ms", value), ("x-slo", value)], None);
            assert_eq!(demand.patience_ms, demand.ttft_ms);
            demand.patience_ms
        };
        assert_eq!(says(b"1500"), Some(1_500));
        assert_eq!(says(b"18446744073709551615"), Some(u64::MAX));
        for nothing in [
            &b""[..],
            b"-1",
            b"1.5",
            b"soon",
            b"\xff",
            b"18446744073709551616",
        ] {
            assert_eq!(says(nothing), None, "{nothing:?}");
        }
    }
}
