//! What each path answers.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;

use super::debug;
use crate::{discovery::ConfigState, hub::Hub, shutdown::Shutdown, telemetry::series::Series};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers requests from what the agent knows.
#[derive(Debug)]
pub struct Admin {
    hub: Arc<Hub>,
    config: Arc<ArcSwap<ConfigState>>,
    shutdown: Shutdown,
    former_names: bool,
}

struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: String,
}

impl Answer {
    fn text(status: StatusCode, body: impl Into<String>) -> Self {
        Self {
            status,
            content_type: TEXT,
            body: body.into(),
        }
    }
}

impl Admin {
    /// Answers about this hub and configuration.
    #[must_use]
    pub const fn new(hub: Arc<Hub>, config: Arc<ArcSwap<ConfigState>>, shutdown: Shutdown) -> Self {
        Self {
            hub,
            config,
            shutdown,
            former_names: false,
        }
    }

    /// Writes the reference's former names of metrics too, if `wanted`.
    #[must_use]
    pub const fn with_former_names(mut self, wanted: bool) -> Self {
        self.former_names = wanted;
        self
    }

    /// The response to a request, whose body is never looked at.
    pub fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let answer = match *request.method() {
            Method::GET | Method::HEAD => self.route(request.uri().path()),
            _ => Answer::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"),
        };
        let mut response = Response::new(Full::from(answer.body));
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        let content_type = header::HeaderValue::from_static(answer.content_type);
        headers.insert(header::CONTENT_TYPE, content_type);
        let no_store = header::HeaderValue::from_static("no-store");
        headers.insert(header::CACHE_CONTROL, no_store);
        if answer.status == StatusCode::METHOD_NOT_ALLOWED {
            let allowed = header::HeaderValue::from_static("GET, HEAD");
            headers.insert(header::ALLOW, allowed);
        }
        response
    }

    fn route(&self, path: &str) -> Answer {
        match path {
            "/metrics" => self.metrics(),
            "/healthz" => Answer::text(StatusCode::OK, "ok\n"),
            "/readyz" => self.readiness(),
            "/debug/pools" => self.pools(),
            "/" => Answer::text(
                StatusCode::OK,
                "zerohop-agent: /metrics /healthz /readyz /debug/pools\n",
            ),
            _ => Answer::text(StatusCode::NOT_FOUND, "not found\n"),
        }
    }

    fn metrics(&self) -> Answer {
        let now = self.hub.clock.now();
        let pools = self.hub.index().view(now);
        let models = self.hub.models();
        let series = Series {
            pools: &pools,
            models: &models,
            former_names: self.former_names,
            now,
        };
        match self.hub.telemetry.render(series) {
            Ok(body) => Answer {
                status: StatusCode::OK,
                content_type: OPEN_METRICS,
                body,
            },
            Err(error) => Answer::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("cannot write the metrics: {error}\n"),
            ),
        }
    }

    /// Ready: the configuration that the file holds is in force, and every endpoint was tried, so
    /// that what gateways get is the whole picture.
    fn readiness(&self) -> Answer {
        let mut reasons = Vec::new();
        if self.shutdown.is_requested() {
            reasons.push("the agent is stopping".to_owned());
        }
        let config = self.config.load();
        if !config.mistakes.is_empty() {
            reasons.push(format!(
                "the configuration file was refused ({} mistakes), an older one is in force",
                config.mistakes.len()
            ));
        }
        if let Some(resources) = &config.resources {
            if resources.taken == 0 {
                reasons.push("the resources were not read yet".to_owned());
            }
            if resources.strict && !resources.mistakes.is_empty() {
                let mistakes = resources.mistakes.len();
                reasons.push(format!("the resources have {mistakes} mistakes"));
            }
        }
        if !self.hub.index().all_attempted() {
            reasons.push("not every endpoint was scraped once".to_owned());
        }
        if reasons.is_empty() {
            return Answer::text(StatusCode::OK, "ready\n");
        }
        reasons.push(String::new());
        Answer::text(StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n"))
    }

    fn pools(&self) -> Answer {
        let now = self.hub.clock.now();
        let pools = self.hub.index().view(now);
        let config = self.config.load();
        let policies = self.hub.policies();
        match serde_json::to_string_pretty(&debug::page(&pools, &policies, &config, now)) {
            Ok(body) => Answer {
                status: StatusCode::OK,
                content_type: JSON,
                body,
            },
            Err(error) => Answer::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("cannot write JSON: {error}\n"),
            ),
        }
    }
}
