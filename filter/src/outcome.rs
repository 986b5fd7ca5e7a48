//! How a routed request ended: who answered, whether they failed, and the answers of our own.

use std::net::SocketAddr;

use crate::{headers, host::Host, rewrite};

/// An answer that the filter gives itself.
#[derive(Debug)]
pub struct Reply<'a> {
    /// The HTTP status.
    pub status: u32,
    /// The headers.
    pub headers: &'static [(&'static str, &'static str)],
    /// The body, in the shape of OpenAI's errors.
    pub body: &'a [u8],
}

/// No endpoint has capacity for a request of this priority.
pub const SATURATED: Reply<'static> = Reply {
    status: 429,
    headers: &[("content-type", "application/json"), ("retry-after", "1")],
    body: br#"{"error":{"message":"no endpoint has capacity","type":"overloaded","code":429}}"#,
};

/// No endpoint of the subset that a trusted sender named is there.
pub const NO_ENDPOINT_IN_SUBSET: Reply<'static> = Reply {
    status: 503,
    headers: &[("content-type", "application/json"), ("retry-after", "1")],
    body: br#"{"error":{"message":"no endpoint of the requested subset is available","type":"service_unavailable","code":"no_endpoint_in_subset"}}"#,
};

/// Nothing is known of the pool, and its policy is FailClose.
pub const NO_ENDPOINT: Reply<'static> = Reply {
    status: 503,
    headers: &[("content-type", "application/json"), ("retry-after", "1")],
    body: br#"{"error":{"message":"no endpoint of this pool is known","type":"service_unavailable","code":"no_endpoint"}}"#,
};

/// The pool rewrites models, and that of this request did not come in the part of it that is read.
pub const MODEL_TOO_LATE: Reply<'static> = Reply {
    status: 413,
    headers: JSON,
    body: br#"{"error":{"message":"the model was not found in the leading part of this long request; put it first","type":"invalid_request_error","param":"model","code":"request_too_large"}}"#,
};

/// The model of the body has to be rewritten and cannot be.
pub const NOT_REWRITTEN: Reply<'static> = Reply {
    status: 500,
    headers: JSON,
    body: br#"{"error":{"message":"the model of this request could not be rewritten","type":"internal_error","param":"model","code":"model_not_rewritten"}}"#,
};

/// The headers of an answer of JSON.
pub const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// The body of the answer to a request for a model that the pool does not serve, with status 404.
#[must_use]
pub fn model_not_found(model: &str) -> Vec<u8> {
    let message = rewrite::literal(&["the model `", model, "` does not exist"].concat());
    [
        br#"{"error":{"message":"#,
        message.as_slice(),
        br#","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#,
    ]
    .concat()
}

/// The model could not be read, and the configuration demands it.
pub const MODEL_UNKNOWN: Reply<'static> = Reply {
    status: 400,
    headers: JSON,
    body: br#"{"error":{"message":"the model of this request could not be read","type":"invalid_request_error","code":400}}"#,
};

/// Response flags that say the upstream did not do its work: request timeout, reset by either side,
/// connection failure and termination.
const UPSTREAM_FAILED: u64 = 0x4 | 0x8 | 0x10 | 0x20 | 0x40;

/// How a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The upstream that Envoy talked to last, if that was looked up and there was one.
    pub used: Option<SocketAddr>,
    /// Whether the upstream did not do its work.
    pub failed: bool,
    /// Whether the upstream said that it has too much to do (429).
    pub refused: bool,
    /// The status.
    pub status: Option<u64>,
}

/// Who answered and whether it counts as a failure; call it in the response headers callback.
///
/// A server's 5xx counts against the upstream that Envoy talked to. Without one it is Envoy's own
/// answer, and only its flags tell an upstream that could not be reached from a filter that refused.
///
/// Envoy writes the upstream's address out for each that asks, which takes longer than the rest of
/// this. So it is asked for after a failure, after a retry, and when `unsure` says that the first
/// attempt may have gone elsewhere than to the first choice.
pub fn read(host: &dyn Host, unsure: bool) -> Outcome {
    let status = host
        .response_header(":status")
        .and_then(|value| headers::number(&value));
    let answered = matches!(status, Some(..500));
    let too_many = status == Some(429);
    let used = if unsure || !answered || too_many || was_retried(host) {
        host.property(&["upstream", "address"])
            .and_then(|value| headers::address(&value))
    } else {
        None
    };
    Outcome {
        used,
        failed: !answered && (used.is_some() || upstream_failed(host)),
        // Without an upstream it is the answer of another of Envoy's filters.
        refused: too_many && used.is_some(),
        status,
    }
}

/// Whether Envoy made more than one attempt, or does not say.
pub fn was_retried(host: &dyn Host) -> bool {
    let attempts = host.property(&["upstream", "request_attempt_count"]);
    let attempts = attempts.and_then(|value| value.first_chunk::<8>().copied());
    attempts.map(u64::from_le_bytes) != Some(1)
}

fn upstream_failed(host: &dyn Host) -> bool {
    host.property(&["response", "flags"])
        .and_then(|value| value.first_chunk::<8>().copied())
        .is_some_and(|flags| u64::from_le_bytes(flags) & UPSTREAM_FAILED != 0)
}
