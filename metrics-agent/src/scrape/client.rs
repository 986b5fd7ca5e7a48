//! Fetches pages over pooled keep-alive connections, within hard limits.
//!
//! No redirects, no proxies and no decompression by construction: the client has no code for them.
//! A page is read as it arrives, so that a scrape holds one chunk of it at a time and an endless
//! body costs no more memory than an honest one. There is no limit on scrapes at a time: with one
//! per endpoint it would only let slow servers delay the others.

use std::{error::Error, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, Request, Response, StatusCode,
    header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use super::{
    Dialect, ScrapeError, ScrapeTarget, Scraped,
    error::{ScrapeFailure, io_cause, with_causes},
    exposition::{Flow, PageLimits},
};
use crate::api_key::ApiKey;

/// What every scrape keeps to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// The longest wait for a connection.
    pub connect_timeout: Duration,
    /// The longest time for a whole scrape, connection included.
    pub timeout: Duration,
    /// How long an unused connection is kept. uvicorn closes its side after 5.0 s, so this must
    /// stay below.
    pub idle_timeout: Duration,
    /// Limits on the page.
    pub limits: PageLimits,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_millis(200),
            timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(4),
            limits: PageLimits::default(),
        }
    }
}

/// Fetches and reads pages. Cheap to clone; clones share the connections.
#[derive(Debug, Clone)]
pub struct ScrapeClient {
    http: legacy::Client<HttpConnector, Empty<Bytes>>,
    api_key: ApiKey,
    config: Arc<ClientConfig>,
}

/// What kind of body is expected.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    pub(super) accept: &'static str,
    /// Accepted media types; a missing content type is accepted too.
    pub(super) types: &'static [&'static str],
    pub(super) body_bytes: usize,
    pub(super) described: &'static str,
}

/// Bytes that a connection may buffer: a page of vLLM in one piece.
const CONNECTION_BUFFER_BYTES: usize = 128 * 1024;

impl ScrapeClient {
    /// A client without connections; must be used inside a tokio runtime.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(config.connect_timeout));
        connector.set_nodelay(true);
        let http = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.idle_timeout)
            .pool_max_idle_per_host(1)
            .http1_max_buf_size(CONNECTION_BUFFER_BYTES)
            .build(connector);
        Self {
            http,
            api_key: ApiKey::default(),
            config: Arc::new(config),
        }
    }

    /// The same with a key for the engines.
    #[must_use]
    pub fn with_api_key(mut self, api_key: ApiKey) -> Self {
        self.api_key = api_key;
        self
    }

    /// Fetches one metrics page and reads it in `dialect`.
    ///
    /// # Errors
    /// When no whole page of the right kind came in time; see [`ScrapeFailure`]. A page that came
    /// but says little or nonsense is no error: see [`Scraped::problems`].
    pub async fn scrape(
        &self,
        target: &ScrapeTarget,
        dialect: &Dialect,
    ) -> Result<Scraped, ScrapeError> {
        let expected = Expected {
            accept: "text/plain;version=0.0.4, text/plain;version=1.0.0;q=0.9, text/plain;q=0.5",
            types: &["text/plain", "application/openmetrics-text"],
            body_bytes: self.config.limits.body_bytes,
            described: "text/plain or application/openmetrics-text",
        };
        let mut reader = dialect.reader(self.config.limits);
        let complete = self
            .fetch(target, expected, |chunk| reader.push(chunk))
            .await?;
        Ok(reader.finish(complete))
    }

    /// Fetches a body and hands it to `sink` chunk by chunk; true when the body is known to have
    /// come whole.
    pub(super) async fn fetch(
        &self,
        target: &ScrapeTarget,
        expected: Expected,
        sink: impl FnMut(&[u8]) -> Flow,
    ) -> Result<bool, ScrapeError> {
        let limit = self.config.timeout;
        let fetched = tokio::time::timeout(limit, self.exchange(target, expected, sink)).await;
        fetched
            .unwrap_or(Err(ScrapeFailure::Timeout(limit)))
            .map_err(|failure| ScrapeError {
                url: Arc::clone(&target.url),
                failure,
            })
    }

    async fn exchange(
        &self,
        target: &ScrapeTarget,
        expected: Expected,
        mut sink: impl FnMut(&[u8]) -> Flow,
    ) -> Result<bool, ScrapeFailure> {
        let response = match self.request(target, expected).await {
            // The server closed the pooled connection while the request was on its way.
            Err(error) if went_stale(&error) => self.request(target, expected).await,
            other => other,
        };
        let response = response.map_err(|error| self.connect_failure(&error))?;
        check_head(&response, expected)?;
        let framed = is_framed(response.headers());
        let mut body = Limited::new(response.into_body(), expected.body_bytes);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| body_failure(error.as_ref(), expected))?;
            let chunk = frame.into_data().unwrap_or_default();
            if sink(&chunk) == Flow::Stop {
                return Ok(false);
            }
        }
        Ok(framed)
    }

    async fn request(
        &self,
        target: &ScrapeTarget,
        expected: Expected,
    ) -> Result<Response<Incoming>, legacy::Error> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = target.uri.clone();
        request
            .headers_mut()
            .insert(ACCEPT, http::HeaderValue::from_static(expected.accept));
        self.api_key.add_to(request.headers_mut());
        self.http.request(request).await
    }

    fn connect_failure(&self, error: &legacy::Error) -> ScrapeFailure {
        let io = io_cause(error).map(io::Error::kind);
        match (error.is_connect(), io) {
            (true, Some(io::ErrorKind::ConnectionRefused)) => ScrapeFailure::Refused,
            (true, Some(io::ErrorKind::TimedOut)) => {
                ScrapeFailure::ConnectTimeout(self.config.connect_timeout)
            }
            (true, _) => ScrapeFailure::Unreachable(with_causes(error)),
            (false, _) => ScrapeFailure::Broken(with_causes(error)),
        }
    }
}

