//! What a client is told whose request is refused.
//!
//! | reason | status | `x-llm-d-request-dropped-reason` |
//! | --- | --- | --- |
//! | `queue_full`, `shed` | 429 | `rejected-saturated` |
//! | `no_endpoints` | 503 | `rejected-no-endpoints` |
//! | `deadline_exceeded` | 504 | `rejected-ttl-expired` |

use admission::{Reason, Refusal};

use crate::host::{Host, Refused};

/// Says why in our words.
pub const DROPPED: &str = "x-zerohop-dropped-reason";
/// Says why in the reference's words.
pub const DROPPED_BY_REFERENCE: &str = "x-llm-d-request-dropped-reason";

/// Answers the request of the effective context.
///
/// # Errors
/// When an answer has begun already.
pub fn refuse(host: &dyn Host, refusal: Refusal) -> Result<(), Refused> {
    let Refusal {
        reason,
        retry_after_s,
    } = refusal;
    let (kind, message) = text(reason);
    let body = [
        r#"{"error":{"message":""#,
        message,
        r#"","type":""#,
        kind,
        r#"","code":""#,
        reason.as_str(),
        r#""}}"#,
    ]
    .concat();
    let retry_after = retry_after_s.to_string();
    let headers = [
        ("content-type", "application/json"),
        ("retry-after", retry_after.as_str()),
        (DROPPED, reason.as_str()),
        (DROPPED_BY_REFERENCE, reason.reference_name()),
    ];
    host.respond(refusal.status().into(), &headers, body.as_bytes())
}

/// The kind of error and its message.
const fn text(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::Full(_) => ("overloaded", "too many requests wait already"),
        Reason::Shed => ("overloaded", "no capacity for a request of this priority"),
        Reason::Expired => (
            "timeout",
            "no capacity within the time that the request may wait",
        ),
        Reason::NoEndpoints => (
            "service_unavailable",
            "no endpoint of this pool is available",
        ),
    }
}

#[cfg(test)]
mod tests {
    use admission::Bound;

    use super::*;
    use crate::testing::FakeEnvoy;

    #[test]
    fn every_reason_has_its_status_its_names_and_a_body_that_is_json() {
        let table = [
            (
                Reason::Full(Bound::Flow),
                429,
                "queue_full",
                "rejected-saturated",
            ),
            (Reason::Shed, 429, "shed", "rejected-saturated"),
            (
                Reason::Expired,
                504,
                "deadline_exceeded",
                "rejected-ttl-expired",
            ),
            (
                Reason::NoEndpoints,
                503,
                "no_endpoints",
                "rejected-no-endpoints",
            ),
        ];
        for (reason, status, ours, reference) in table {
            let host = FakeEnvoy::new().vm();
            let context = host.stream(&[]);
            refuse(
                &host,
                Refusal {
                    reason,
                    retry_after_s: 7,
                },
            )
            .unwrap();
            assert_eq!(host.reply_of(context), Some(status), "{ours}");
            let header = |name: &str| host.reply_header_of(context, name);
            assert_eq!(header("retry-after").as_deref(), Some("7"));
            assert_eq!(header(DROPPED).as_deref(), Some(ours));
            assert_eq!(header(DROPPED_BY_REFERENCE).as_deref(), Some(reference));
            let body: serde_json::Value =
                serde_json::from_str(&host.reply_body_of(context)).unwrap();
            assert_eq!(body["error"]["code"], ours);
            assert!(body["error"]["message"].is_string() && body["error"]["type"].is_string());
        }
    }
}
