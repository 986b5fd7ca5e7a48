//! From method and path to a handler, with the faults in between.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::ALLOW;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::api::{self, Endpoint};
use super::connection::Connection;
use super::control;
use super::echo;
use super::exchange::{Exchange, Kind};
use super::faults::{Faults, MetricsFault, Reset};
use super::incoming::{BodyEnd, Keep, Received, receive};
use super::reply::{Reply, ReplyBody};
use super::shared::Shared;
use super::stats::StatsCounter;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Health,
    Version,
    ServerLoad,
    Models,
    Metrics,
    Control,
    Complete(Endpoint),
    LoadLora,
    UnloadLora,
    Tokenize,
    CountTokens,
    NotFound,
    WrongMethod(&'static str),
    Echo,
}

impl Route {
    fn of(method: &Method, path: &str, control: bool) -> Route {
        let only = |wanted: Method, route: Route, allow: &'static str| {
            if *method == wanted {
                route
            } else {
                Route::WrongMethod(allow)
            }
        };
        match path {
            "/health" | "/ping" => Route::Health,
            "/version" => only(Method::GET, Route::Version, "GET"),
            "/load" => only(Method::GET, Route::ServerLoad, "GET"),
            "/metrics" => Route::Metrics,
            "/v1/models" => only(Method::GET, Route::Models, "GET"),
            "/v1/chat/completions" => only(Method::POST, Route::Complete(Endpoint::Chat), "POST"),
            "/v1/completions" => only(Method::POST, Route::Complete(Endpoint::Completions), "POST"),
            "/v1/load_lora_adapter" => only(Method::POST, Route::LoadLora, "POST"),
            "/v1/unload_lora_adapter" => only(Method::POST, Route::UnloadLora, "POST"),
            "/v1/messages" => only(Method::POST, Route::Complete(Endpoint::Messages), "POST"),
            "/v1/messages/count_tokens" => only(Method::POST, Route::CountTokens, "POST"),
            "/tokenize" => only(Method::POST, Route::Tokenize, "POST"),
            path if path.starts_with("/sim/") && control => Route::Control,
            path if path.starts_with("/v1/") => Route::NotFound,
            _ => Route::Echo,
        }
    }

    fn kind(self) -> Kind {
        match self {
            Route::Health | Route::Version | Route::ServerLoad | Route::Models | Route::Metrics => {
                Kind::Probe
            }
            Route::Control => Kind::Control,
            Route::Complete(_)
            | Route::LoadLora
            | Route::UnloadLora
            | Route::Tokenize
            | Route::CountTokens
            | Route::NotFound
            | Route::WrongMethod(_)
            | Route::Echo => Kind::Api,
        }
    }

    /// The handler label of the `http_*` metrics; `None` where vLLM does not count requests.
    fn handler(self) -> Option<&'static str> {
        match self {
            Route::Models => Some("/v1/models"),
            Route::Complete(Endpoint::Chat) => Some("/v1/chat/completions"),
            Route::Complete(Endpoint::Completions) => Some("/v1/completions"),
            Route::LoadLora => Some("/v1/load_lora_adapter"),
            Route::UnloadLora => Some("/v1/unload_lora_adapter"),
            Route::Complete(Endpoint::Messages) => Some("/v1/messages"),
            Route::CountTokens => Some("/v1/messages/count_tokens"),
            Route::Tokenize => Some("/tokenize"),
            Route::NotFound | Route::WrongMethod(_) | Route::Echo => Some("none"),
            Route::Health
            | Route::Version
            | Route::ServerLoad
            | Route::Metrics
            | Route::Control => None,
        }
    }
}