/// Whether the exchange failed because the connection was closed before any answer came. A scrape
/// changes nothing, so it may be repeated.
fn went_stale(error: &legacy::Error) -> bool {
    let cause = error
        .source()
        .and_then(|source| source.downcast_ref::<hyper::Error>());
    let closed = cause.is_some_and(|cause| {
        cause.is_incomplete_message() || cause.is_closed() || cause.is_canceled()
    });
    let reset = io_cause(error).is_some_and(|io| {
        matches!(
            io.kind(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
        )
    });
    !error.is_connect() && (closed || reset)
}

fn check_head(response: &Response<Incoming>, expected: Expected) -> Result<(), ScrapeFailure> {
    if response.status() != StatusCode::OK {
        return Err(ScrapeFailure::Status(response.status().as_u16()));
    }
    let header = |name| {
        response
            .headers()
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
    };
    if let Some(encoding) = header(CONTENT_ENCODING)
        && !encoding.eq_ignore_ascii_case("identity")
    {
        return Err(ScrapeFailure::ContentEncoding(shortened(&encoding)));
    }
    if let Some(content_type) = header(CONTENT_TYPE) {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if !expected
            .types
            .iter()
            .any(|allowed| media_type.eq_ignore_ascii_case(allowed))
        {
            return Err(ScrapeFailure::ContentType(
                shortened(&content_type),
                expected.described,
            ));
        }
    }
    Ok(())
}

/// Whether the end of the body is marked, so that a body cut short is an error and not a shorter
/// page.
fn is_framed(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)
}

fn body_failure(error: &(dyn Error + 'static), expected: Expected) -> ScrapeFailure {
    if error.is::<LengthLimitError>() {
        ScrapeFailure::TooLarge(expected.body_bytes)
    } else {
        ScrapeFailure::Broken(with_causes(error))
    }
}

/// What a server sent, fit for a log line.
fn shortened(text: &str) -> String {
    text.chars()
        .take(64)
        .flat_map(char::escape_default)
        .collect()
}
