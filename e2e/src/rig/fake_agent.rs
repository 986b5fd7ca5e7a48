//! An agent that says whatever a test wants it to: another view of the pool, nothing, or garbage.
//! It writes its gRPC frames itself, so that it can also write wrong ones.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pool_state::{
    convert::policy_to_proto,
    policy::Policy,
    proto::{self, agent_message::Message as Said},
};
use prost::Message;
use tokio::{
    net::TcpListener,
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval},
};
use tokio_stream::wrappers::ReceiverStream;

use super::error::RigError;

const BETWEEN_MESSAGES: Duration = Duration::from_millis(100);

/// How a fake agent behaves.
#[derive(Debug, Clone, Default)]
pub enum Manner {
    /// A whole snapshot of its view every 100 ms.
    #[default]
    Honest,
    /// Accepts streams and says nothing on them.
    Silent,
    /// One byte of a correct message a time.
    Trickle,
    /// gRPC frames with something in them that is no message.
    NotProtobuf,
    /// Frames that promise far more bytes than ever come.
    EndlessFrame,
    /// These messages, over and over.
    Says(Vec<proto::AgentMessage>),
    /// Ends each stream as soon as it has said its view once.
    HangsUp,
}

#[derive(Debug, Default)]
struct View {
    agent_id: u64,
    epoch: u64,
    sequence: u64,
    endpoints: Vec<proto::Endpoint>,
    policies: Vec<proto::Policy>,
    manner: Manner,
}

/// A running fake agent. Dropping it closes its port and its streams.
#[derive(Debug)]
pub struct FakeAgent {
    address: SocketAddr,
    view: Arc<Mutex<View>>,
    opened: Arc<AtomicU64>,
    server: JoinHandle<()>,
}

