//! The comparison that users have today: an endpoint picker behind `ext_proc`, in the body mode of
//! the Gateway API Inference Extension (`FULL_DUPLEX_STREAMED`). It only takes the hop: it waits for
//! the whole body as that picker does, looks at nothing, names the next endpoint in turn and sends
//! the body back.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;

use crate::rig::RigError;

/// As large as the reference's pieces of a body.
const PIECE_BYTES: usize = 62_000;

/// The part of `envoy.service.ext_proc.v3` that a picker needs.
mod proto {
    use bytes::Bytes;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct ProcessingRequest {
        #[prost(oneof = "Asked", tags = "2, 4, 6")]
        pub(super) request: Option<Asked>,
    }

    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(super) enum Asked {
        #[prost(message, tag = "2")]
        Headers(HttpHeaders),
        #[prost(message, tag = "4")]
        Body(HttpBody),
        #[prost(message, tag = "6")]
        Trailers(Nothing),
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct HttpHeaders {
        #[prost(bool, tag = "3")]
        pub(super) end_of_stream: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct HttpBody {
        #[prost(bytes = "bytes", tag = "1")]
        pub(super) body: Bytes,
        #[prost(bool, tag = "2")]
        pub(super) end_of_stream: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Nothing {}

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct ProcessingResponse {
        #[prost(oneof = "Answered", tags = "1, 3, 5")]
        pub(super) response: Option<Answered>,
    }

    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(super) enum Answered {
        #[prost(message, tag = "1")]
        Headers(Common),
        #[prost(message, tag = "3")]
        Body(Common),
        #[prost(message, tag = "5")]
        Trailers(Nothing),
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Common {
        #[prost(message, optional, tag = "1")]
        pub(super) response: Option<CommonResponse>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct CommonResponse {
        #[prost(message, optional, tag = "2")]
        pub(super) header_mutation: Option<HeaderMutation>,
        #[prost(message, optional, tag = "3")]
        pub(super) body_mutation: Option<BodyMutation>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct HeaderMutation {
        #[prost(message, repeated, tag = "1")]
        pub(super) set_headers: Vec<HeaderValueOption>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct HeaderValueOption {
        #[prost(message, optional, tag = "1")]
        pub(super) header: Option<HeaderValue>,
        #[prost(int32, tag = "3")]
        pub(super) append_action: i32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct HeaderValue {
        #[prost(string, tag = "1")]
        pub(super) key: String,
        #[prost(bytes = "bytes", tag = "3")]
        pub(super) raw_value: Bytes,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct BodyMutation {
        #[prost(message, optional, tag = "3")]
        pub(super) streamed_response: Option<HttpBody>,
    }
}

use proto::{Answered, Asked};

/// A running picker. Dropping it closes its port.
#[derive(Debug)]
pub struct ExtProcPicker {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl ExtProcPicker {
    /// Starts a picker that names these endpoints in turn.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(endpoints: Vec<SocketAddr>) -> Result<Self, RigError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(RigError::io("bind the ext_proc picker"))?;
        let address = listener
            .local_addr()
            .map_err(RigError::io("ask for the picker's address"))?;
        let turn = Arc::new((endpoints, AtomicUsize::new(0)));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).ok();
                let turn = Arc::clone(&turn);
                let service = service_fn(move |request| {
                    let turn = Arc::clone(&turn);
                    async move { Ok::<_, Infallible>(process(request, turn)) }
                });
                tokio::spawn(async move {
                    http2::Builder::new(TokioExecutor::new())
                        .initial_stream_window_size(4 << 20)
                        .initial_connection_window_size(16 << 20)
                        .max_concurrent_streams(10_000)
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .ok();
                });
            }
        });
        Ok(Self { address, task })
    }

    /// Where Envoy connects.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The HTTP filter that asks it, as an InferencePool's gateway has it, for requests only.
    #[must_use]
    pub fn filter(cluster: &str) -> Value {
        json!({"name": "envoy.filters.http.ext_proc", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
        "grpc_service": {"envoy_grpc": {"cluster_name": cluster}},
        "message_timeout": "10s",
        "processing_mode": {
            "request_header_mode": "SEND", "request_body_mode": "FULL_DUPLEX_STREAMED",
            "request_trailer_mode": "SEND",
            "response_header_mode": "SKIP", "response_body_mode": "NONE",
            "response_trailer_mode": "SKIP",
        }}})
    }
}

impl Drop for ExtProcPicker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Turn = Arc<(Vec<SocketAddr>, AtomicUsize)>;
type Frames = StreamBody<ReceiverStream<Result<Frame<Bytes>, Infallible>>>;

fn process(request: Request<Incoming>, turn: Turn) -> Response<Frames> {
    let (answers, frames) = mpsc::channel(16);
    tokio::spawn(async move {
        let mut inbound = request.into_body();
        let mut unread = BytesMut::new();
        let mut body = BytesMut::new();
        while let Some(Ok(frame)) = inbound.frame().await {
            let Ok(data) = frame.into_data() else { break };
            unread.extend_from_slice(&data);
            while let Some(message) = take(&mut unread) {
                let Ok(asked) = proto::ProcessingRequest::decode(message) else {
                    return;
                };
                for answer in answer(asked, &mut body, &turn) {
                    if answers
                        .send(Ok(Frame::data(framed(&answer))))
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
            }
        }
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        answers.send(Ok(Frame::trailers(trailers))).await.ok();
    });
    let mut response = Response::new(StreamBody::new(ReceiverStream::new(frames)));
    let grpc = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, grpc);
    response
}

/// What one message of Envoy is answered with.
fn answer(
    asked: proto::ProcessingRequest,
    body: &mut BytesMut,
    turn: &Turn,
) -> Vec<proto::ProcessingResponse> {
    match asked.request {
        Some(Asked::Headers(headers)) if headers.end_of_stream => vec![picked(turn)],
        // The whole body comes first, because the model and the prompt are in it.
        Some(Asked::Body(piece)) => {
            body.extend_from_slice(&piece.body);
            if !piece.end_of_stream {
                return Vec::new();
            }
            let mut answers = vec![picked(turn)];
            let mut whole = body.split().freeze();
            loop {
                let piece = whole.split_to(whole.len().min(PIECE_BYTES));
                let last = whole.is_empty();
                answers.push(sent_back(piece, last));
                if last {
                    return answers;
                }
            }
        }
        Some(Asked::Trailers(_)) => vec![proto::ProcessingResponse {
            response: Some(Answered::Trailers(proto::Nothing {})),
        }],
        _ => Vec::new(),
    }
}

fn picked((endpoints, next): &(Vec<SocketAddr>, AtomicUsize)) -> proto::ProcessingResponse {
    let number = next.fetch_add(1, Ordering::Relaxed);
    let endpoint = endpoints.get(number % endpoints.len().max(1));
    let value = endpoint.map_or_else(String::new, ToString::to_string);
    let header = proto::HeaderValueOption {
        header: Some(proto::HeaderValue {
            key: "x-gateway-destination-endpoint".to_owned(),
            raw_value: value.into(),
        }),
        // OVERWRITE_IF_EXISTS_OR_ADD
        append_action: 2,
    };
    proto::ProcessingResponse {
        response: Some(Answered::Headers(proto::Common {
            response: Some(proto::CommonResponse {
                header_mutation: Some(proto::HeaderMutation {
                    set_headers: vec![header],
                }),
                body_mutation: None,
            }),
        })),
    }
}

fn sent_back(body: Bytes, end_of_stream: bool) -> proto::ProcessingResponse {
    proto::ProcessingResponse {
        response: Some(Answered::Body(proto::Common {
            response: Some(proto::CommonResponse {
                header_mutation: None,
                body_mutation: Some(proto::BodyMutation {
                    streamed_response: Some(proto::HttpBody {
                        body,
                        end_of_stream,
                    }),
                }),
            }),
        })),
    }
}

/// Takes one whole gRPC message off the front, if there is one.
fn take(unread: &mut BytesMut) -> Option<Bytes> {
    let length = unread.get(1..5)?.get_u32() as usize;
    if unread.len() < 5 + length {
        return None;
    }
    unread.advance(5);
    Some(unread.split_to(length).freeze())
}

fn framed(message: &proto::ProcessingResponse) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(length + 5);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // The buffer grows, so that there is always room.
    message.encode(&mut bytes).ok();
    bytes.freeze()
}
