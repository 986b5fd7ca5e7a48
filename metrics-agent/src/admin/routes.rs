//! What each path answers.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use http_body_util::{Either, Full, StreamBody};
use prost::Message as _;

use super::{Readiness, debug};
use crate::{
    discovery::ConfigState,
    explain,
    hub::Hub,
    page,
    shutdown::Shutdown,
    status::{Events, Watcher},
    telemetry::series::Series,
};

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";
const EVENTS: &str = "text/event-stream";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// For every answer: nothing is kept, guessed, framed or run that does not come from here.
const HEADERS: [(HeaderName, &str); 4] = [
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CONTENT_SECURITY_POLICY, page::POLICY),
];

/// The body of an answer: a whole, or events without an end.
pub type Body = Either<Full<Bytes>, StreamBody<Events>>;

/// Answers requests from what the agent knows.
#[derive(Debug)]
pub struct Admin {
    hub: Arc<Hub>,
    config: Arc<ArcSwap<ConfigState>>,
    shutdown: Shutdown,
    readiness: Readiness,
    watcher: Arc<Watcher>,
    former_names: bool,
}

struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: Body,
}

impl Answer {
    fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            ..Self::ok(TEXT, body)
        }
    }

    fn ok(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type,
            body: Body::Left(Full::new(body.into())),
        }
    }

    fn json(written: Result<String, serde_json::Error>) -> Self {
        match written {
            Ok(body) => Self::ok(JSON, body),
            Err(error) => Self::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("cannot write JSON: {error}\n"),
            ),
        }
    }
}

impl Admin {
    /// Answers about this hub and configuration.
    #[must_use]
    pub fn new(hub: Arc<Hub>, config: Arc<ArcSwap<ConfigState>>, shutdown: Shutdown) -> Self {
        let readiness = Readiness::new(Arc::clone(&hub), Arc::clone(&config), shutdown.clone());
        Self {
            watcher: Arc::new(Watcher::new(Arc::clone(&hub), readiness.clone())),
            hub,
            config,
            shutdown,
            readiness,
            former_names: false,
        }
    }

    /// Writes the reference's former names of metrics too, if `wanted`.
    #[must_use]
    pub fn with_former_names(mut self, wanted: bool) -> Self {
        self.former_names = wanted;
        self
    }

    /// Who keeps the history; it has to run.
    #[must_use]
    pub fn watcher(&self) -> Arc<Watcher> {
        Arc::clone(&self.watcher)
    }

    /// The response to a request, whose body is never looked at.
    pub fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        let answer = match *request.method() {
            Method::GET | Method::HEAD => self.route(request.uri().path()),
            _ => Answer::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n"),
        };
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
        for (name, value) in HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if answer.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }

    fn route(&self, path: &str) -> Answer {
        match path {
            "/metrics" => self.metrics(),
            "/healthz" => Answer::text(StatusCode::OK, "ok\n"),
            "/readyz" => self.readiness(),
            "/debug/pools" => self.pools(),
            "/debug/status" => Answer::json(serde_json::to_string(&self.watcher.whole())),
            "/debug/snapshot" => Answer::ok(BYTES, explain::dump(&self.hub).encode_to_vec()),
            "/events" => self.events(),
            _ => match page::asset(path) {
                Some(asset) => Answer::ok(asset.content_type, asset.body),
                None => Answer::text(StatusCode::NOT_FOUND, "not found\n"),
            },
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
            Ok(body) => Answer::ok(OPEN_METRICS, body),
            Err(error) => Answer::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("cannot write the metrics: {error}\n"),
            ),
        }
    }

    fn readiness(&self) -> Answer {
        let mut reasons = self.readiness.reasons();
        if reasons.is_empty() {
            return Answer::text(StatusCode::OK, "ready\n");
        }
        reasons.push(String::new());
        Answer::text(StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n"))
    }

    fn events(&self) -> Answer {
        match self.watcher.events(self.shutdown.clone()) {
            Some(events) => Answer {
                status: StatusCode::OK,
                content_type: EVENTS,
                body: Body::Right(StreamBody::new(events)),
            },
            None => Answer::text(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many viewers watch already\n",
            ),
        }
    }

    fn pools(&self) -> Answer {
        let now = self.hub.clock.now();
        let pools = self.hub.index().view(now);
        let config = self.config.load();
        let policies = self.hub.policies();
        let page = debug::page(&pools, &policies, &config, now);
        Answer::json(serde_json::to_string_pretty(&page))
    }
}
