//! A client that accounts for every request: exactly one outcome each, and who answered it.

mod load;
mod request;

use std::{net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client as Pooled, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::{Instant, timeout};

pub use load::{Load, LoadReport, Outcome};
pub use request::{ClientBody, RequestSpec};

use super::config::{ATTEMPTS_HEADER, UPSTREAM_HEADER};

/// The protocol a client speaks to Envoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// A client with its own pool of connections.
#[derive(Debug, Clone)]
pub struct Client {
    pool: Pooled<HttpConnector, ClientBody>,
    target: SocketAddr,
    limit: Duration,
}

/// A complete response.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// Time to the first byte of the body, which is the time to the first token of a stream.
    pub first_byte: Duration,
    /// Time to its end.
    pub total: Duration,
}

/// Why there is no complete response.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// None in time.
    #[error("no complete response within {0:?}")]
    TimedOut(Duration),
    /// The connection or the stream broke.
    #[error("{0}")]
    Broken(String),
}

impl Response {
    /// The endpoint that answered, as Envoy saw it.
    #[must_use]
    pub fn upstream(&self) -> Option<SocketAddr> {
        self.header(UPSTREAM_HEADER)?.parse().ok()
    }

    /// How many attempts it took.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.header(ATTEMPTS_HEADER)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    }

    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// A client for one target.
    #[must_use]
    pub fn new(target: SocketAddr, protocol: Protocol) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let pool = Pooled::builder(TokioExecutor::new())
            .http2_only(protocol == Protocol::Http2)
            .http2_adaptive_window(true)
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(64)
            .build(connector);
        Self {
            pool,
            target,
            limit: Duration::from_secs(30),
        }
    }

    /// The same client with another limit on the whole exchange.
    #[must_use]
    pub const fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sends one request and reads its whole response.
    ///
    /// # Errors
    /// When there is no complete response; a response of any status is none of them.
    pub async fn send(&self, spec: RequestSpec) -> Result<Response, Failure> {
        let start = Instant::now();
        let exchange = async {
            let request = spec.build(self.target).map_err(broken)?;
            let response = self.pool.request(request).await.map_err(broken)?;
            let (head, mut incoming) = response.into_parts();
            let mut body = BytesMut::new();
            let mut first_byte = None;
            while let Some(frame) = incoming.frame().await {
                if let Ok(data) = frame.map_err(broken)?.into_data() {
                    first_byte.get_or_insert_with(|| start.elapsed());
                    body.extend_from_slice(&data);
                }
            }
            Ok(Response {
                status: head.status,
                headers: head.headers,
                body: body.freeze(),
                first_byte: first_byte.unwrap_or_else(|| start.elapsed()),
                total: start.elapsed(),
            })
        };
        timeout(self.limit, exchange)
            .await
            .unwrap_or(Err(Failure::TimedOut(self.limit)))
    }
}

/// The whole chain of causes, because the first words of a client error are "client error".
fn broken(error: impl std::error::Error) -> Failure {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    Failure::Broken(text)
}
