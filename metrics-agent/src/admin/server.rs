//! The HTTP server.

use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::debug;

use super::Admin;
use crate::shutdown::Shutdown;

/// Connections at a time; more wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 64;
/// For the head of a request, on a new connection as well as on an idle one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// For a whole connection: a reader slower than this has gone away. Ends streams of events too, whose
/// viewers connect again.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);
/// For requests under way when the agent stops.
const DRAIN: Duration = Duration::from_millis(1_000);
const MAX_HEAD_BYTES: usize = 16 << 10;
const MAX_HEADERS: usize = 64;

/// Serves `listener` until shutdown is requested, then lets requests under way end.
pub async fn serve(listener: TcpListener, admin: Arc<Admin>, mut shutdown: Shutdown) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let watcher = admin.watcher();
    let watching = tokio::spawn(async move { watcher.run().await });
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            break;
        };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, most likely: wait for some to come back.
                    debug!(%error, "cannot accept an admin connection");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = shutdown.requested() => break,
        };
        let (admin, shutdown) = (Arc::clone(&admin), shutdown.clone());
        connections.spawn(async move {
            let served = timeout(CONNECTION_TIMEOUT, connection(stream, admin, shutdown)).await;
            if served.is_err() {
                debug!("admin connection was too slow");
            }
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    watching.abort();
    let drained = timeout(DRAIN, async {
        while connections.join_next().await.is_some() {}
    });
    if drained.await.is_err() {
        connections.abort_all();
    }
}

async fn connection(stream: TcpStream, admin: Arc<Admin>, mut shutdown: Shutdown) {
    let service = service_fn(move |request| {
        let response = admin.answer(&request);
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.requested() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "admin connection broke");
    }
}
