//! How a pod answers.

use std::{
    convert::Infallible,
    sync::Arc,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_stream::StreamExt;
use xxhash_rust::xxh64::Xxh64;

use super::{Recorded, Shared, lock};

/// What a pod does with a request once it has read it.
#[derive(Debug, Clone, Default)]
pub enum Answer {
    /// 200 at once, with what was received.
    #[default]
    Echo,
    /// 200 after a while.
    Late(Duration),
    /// Another status at once.
    Status(u16),
    /// 200 once [`super::Pod::release`] is called.
    Hold,
    /// Nothing, ever, as a frozen process.
    Hang,
    /// The connection is cut without an answer.
    Cut,
    /// An event stream of `chunks` events, `gap` apart.
    Stream {
        /// Events before `[DONE]`.
        chunks: u32,
        /// Time between them.
        gap: Duration,
    },
    /// As an engine: says which model it was asked for, as a document or as events, as the request
    /// wants it, in pieces of so many bytes.
    Speak {
        /// Bytes of a piece.
        piece: usize,
    },
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The cause of a cut connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("cut on purpose")]
    Cut,
    #[error("the request broke off: {0}")]
    Request(#[from] hyper::Error),
}

pub(super) async fn respond(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Body>, Unanswered> {
    let behaviour = lock(&shared.behaviour).clone();
    match request.uri().path() {
        "/metrics" => {
            shared.scrapes.fetch_add(1, Ordering::Relaxed);
            let page = behaviour.metrics.page();
            act(
                &behaviour.metrics_answer,
                page,
                "text/plain; version=1.0.0",
                &shared,
            )
            .await
        }
        "/v1/models" if request.method() == http::Method::GET => {
            let models = behaviour.metrics.models();
            act(
                &behaviour.metrics_answer,
                models,
                "application/json",
                &shared,
            )
            .await
        }
        "/health" => {
            act(
                &behaviour.metrics_answer,
                String::new(),
                "text/plain",
                &shared,
            )
            .await
        }
        _ => {
            shared.requests.fetch_add(1, Ordering::Relaxed);
            let speaks = matches!(behaviour.answer, Answer::Speak { .. });
            let (mut recorded, body) = read(request, speaks).await?;
            if let Answer::Speak { piece } = behaviour.answer {
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                recorded.model = body.get("model").and_then(Value::as_str).map(str::to_owned);
                lock(&shared.recorded).push(recorded);
                return Ok(speech(&body, piece));
            }
            let echo = format!(
                r#"{{"bytes":{},"digest":"{:016x}"}}"#,
                recorded.bytes, recorded.digest
            );
            lock(&shared.recorded).push(recorded);
            act(&behaviour.answer, echo, "application/json", &shared).await
        }
    }
}

async fn act(
    answer: &Answer,
    text: String,
    content_type: &'static str,
    shared: &Shared,
) -> Result<Response<Body>, Unanswered> {
    let mut released = shared.released.subscribe();
    released.mark_unchanged();
    let status = match answer {
        Answer::Echo => 200,
        Answer::Late(wait) => {
            sleep(*wait).await;
            200
        }
        Answer::Status(status) => *status,
        Answer::Hold => {
            // The sender lives as long as the pod; if it is gone the answer does not matter.
            released.changed().await.ok();
            200
        }
        Answer::Hang => std::future::pending().await,
        Answer::Cut => return Err(Unanswered::Cut),
        Answer::Stream { chunks, gap } => return Ok(events(*chunks, *gap)),
        // Of scrapes: there is no request to speak about.
        Answer::Speak { .. } => 200,
    };
    let mut response = Response::new(Full::new(Bytes::from(text)).boxed_unsync());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    Ok(response)
}

fn events(chunks: u32, gap: Duration) -> Response<Body> {
    let numbered = tokio_stream::iter(0..chunks).then(move |number| async move {
        sleep(gap).await;
        format!("data: {{\"choices\":[{{\"index\":0,\"text\":\"token {number}\"}}]}}\n\n")
    });
    let done = tokio_stream::once("data: [DONE]\n\n".to_owned());
    let frames = numbered
        .chain(done)
        .map(|text| Ok(Frame::data(Bytes::from(text))));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response.headers_mut().insert(
        CONTENT_TYPE,
        http::HeaderValue::from_static("text/event-stream"),
    );
    response
}

/// What an engine says to `request`; the words look like a model's name themselves.
#[must_use]
pub fn words(request: &Value, model: &str) -> String {
    let text = r#"{"model":"words"},"model":"words""#;
    let document =
        json!({"id": "x", "model": model, "choices": [{"text": text, "model": "inner"}]});
    let of_response = json!({"type": "response.created", "response": {"model": model}});
    let of_message = json!({"type": "message_start", "message": {"role": "a", "model": model}});
    if is_streamed(request) {
        let events = [document.clone(), of_response, of_message, document];
        let events = events.map(|event| format!("data: {event}\n\n"));
        format!("{}data: [DONE]\n\n", events.concat())
    } else {
        document.to_string()
    }
}

fn is_streamed(request: &Value) -> bool {
    request.get("stream") == Some(&Value::Bool(true))
}

fn speech(request: &Value, piece: usize) -> Response<Body> {
    let text = Bytes::from(words(
        request,
        request
            .get("model")
            .and_then(Value::as_str)
            .unwrap_or_default(),
    ));
    let length = text.len();
    let pieces = (0..length).step_by(piece.max(1)).map(move |start| {
        let end = start.saturating_add(piece).min(length);
        text.slice(start..end)
    });
    let frames = tokio_stream::iter(pieces).then(|piece| async move {
        // So that pieces do not travel together.
        tokio::task::yield_now().await;
        Ok(Frame::data(piece))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let streamed = is_streamed(request);
    let media_type = if streamed {
        "text/event-stream"
    } else {
        "application/json"
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(media_type));
    if !streamed {
        headers.insert(http::header::CONTENT_LENGTH, length.into());
    }
    response
}

async fn read(request: Request<Incoming>, keep: bool) -> Result<(Recorded, Vec<u8>), hyper::Error> {
    let mut kept = Vec::new();
    let (head, mut body) = request.into_parts();
    let mut hash = Xxh64::new(0);
    let mut recorded = Recorded {
        at: Instant::now(),
        head,
        bytes: 0,
        digest: 0,
        model: None,
        trailers: 0,
    };
    while let Some(frame) = body.frame().await {
        let frame = frame?;
        if let Some(data) = frame.data_ref() {
            hash.update(data);
            if keep {
                kept.extend_from_slice(data);
            }
            recorded.bytes += data.len() as u64;
        } else if let Some(trailers) = frame.trailers_ref() {
            recorded.trailers = trailers.len();
        }
    }
    recorded.digest = hash.digest();
    Ok((recorded, kept))
}
