//! What handlers answer with, and the response body that hyper sends.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, SERVER, VARY};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};

use super::api::SseStream;
use super::exchange::Exchange;

/// A handler's answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) content: Content,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Content {
    Full(Bytes),
    Stream(Box<SseStream>),
}

impl Reply {
    pub(crate) fn new(status: StatusCode, content_type: &'static str, body: Bytes) -> Self {
        let headers = vec![(CONTENT_TYPE, HeaderValue::from_static(content_type))];
        Reply {
            status,
            headers,
            content: Content::Full(body),
        }
    }

    pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Reply::new(status, "application/json", body.into())
    }

    pub(crate) fn empty(status: StatusCode) -> Self {
        Reply {
            status,
            headers: Vec::new(),
            content: Content::Full(Bytes::new()),
        }
    }

    /// A body without a content type, as Starlette sends plain strings here.
    pub(crate) fn bare(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Reply {
            status,
            headers: Vec::new(),
            content: Content::Full(body.into()),
        }
    }

    /// A complete event stream.
    pub(crate) fn events(body: impl Into<Bytes>) -> Self {
        Reply::new(StatusCode::OK, EVENT_STREAM, body.into())
    }

    pub(crate) fn stream(stream: SseStream) -> Self {
        let headers = vec![(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM))];
        Reply {
            status: StatusCode::OK,
            headers,
            content: Content::Stream(Box::new(stream)),
        }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The response for hyper. With `cut` the connection is reset after the first part.
    pub(crate) fn into_response(self, mut exchange: Exchange, cut: bool) -> Response<ReplyBody> {
        exchange.status = self.status.as_u16();
        let mut response = Response::new(());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(SERVER, HeaderValue::from_static("uvicorn"));
        if let Content::Full(body) = &self.content {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            if body.is_empty() {
                exchange.finish();
            }
        }
        headers.extend(self.headers);
        headers.insert(VARY, HeaderValue::from_static("Origin"));
        let cut = if cut { Cut::AfterFirstPart } else { Cut::Never };
        response.map(|()| ReplyBody {
            content: Some(self.content),
            exchange,
            cut,
        })
    }
}

const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Never,
    AfterFirstPart,
    Done,
}

/// A response's body; ends the exchange when it is dropped.
#[derive(Debug)]
pub(crate) struct ReplyBody {
    content: Option<Content>,
    exchange: Exchange,
    cut: Cut,
}

impl ReplyBody {
    /// Resets the connection once what was handed over so far had time to leave.
    fn cut_soon(&mut self) {
        self.cut = Cut::Done;
        let connection = Arc::clone(self.exchange.connection());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            connection.reset();
        });
    }

    fn hand_over(&mut self, part: Bytes) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.exchange.response_bytes += part.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(part))))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let cut = self.cut;
        if cut == Cut::Done {
            return Poll::Pending;
        }
        match &mut self.content {
            None => Poll::Ready(None),
            Some(Content::Full(body)) if cut == Cut::AfterFirstPart => {
                let half = body.split_to(body.len() / 2);
                self.cut_soon();
                self.hand_over(half)
            }
            Some(Content::Full(body)) => {
                let body = std::mem::take(body);
                self.content = None;
                self.exchange.finish();
                self.hand_over(body)
            }
            Some(Content::Stream(stream)) => match stream.poll_event(context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) => {
                    self.content = None;
                    self.exchange.finish();
                    Poll::Ready(None)
                }
                Poll::Ready(Some(event)) => {
                    if self.cut == Cut::AfterFirstPart {
                        self.cut_soon();
                    }
                    self.hand_over(event)
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            None => true,
            Some(Content::Full(body)) => body.is_empty(),
            Some(Content::Stream(_)) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Some(Content::Full(body)) => SizeHint::with_exact(body.len() as u64),
            Some(Content::Stream(_)) => SizeHint::default(),
            None => SizeHint::with_exact(0),
        }
    }
}
