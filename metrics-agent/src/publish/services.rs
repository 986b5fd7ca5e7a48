//! The two services on the agent's one gRPC port.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use tonic::{
    body::Body,
    codegen::{BoxFuture, Service, http},
};

use super::PushServer;
use crate::eds::{
    EdsServer, proto::endpoint_discovery_service_server::EndpointDiscoveryServiceServer,
};

const ENDPOINT_DISCOVERY: &str = "/envoy.service.endpoint.v3.EndpointDiscoveryService/";

/// Sends each request to the service that its path names.
#[derive(Debug, Clone)]
pub(super) struct Services {
    pub(super) push: PushServer,
    pub(super) eds: EndpointDiscoveryServiceServer<EdsServer>,
}

impl Service<http::Request<Body>> for Services {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    /// Both are always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path().starts_with(ENDPOINT_DISCOVERY) {
            self.eds.call(request)
        } else {
            self.push.call(request)
        }
    }
}
