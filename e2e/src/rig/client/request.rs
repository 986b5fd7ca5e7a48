//! The requests that tests send.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use serde_json::json;

/// The body of a client request.
pub type ClientBody = UnsyncBoxBody<Bytes, Infallible>;

/// A request to be sent.
#[derive(Debug, Clone)]
pub struct RequestSpec {
    /// Method.
    pub method: Method,
    /// Path.
    pub path: String,
    /// Headers besides host and framing.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// `Some(n)` sends it in pieces of n bytes without a content-length.
    pub pieces: Option<usize>,
    /// Trailers after the body; they need pieces.
    pub trailers: Option<HeaderMap>,
}

impl RequestSpec {
    /// A GET.
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self {
            method: Method::GET,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            pieces: None,
            trailers: None,
        }
    }

    /// A POST of JSON to the completions path.
    #[must_use]
    pub fn post(body: impl Into<Bytes>) -> Self {
        let mut spec = Self {
            method: Method::POST,
            body: body.into(),
            ..Self::get("/v1/completions")
        };
        spec.headers.insert(
            http::header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        spec
    }

    /// A small completion for `model`.
    #[must_use]
    pub fn completion(model: &str, prompt: &str) -> Self {
        Self::post(json!({"model": model, "prompt": prompt, "max_tokens": 8}).to_string())
    }

    /// A small chat completion for `model`.
    #[must_use]
    pub fn chat(model: &str, content: &str, stream: bool) -> Self {
        let messages = json!([{"role": "user", "content": content}]);
        let body =
            json!({"model": model, "messages": messages, "max_tokens": 16, "stream": stream});
        Self {
            path: "/v1/chat/completions".to_owned(),
            ..Self::post(body.to_string())
        }
    }

    /// The same with one more header; a header that cannot be sent is left out.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (
            HeaderName::try_from(name),
            HeaderValue::from_bytes(value.as_bytes()),
        ) {
            self.headers.append(name, value);
        }
        self
    }

    /// The same without content-length, in pieces of `size` bytes.
    #[must_use]
    pub const fn chunked(mut self, size: usize) -> Self {
        self.pieces = Some(size);
        self
    }

    /// The request for `target`.
    pub(super) fn build(self, target: SocketAddr) -> http::Result<Request<ClientBody>> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(format!("http://{target}{}", self.path))
            .body(body(self.body, self.pieces, self.trailers))?;
        request.headers_mut().extend(self.headers);
        Ok(request)
    }
}

fn body(bytes: Bytes, pieces: Option<usize>, trailers: Option<HeaderMap>) -> ClientBody {
    let Some(size) = pieces else {
        return Full::new(bytes).boxed_unsync();
    };
    let size = size.max(1);
    let total = bytes.len();
    let data = (0..total).step_by(size).map(move |start| {
        let end = (start + size).min(total);
        Ok(Frame::data(bytes.slice(start..end)))
    });
    let trailers = trailers.into_iter().map(|map| Ok(Frame::trailers(map)));
    StreamBody::new(tokio_stream::iter(data.chain(trailers))).boxed_unsync()
}
