//! One port that controls many instances, also those that refuse connections.
//!
//! `GET /sim/instances` lists addresses; `/sim/<port>/...` is what `/sim/...` is on the instance
//! with that port.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::control;
use super::error::SimError;
use super::incoming::{Keep, receive};
use super::instance::Instance;
use super::listener;
use super::reply::{Content, Reply};
use super::shared::Shared;

/// The control port. Dropping it closes the port.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Admin {
    /// Binds the address and serves on the current tokio runtime.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn start(address: SocketAddr, instances: &[Instance]) -> Result<Admin, SimError> {
        let failed = |reason| SimError::Listen { address, reason };
        let listener = listener::listen(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared: Arc<[Arc<Shared>]> = instances.iter().map(Instance::shared).collect();
        let task = tokio::spawn(serve(listener, shared));
        Ok(Admin { address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, instances: Arc<[Arc<Shared>]>) {
    // Connections end with the port.
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let instances = Arc::clone(&instances);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&instances), request));
            // A client that breaks the protocol or leaves is its own affair.
            http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
    }
}

async fn answer(
    instances: Arc<[Arc<Shared>]>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let received = receive(request, Keep::UpTo(1 << 20)).await;
    let path = received.parts.uri.path().trim_start_matches("/sim/");
    let reply = match path.split_once('/') {
        None if path == "instances" => {
            let addresses: Vec<SocketAddr> = instances.iter().map(|one| one.address).collect();
            Reply::json(
                StatusCode::OK,
                json!({ "addresses": addresses }).to_string(),
            )
        }
        Some((port, order)) => {
            let wanted = port.parse().ok();
            match instances
                .iter()
                .find(|one| Some(one.address.port()) == wanted)
            {
                Some(shared) => {
                    control::order(shared, &received.parts.method, order, &received.body)
                }
                None => unknown(&format!("no instance has port {port:?}")),
            }
        }
        None => unknown("known are /sim/instances and /sim/<port>/..."),
    };
    let body = match reply.content {
        Content::Full(body) => body,
        Content::Stream(_) => Bytes::new(),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = reply.status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn unknown(reason: &str) -> Reply {
    Reply::json(
        StatusCode::NOT_FOUND,
        json!({ "error": reason }).to_string(),
    )
}
