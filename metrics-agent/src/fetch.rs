//! One GET from a running agent or Envoy, for the commands that look at them from outside.

use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

/// For a whole answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// More than the state of the largest pools.
const MAX_BYTES: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The address is none.
    #[error("`{0}` is no address, which looks like http://127.0.0.1:9090")]
    Address(String),
    /// Nobody answers there.
    #[error("no answer from {0}: {1}")]
    Silent(String, String),
    /// The answer is no success.
    #[error("{0} answered {1}")]
    Refused(String, http::StatusCode),
    /// The runtime did not start.
    #[error("cannot start the runtime: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Asks one admin endpoint, again and again.
#[derive(Debug)]
pub struct AdminClient {
    base: String,
    runtime: Runtime,
}

impl AdminClient {
    /// The admin endpoint at `base`, plain HTTP.
    ///
    /// # Errors
    /// When the runtime does not start.
    pub fn new(base: &str) -> Result<Self, FetchError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            runtime,
        })
    }

    /// What is at `path`.
    ///
    /// # Errors
    /// When there is no answer within five seconds, or none that is a success.
    pub fn get(&self, path: &str) -> Result<Bytes, FetchError> {
        let url = format!("{}{path}", self.base);
        let uri: Uri = url.parse().map_err(|_| FetchError::Address(url.clone()))?;
        if uri.scheme_str() != Some("http") || uri.authority().is_none() {
            return Err(FetchError::Address(self.base.clone()));
        }
        let silent = |why: &dyn std::fmt::Display| FetchError::Silent(url.clone(), why.to_string());
        self.runtime.block_on(async {
            let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
            let answer = async {
                let response = client.get(uri).await.map_err(|error| silent(&error))?;
                if !response.status().is_success() {
                    return Err(FetchError::Refused(url.clone(), response.status()));
                }
                let body = Limited::new(response.into_body(), MAX_BYTES);
                let body = body.collect().await.map_err(|error| silent(&error))?;
                Ok(body.to_bytes())
            };
            let answer = timeout(PATIENCE, answer).await;
            answer.unwrap_or_else(|_| Err(silent(&"it took longer than 5 s")))
        })
    }
}

/// Text of strangers for a terminal: control characters, which could command it, are replaced.
#[must_use]
pub fn printable(text: &str) -> String {
    let safe = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(safe).collect()
}
