//! The gRPC service, and the task that serves one stream.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::{debug, info, warn};

use super::{
    Assignments, Heard, Subscription,
    proto::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
        endpoint_discovery_service_server::{
            EndpointDiscoveryService, EndpointDiscoveryServiceServer,
        },
    },
};
use crate::{shutdown::Shutdown, telemetry::Telemetry};

/// Streams at a time. An Envoy opens one for each of its clusters.
const MAX_STREAMS: usize = 4_096;
/// Of one request, which names Envoy's build, its extensions and the pools.
const MAX_REQUEST_BYTES: usize = 1 << 20;
/// For the first request.
const FIRST_REQUEST: Duration = Duration::from_secs(3);

type Outbound = mpsc::Sender<Result<DiscoveryResponse, Status>>;
type Outgoing = ReceiverStream<Result<DiscoveryResponse, Status>>;

/// `envoy.service.endpoint.v3.EndpointDiscoveryService`, state of the world.
#[derive(Debug, Clone)]
pub struct EdsServer {
    assignments: watch::Receiver<Arc<Assignments>>,
    telemetry: Arc<Telemetry>,
    streams: Arc<Semaphore>,
    shutdown: Shutdown,
}

impl EdsServer {
    /// A service that tells Envoys of `assignments`.
    #[must_use]
    pub fn new(
        assignments: watch::Receiver<Arc<Assignments>>,
        telemetry: Arc<Telemetry>,
        shutdown: Shutdown,
    ) -> EndpointDiscoveryServiceServer<Self> {
        let service = Self {
            assignments,
            telemetry,
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            shutdown,
        };
        EndpointDiscoveryServiceServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES)
    }
}

#[tonic::async_trait]
impl EndpointDiscoveryService for EdsServer {
    type StreamEndpointsStream = Outgoing;
    type DeltaEndpointsStream = ReceiverStream<Result<DeltaDiscoveryResponse, Status>>;

    async fn stream_endpoints(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Outgoing>, Status> {
        let Ok(permit) = Arc::clone(&self.streams).try_acquire_owned() else {
            self.telemetry.streams_refused.inc();
            return Err(Status::resource_exhausted(format!(
                "{MAX_STREAMS} streams of endpoints are open already"
            )));
        };
        // One response waits at most: the next is made when there is room for it.
        let (outbound, outgoing) = mpsc::channel(1);
        let server = self.clone();
        tokio::spawn(async move {
            let _permit: OwnedSemaphorePermit = permit;
            server.telemetry.eds_streams.inc();
            let ending = server.serve(request.into_inner(), &outbound).await;
            server.telemetry.eds_streams.dec();
            if let Some(status) = ending {
                // Best effort: an Envoy that does not read any more will see the connection end.
                drop(timeout(FIRST_REQUEST, outbound.send(Err(status))).await);
            }
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn delta_endpoints(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaEndpointsStream>, Status> {
        Err(Status::unimplemented("use api_type: GRPC, not DELTA_GRPC"))
    }

    async fn fetch_endpoints(
        &self,
        _: Request<DiscoveryRequest>,
    ) -> Result<Response<DiscoveryResponse>, Status> {
        Err(Status::unimplemented("use api_type: GRPC, not REST"))
    }
}

impl EdsServer {
    /// Serves one stream; `None` when Envoy ended it.
    async fn serve(
        &self,
        mut inbound: Streaming<DiscoveryRequest>,
        outbound: &Outbound,
    ) -> Option<Status> {
        let (mut assignments, mut shutdown) = (self.assignments.clone(), self.shutdown.clone());
        let Ok(first) = timeout(FIRST_REQUEST, inbound.message()).await else {
            return Some(Status::deadline_exceeded("no request within 3 s"));
        };
        let first = first.ok().flatten()?;
        let node = first.node.as_ref().map_or("", |node| node.id.as_str());
        let node: String = node.chars().take(128).collect();
        let mut subscription = Subscription::default();
        if let Err(status) = self.hear(&node, &mut subscription, first) {
            return Some(status);
        }
        for pool in subscription.unknown(&assignments.borrow()) {
            info!(
                node,
                pool, "Envoy asks for the endpoints of an unknown pool"
            );
        }
        let mut behind = true;
        loop {
            tokio::select! {
                request = inbound.message() => match request {
                    Ok(Some(request)) => {
                        if let Err(status) = self.hear(&node, &mut subscription, request) {
                            return Some(status);
                        }
                        // It may ask for more pools than before.
                        behind = true;
                    }
                    Ok(None) => return None,
                    Err(status) => {
                        debug!(node, %status, "stream of endpoints broke");
                        return None;
                    }
                },
                changed = assignments.changed(), if !behind => match changed {
                    Ok(()) => behind = true,
                    Err(_) => return Some(stopping()),
                },
                permit = outbound.reserve(), if behind => {
                    let Ok(permit) = permit else { return None };
                    let latest = Arc::clone(&assignments.borrow_and_update());
                    match subscription.next(&latest) {
                        Some(response) => {
                            self.telemetry.eds_responses.inc();
                            permit.send(Ok(response));
                        }
                        None => behind = false,
                    }
                }
                () = outbound.closed() => return None,
                () = shutdown.requested() => return Some(stopping()),
            }
        }
    }

    fn hear(
        &self,
        node: &str,
        subscription: &mut Subscription,
        request: DiscoveryRequest,
    ) -> Result<(), Status> {
        match subscription.hear(request) {
            Ok(Heard::Asked | Heard::Taken) => Ok(()),
            Ok(Heard::Refused(reason)) => {
                self.telemetry.eds_refusals.inc();
                warn!(node, reason, "Envoy refused endpoints");
                Ok(())
            }
            Err(breach) => Err(Status::invalid_argument(breach.to_string())),
        }
    }
}

fn stopping() -> Status {
    Status::unavailable("the agent is stopping")
}