/// Answers one request.
pub(crate) async fn handle(
    shared: Arc<Shared>,
    connection: Arc<Connection>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<ReplyBody>, Infallible> {
    let route = Route::of(
        request.method(),
        request.uri().path(),
        shared.config.control,
    );
    let mut exchange = Exchange::begin(
        &shared,
        &connection,
        route.kind(),
        route.handler(),
        request.method(),
    );
    let reply = match route.kind() {
        Kind::Probe => probe(&shared, route, request.method()).await,
        Kind::Control => control::answer(&shared, request).await,
        Kind::Api => {
            let faults = shared.faults();
            let reply = api_request(&shared, &mut exchange, route, peer, request, &faults).await;
            let cut = shared.resets(Reset::Body, &faults);
            return Ok(reply.into_response(exchange, cut));
        }
    };
    Ok(reply.into_response(exchange, false))
}

async fn probe(shared: &Arc<Shared>, route: Route, method: &Method) -> Reply {
    match route {
        Route::Health => {
            let status = shared
                .faults()
                .health_status
                .and_then(|s| StatusCode::from_u16(s).ok());
            Reply::empty(status.unwrap_or(StatusCode::OK))
        }
        Route::Version => api::version(shared),
        Route::ServerLoad => Reply::json(StatusCode::OK, r#"{"server_load":0}"#),
        Route::Models => api::models(shared),
        _ => metrics(shared, method).await,
    }
}

const PAGE_TYPE: &str = "text/plain; version=1.0.0; charset=utf-8";
const HEAD_PAGE_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

async fn metrics(shared: &Arc<Shared>, method: &Method) -> Reply {
    StatsCounter::add(&shared.stats.scrapes, 1);
    let faults = shared.faults();
    if faults.metrics_delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(faults.metrics_delay_ms)).await;
    }
    match faults.metrics {
        MetricsFault::None if method == Method::HEAD => {
            Reply::new(StatusCode::OK, HEAD_PAGE_TYPE, shared.metrics_page())
        }
        MetricsFault::None => Reply::new(StatusCode::OK, PAGE_TYPE, shared.metrics_page()),
        MetricsFault::Frozen => {
            let page = shared
                .frozen_page()
                .unwrap_or_else(|| shared.metrics_page());
            Reply::new(StatusCode::OK, PAGE_TYPE, page)
        }
        MetricsFault::Garbage => Reply::new(StatusCode::OK, PAGE_TYPE, garbage().into()),
        MetricsFault::Empty => Reply::new(StatusCode::OK, PAGE_TYPE, bytes::Bytes::new()),
        MetricsFault::Error => {
            Reply::bare(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
        }
        MetricsFault::Hang => pending().await,
    }
}

/// Bytes that begin like metrics and then are none: no UTF-8, unclosed labels, no final newline.
fn garbage() -> Vec<u8> {
    let mut text = b"# TYPE vllm:num_requests_waiting gauge\n\
        vllm:num_requests_waiting{engine=\"0\",model_name=\"x\n\
        vllm:num_requests_running{} many\n\xff\xfe\x00"
        .to_vec();
    text.extend((0..4_096u32).map(|position| (position * 37 % 251) as u8));
    text
}

async fn api_request(
    shared: &Arc<Shared>,
    exchange: &mut Exchange,
    route: Route,
    peer: SocketAddr,
    request: Request<Incoming>,
    faults: &Faults,
) -> Reply {
    if shared.resets(Reset::Request, faults) {
        return reset(exchange).await;
    }
    let keep = match route {
        Route::Complete(_)
        | Route::LoadLora
        | Route::UnloadLora
        | Route::Tokenize
        | Route::CountTokens => Keep::UpTo(shared.config.max_body_bytes),
        _ => Keep::Nothing,
    };
    let received = receive(request, keep).await;
    exchange.request_bytes = received.record.body_bytes;
    let end = received.end;
    if end != BodyEnd::Complete {
        shared.stats.record_request(received.record);
        return match end {
            BodyEnd::TooLarge => api::too_large(shared.config.max_body_bytes),
            // Nobody reads it, but hyper waits for an answer before it closes the connection.
            _ => {
                exchange.client_left();
                Reply::empty(StatusCode::BAD_REQUEST)
            }
        };
    }
    if shared.resets(Reset::Response, faults) {
        shared.stats.record_request(received.record);
        return reset(exchange).await;
    }
    let reply = respond(shared, route, peer, received, faults).await;
    if faults.first_byte_delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(faults.first_byte_delay_ms)).await;
    }
    reply
}

async fn respond(
    shared: &Arc<Shared>,
    route: Route,
    peer: SocketAddr,
    received: Received,
    faults: &Faults,
) -> Reply {
    let Received {
        parts,
        body,
        record,
        ..
    } = received;
    let echo = (route == Route::Echo).then(|| echo::answer(shared, peer, &record));
    shared.stats.record_request(record);
    if let Some(status) = faults
        .status
        .and_then(|status| StatusCode::from_u16(status).ok())
        && shared.dice.hits(faults.status_probability)
    {
        return api::fault_status(status);
    }
    match route {
        Route::Complete(endpoint) => api::complete(shared, endpoint, &parts, &body, faults).await,
        Route::LoadLora => {
            tokio::time::sleep(shared.config.lora_registration).await;
            api::load_lora(shared, &parts, &body)
        }
        Route::UnloadLora => api::unload_lora(shared, &parts, &body),
        Route::CountTokens => api::count_tokens(&parts, &body),
        Route::Tokenize => api::tokenize(shared, &parts, &body),
        Route::WrongMethod(allow) => Reply::json(
            StatusCode::METHOD_NOT_ALLOWED,
            r#"{"detail":"Method Not Allowed"}"#,
        )
        .header(ALLOW, HeaderValue::from_static(allow)),
        Route::Echo => echo.unwrap_or_else(api::not_found),
        _ => api::not_found(),
    }
}

/// Resets the connection; the exchange ends when the connection is dropped.
async fn reset(exchange: &Exchange) -> Reply {
    exchange.connection().reset();
    pending().await
}
