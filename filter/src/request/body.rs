//! Whether a request's body is read, by its headers.

use super::Request;
use crate::{
    config::Mode,
    headers::{self, HeaderMap},
    host::Host,
    metrics::Unscanned,
};

/// What the headers say about the body.
pub(super) enum Body {
    Scan { content_length: Option<u64> },
    Skip(Unscanned),
}

impl Request {
    pub(super) fn body(&self, host: &dyn Host, headers: &HeaderMap, end_of_stream: bool) -> Body {
        if end_of_stream {
            return Body::Skip(Unscanned::NoBody);
        }
        if !headers.get("content-type").is_some_and(headers::is_json) {
            return Body::Skip(Unscanned::NotJsonType);
        }
        let encoding = headers.get("content-encoding");
        if encoding.is_some_and(|value| !headers::is_identity(value)) {
            return Body::Skip(Unscanned::Encoded);
        }
        // The client of a tunnel waits for the answer before it sends anything.
        if headers.get("upgrade").is_some() || headers.get(":method") == Some(b"CONNECT") {
            return Body::Skip(Unscanned::Tunnel);
        }
        let mut worker = self.worker.borrow_mut();
        if worker.mode() == Mode::PairFirst && !worker.expects_partner(host) {
            return Body::Skip(Unscanned::NoPartner);
        }
        let content_length = headers.get("content-length").and_then(headers::number);
        Body::Scan { content_length }
    }
}
