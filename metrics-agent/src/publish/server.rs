//! The gRPC server, and the one method of the push contract: bidirectional, for all gateways.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use pool_state::{limits::MAX_MESSAGE_BYTES, proto::GatewayMessage};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::{Grpc, StreamingService},
    transport::{Server, ServerTlsConfig, server::TcpIncoming},
};

use super::{MAX_STREAMS, codec::PushCodec, gateway, services::Services};
use crate::{
    eds::{self, EdsServer},
    hub::Hub,
    shutdown::Shutdown,
};

const METHOD: &str = "/zerohop.poolstate.v1.PoolState/Sync";
/// A connection whose peer does not answer pings for the interval plus the time-out is closed.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams on one connection. Envoy opens one a process, and one for each cluster whose endpoints it
/// discovers; an agent has at most 64 pools.
const STREAMS_PER_CONNECTION: u32 = 128;
const HEADER_BYTES: u32 = 16 << 10;
const WINDOW_BYTES: u32 = 1 << 20;

/// The push service. Written by hand instead of generated, because what it sends is encoded
/// already (see the module `codec`).
#[derive(Debug, Clone)]
pub struct PushServer {
    hub: Arc<Hub>,
    streams: Arc<Semaphore>,
    shutdown: Shutdown,
}

impl PushServer {
    /// A service that tells gateways what is in `hub`.
    #[must_use]
    pub fn new(hub: Arc<Hub>, shutdown: Shutdown) -> Self {
        Self {
            hub,
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            shutdown,
        }
    }

    fn open(&self, inbound: Streaming<GatewayMessage>) -> Result<Outgoing, Status> {
        let Ok(permit) = Arc::clone(&self.streams).try_acquire_owned() else {
            self.hub.telemetry.streams_refused.inc();
            return Err(Status::resource_exhausted(format!(
                "{MAX_STREAMS} gateways are connected already"
            )));
        };
        // One message waits at most: what follows is made when there is room for it.
        let (outbound, outgoing) = mpsc::channel(1);
        let (hub, shutdown) = (Arc::clone(&self.hub), self.shutdown.clone());
        tokio::spawn(async move {
            let _permit: OwnedSemaphorePermit = permit;
            gateway::serve(hub, inbound, outbound, shutdown).await;
        });
        Ok(ReceiverStream::new(outgoing))
    }
}

type Outgoing = ReceiverStream<Result<Bytes, Status>>;

impl StreamingService<GatewayMessage> for PushServer {
    type Response = Bytes;
    type ResponseStream = Outgoing;
    type Future = std::future::Ready<Result<Response<Outgoing>, Status>>;

    fn call(&mut self, request: Request<Streaming<GatewayMessage>>) -> Self::Future {
        std::future::ready(self.open(request.into_inner()).map(Response::new))
    }
}

impl Service<http::Request<Body>> for PushServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != METHOD {
            let unknown = Status::unimplemented("the only method is Sync").into_http();
            return Box::pin(std::future::ready(Ok(unknown)));
        }
        let service = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(PushCodec).max_decoding_message_size(MAX_MESSAGE_BYTES);
            Ok(grpc.streaming(service, request).await)
        })
    }
}

/// Serves gateways on `listener` until shutdown is requested and the streams have ended; over TLS
/// when `tls` says how.
///
/// # Errors
/// When the listening socket fails or the certificates are of no use.
pub async fn serve(
    listener: TcpListener,
    tls: Option<ServerTlsConfig>,
    hub: Arc<Hub>,
    shutdown: Shutdown,
) -> Result<(), tonic::transport::Error> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let mut stop = shutdown.clone();
    let mut server = Server::builder();
    if let Some(tls) = tls {
        server = server.tls_config(tls)?;
    }
    let (sender, assignments) = watch::channel(Arc::default());
    let following = tokio::spawn(eds::follow(Arc::clone(&hub), sender));
    let services = Services {
        eds: EdsServer::new(assignments, Arc::clone(&hub.telemetry), shutdown.clone()),
        push: PushServer::new(hub, shutdown),
    };
    let served = server
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .http2_max_header_list_size(HEADER_BYTES)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .serve_with_incoming_shutdown(services, incoming, async move {
            stop.requested().await;
        })
        .await;
    following.abort();
    served
}
