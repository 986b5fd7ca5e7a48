//! The OpenAI endpoints, and Anthropic's messages, in vLLM's words.

mod errors;
mod filler;
mod generation;
mod lora;
mod messages;
mod models;
mod orca;
mod prompt;
mod request;
mod response;
mod stream;
mod tokenize;
mod tool;

pub(crate) use errors::{fault_status, not_found, too_large};
pub(crate) use lora::{load_lora, unload_lora};
pub(crate) use messages::count_tokens;
pub(crate) use models::{models, version};
pub(crate) use request::Endpoint;
pub(crate) use stream::SseStream;
pub(crate) use tokenize::tokenize;

use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;

use self::errors::ApiError;
use self::generation::Generation;
use self::request::CompletionRequest;
use super::faults::Faults;
use super::reply::Reply;
use super::shared::Shared;

/// Answers a completion.
pub(crate) async fn complete(
    shared: &Arc<Shared>,
    endpoint: Endpoint,
    parts: &Parts,
    body: &[u8],
    faults: &Faults,
) -> Reply {
    let request = match CompletionRequest::read(endpoint, parts, body) {
        Ok(request) => request,
        Err(error) => return error.reply_at(endpoint),
    };
    if faults.drain {
        return ApiError::shutting_down().reply_at(endpoint);
    }
    let (stream, include_usage, continuous_usage) = (
        request.stream,
        request.include_usage,
        request.continuous_usage,
    );
    let generation = if faults.sse_error {
        Err(ApiError::busy())
    } else {
        Generation::start(shared, endpoint, &request)
    };
    let mut generation = match generation {
        Ok(generation) => generation,
        // vLLM has sent its headers by then: the client sees status 200.
        Err(error) if stream && error.status == StatusCode::SERVICE_UNAVAILABLE => {
            return error.event_reply(endpoint);
        }
        Err(error) => return error.reply_at(endpoint),
    };
    if stream {
        return Reply::stream(SseStream::new(generation, include_usage, continuous_usage));
    }
    match generation.finished().await {
        Ok(()) => {
            let body = match endpoint {
                Endpoint::Messages => messages::finished(&generation),
                Endpoint::Chat | Endpoint::Completions => response::finished(&generation),
            };
            orca::report(shared, parts, Reply::json(StatusCode::OK, body))
        }
        Err(error) => error.reply_at(endpoint),
    }
}