impl FakeAgent {
    /// Starts an honest agent without endpoints on a free port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(agent_id: u64) -> Result<Self, RigError> {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), agent_id, 1).await
    }

    /// Starts one at an address.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start_at(
        address: SocketAddr,
        agent_id: u64,
        epoch: u64,
    ) -> Result<Self, RigError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(RigError::io("bind a fake agent"))?;
        let address = listener
            .local_addr()
            .map_err(RigError::io("ask for the fake agent's address"))?;
        let view = Arc::new(Mutex::new(View {
            agent_id,
            epoch,
            ..View::default()
        }));
        let opened = Arc::new(AtomicU64::new(0));
        let server = tokio::spawn(serve(listener, Arc::clone(&view), Arc::clone(&opened)));
        Ok(Self {
            address,
            view,
            opened,
            server,
        })
    }

    /// Where gateways connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Streams that gateways have opened so far.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Changes its manner.
    pub fn behave(&self, manner: Manner) {
        lock(&self.view).manner = manner;
    }

    /// Changes the policies that it sends beside its view.
    pub fn decide(&self, policies: &[Policy]) {
        lock(&self.view).policies = policies.iter().map(policy_to_proto).collect();
    }

    /// Changes its view: each endpoint with its waiting queue.
    pub fn see(&self, endpoints: &[(SocketAddr, f32)]) {
        lock(&self.view).endpoints = endpoints
            .iter()
            .map(|(address, waiting)| endpoint(*address, *waiting))
            .collect();
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An endpoint whose queue is `waiting` and which is idle otherwise.
#[must_use]
pub fn endpoint(address: SocketAddr, waiting: f32) -> proto::Endpoint {
    let gauge = |value| Some(proto::Gauge { value, age_ms: 5 });
    proto::Endpoint {
        id: Some(id(address)),
        health: proto::Health::Ready.into(),
        weight: 1.0,
        waiting: gauge(waiting),
        running: gauge(0.0),
        kv_usage: gauge(0.0),
        ..proto::Endpoint::default()
    }
}

/// The identity of an endpoint in its first life.
#[must_use]
pub fn id(address: SocketAddr) -> proto::EndpointId {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    proto::EndpointId {
        ip,
        port: address.port().into(),
        generation: 1,
    }
}

/// A snapshot as the message that carries it.
#[must_use]
pub fn snapshot(version: (u64, u64, u64), endpoints: Vec<proto::Endpoint>) -> proto::AgentMessage {
    let (agent_id, epoch, sequence) = version;
    proto::AgentMessage {
        message: Some(Said::Snapshot(proto::Snapshot {
            pool: "default".to_owned(),
            version: Some(proto::Version {
                agent_id,
                epoch,
                sequence,
                taken_at_unix_ms: sequence.saturating_add(1_800_000_000_000),
            }),
            endpoints,
        })),
    }
}

fn lock(view: &Mutex<View>) -> std::sync::MutexGuard<'_, View> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, view: Arc<Mutex<View>>, opened: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).ok();
        let (view, opened) = (Arc::clone(&view), Arc::clone(&opened));
        let service = service_fn(move |request| {
            opened.fetch_add(1, Ordering::Relaxed);
            let view = Arc::clone(&view);
            async move { Ok::<_, Infallible>(answer(request, view)) }
        });
        connections.spawn(async move {
            http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
        while connections.try_join_next().is_some() {}
    }
}

type Frames = StreamBody<ReceiverStream<Result<Frame<Bytes>, Infallible>>>;

fn answer(request: Request<Incoming>, view: Arc<Mutex<View>>) -> Response<Frames> {
    let (say, frames) = mpsc::channel(4);
    tokio::spawn(async move {
        let mut inbound = request.into_body();
        let mut ticks = interval(BETWEEN_MESSAGES);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said = 0;
        loop {
            tokio::select! {
                frame = inbound.frame() => {
                    if !matches!(frame, Some(Ok(_))) {
                        return;
                    }
                }
                _ = ticks.tick() => {
                    let (bytes, hang_up) = next(&view, said);
                    said += 1;
                    for piece in bytes {
                        if say.send(Ok(Frame::data(piece))).await.is_err() {
                            return;
                        }
                    }
                    if hang_up {
                        let mut trailers = http::HeaderMap::new();
                        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                        say.send(Ok(Frame::trailers(trailers))).await.ok();
                        return;
                    }
                }
            }
        }
    });
    let mut response = Response::new(StreamBody::new(ReceiverStream::new(frames)));
    response.headers_mut().insert(
        CONTENT_TYPE,
        http::HeaderValue::from_static("application/grpc"),
    );
    response
}

/// What to write now, and whether to end the stream after it.
fn next(view: &Mutex<View>, said: u64) -> (Vec<Bytes>, bool) {
    let mut view = lock(view);
    view.sequence += 1;
    let version = (view.agent_id, view.epoch, view.sequence);
    let honest = frame(&snapshot(version, view.endpoints.clone()).encode_to_vec());
    match &view.manner {
        Manner::Honest => {
            let policies = view.policies.iter().map(|policy| proto::AgentMessage {
                message: Some(Said::Policy(policy.clone())),
            });
            let policies = policies.map(|policy| frame(&policy.encode_to_vec()));
            ([honest].into_iter().chain(policies).collect(), false)
        }
        Manner::HangsUp => (vec![honest], true),
        Manner::Silent => (Vec::new(), false),
        Manner::Trickle => {
            let at = usize::try_from(said).unwrap_or(0) % honest.len();
            (vec![honest.slice(at..=at)], false)
        }
        Manner::NotProtobuf => {
            let noise: Vec<u8> = (0..200u64)
                .map(|at| u8::try_from((at * 131 + said * 17) % 256).unwrap_or(0))
                .collect();
            (vec![frame(&noise), frame(b""), frame(&[0xff; 9])], false)
        }
        Manner::EndlessFrame => (
            vec![if said == 0 {
                Bytes::from_static(&[0, 0x7f, 0xff, 0xff, 0xff])
            } else {
                Bytes::from_static(&[0x5a; 16_384])
            }],
            false,
        ),
        Manner::Says(messages) => (
            messages
                .iter()
                .map(|message| frame(&message.encode_to_vec()))
                .collect(),
            false,
        ),
    }
}

fn frame(message: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(message.len() + 5);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    bytes.put_slice(message);
    bytes.freeze()
}
