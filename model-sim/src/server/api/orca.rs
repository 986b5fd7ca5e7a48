//! The load report that vLLM adds to a response when the request asks for it (ORCA).

use http::request::Parts;
use http::{HeaderName, HeaderValue};

use crate::server::locked;
use crate::server::reply::Reply;
use crate::server::shared::Shared;

/// Adds the load report if the request asks for it in a format that exists.
pub(crate) fn report(shared: &Shared, parts: &Parts, reply: Reply) -> Reply {
    let wanted = parts.headers.get("endpoint-load-metrics-format");
    let Some(format) = wanted.and_then(|format| format.to_str().ok()) else {
        return reply;
    };
    let gauges = locked(&shared.process).engine.gauges();
    let (waiting, usage) = (f64::from(gauges.waiting), gauges.kv_usage());
    let text = match format {
        "TEXT" => format!(
            "TEXT named_metrics.num_requests_waiting={waiting:?}, \
             named_metrics.kv_cache_usage_perc={usage:?}"
        ),
        "JSON" => format!(
            "JSON {{\"named_metrics\": {{\"num_requests_waiting\": {waiting:?}, \
             \"kv_cache_usage_perc\": {usage:?}}}}}"
        ),
        _ => return reply,
    };
    match HeaderValue::try_from(text) {
        Ok(value) => reply.header(HeaderName::from_static("endpoint-load-metrics"), value),
        Err(_) => reply,
    }
}
