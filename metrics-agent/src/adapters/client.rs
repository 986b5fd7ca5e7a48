//! vLLM's runtime API for adapters.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Step;
use crate::api_key::ApiKey;

const CONNECT: Duration = Duration::from_secs(2);
/// An adapter may come from a slow store; the engine goes on serving meanwhile.
const LOAD: Duration = Duration::from_secs(300);
const UNLOAD: Duration = Duration::from_secs(30);
const MOST_BYTES: usize = 64 << 10;
/// Of an engine's message, which goes into a log.
const MOST_CHARS: usize = 200;

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// No answer.
    #[error("no answer: {0}")]
    Broken(String),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The engine said no.
    #[error("refused with {0}: {1}")]
    Refused(StatusCode, String),
}

/// Loads and unloads adapters. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AdapterClient {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    api_key: ApiKey,
}

impl AdapterClient {
    /// A client without connections that shows this key; must be used inside a tokio runtime.
    #[must_use]
    pub fn new(api_key: ApiKey) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let http = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            // A step is rare, and a connection that the server has closed costs a failed one.
            .pool_max_idle_per_host(0)
            .build(connector);
        Self { http, api_key }
    }

    /// Has the engine at `address` take a step.
    ///
    /// # Errors
    /// When it does not say that it has. It may have all the same: its list of models decides.
    pub async fn take(&self, address: SocketAddr, step: &Step) -> Result<(), AdapterError> {
        let (path, body, limit) = match step {
            Step::Load(adapter) => (
                "/v1/load_lora_adapter",
                json!({"lora_name": &*adapter.name, "lora_path": &*adapter.source}),
                LOAD,
            ),
            Step::Unload(name) => (
                "/v1/unload_lora_adapter",
                json!({"lora_name": &**name}),
                UNLOAD,
            ),
        };
        timeout(limit, self.post(address, path, &body))
            .await
            .unwrap_or(Err(AdapterError::Timeout(limit)))
    }

    async fn post(
        &self,
        address: SocketAddr,
        path: &str,
        body: &Value,
    ) -> Result<(), AdapterError> {
        let broken = |error: &dyn std::error::Error| AdapterError::Broken(error.to_string());
        let mut request = Request::post(format!("http://{address}{path}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body.to_string()))
            .map_err(|error| broken(&error))?;
        self.api_key.add_to(request.headers_mut());
        let response = self
            .http
            .request(request)
            .await
            .map_err(|error| broken(&error))?;
        let status = response.status();
        let answer = Limited::new(response.into_body(), MOST_BYTES)
            .collect()
            .await;
        if status.is_success() {
            return Ok(());
        }
        let text = answer.map_or_else(|error| error.to_string(), |body| message(&body.to_bytes()));
        Err(AdapterError::Refused(status, text))
    }
}

/// What an engine says, fit for a log line: the message of its error object, or the text.
fn message(body: &[u8]) -> String {
    let object: Option<Value> = serde_json::from_slice(body).ok();
    let message = object.as_ref().and_then(|object| {
        let place = object
            .pointer("/error/message")
            .or_else(|| object.get("detail"));
        place?.as_str()
    });
    let text = String::from_utf8_lossy(body);
    let text = message.unwrap_or(&text);
    text.chars()
        .take(MOST_CHARS)
        .flat_map(char::escape_default)
        .collect()
}
