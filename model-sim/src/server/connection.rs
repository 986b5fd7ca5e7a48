//! One TCP connection: can be reset on demand, and is closed when idle for too long after a
//! response, like uvicorn's.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::routes;
use super::shared::Shared;
use super::stats::StatsCounter;

/// The handle with which a request handler acts on its connection.
#[derive(Debug)]
pub(crate) struct Connection {
    reset: AtomicBool,
    reset_wish: Notify,
    exchanges: AtomicU64,
    opened_at: Instant,
    /// Milliseconds after `opened_at` at which the last response ended; 0 before the first one.
    idle_since_ms: AtomicU64,
}

impl Connection {
    fn new() -> Self {
        Connection {
            reset: AtomicBool::new(false),
            reset_wish: Notify::new(),
            exchanges: AtomicU64::new(0),
            opened_at: Instant::now(),
            idle_since_ms: AtomicU64::new(0),
        }
    }

    /// Ends the connection with RST.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::Release);
        self.reset_wish.notify_one();
    }

    pub(crate) fn begin_exchange(&self) {
        self.exchanges.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn end_exchange(&self) {
        let now = u64::try_from(self.opened_at.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.idle_since_ms.store(now.max(1), Ordering::Release);
        self.exchanges.fetch_sub(1, Ordering::AcqRel);
    }

    /// When the connection has been idle for `limit`, as far as known now; `None` if that is over.
    fn idle_deadline(&self, limit: Duration) -> Option<Instant> {
        let idle_since = self.idle_since_ms.load(Ordering::Acquire);
        if idle_since == 0 || self.exchanges.load(Ordering::Acquire) > 0 {
            return Some(Instant::now() + limit);
        }
        let deadline = self.opened_at + Duration::from_millis(idle_since) + limit;
        (deadline > Instant::now()).then_some(deadline)
    }
}

/// A stream that is closed with RST instead of FIN if its connection was told to reset.
struct ResettableStream {
    stream: TcpStream,
    connection: Arc<Connection>,
}

impl Drop for ResettableStream {
    fn drop(&mut self) {
        if self.connection.reset.load(Ordering::Acquire) {
            // A failure leaves an ordinary close, which is as good as it gets.
            self.stream.set_zero_linger().ok();
        }
    }
}

impl AsyncRead for ResettableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for ResettableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Serves one connection to its end. `kill` changes when every connection has to be reset.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    peer: SocketAddr,
    mut kill: watch::Receiver<u64>,
) {
    StatsCounter::add(&shared.stats.accepted, 1);
    StatsCounter::add(&shared.stats.open, 1);
    // Small SSE chunks must not wait for the peer's acknowledgement.
    stream.set_nodelay(true).ok();
    let connection = Arc::new(Connection::new());
    let io = TokioIo::new(ResettableStream {
        stream,
        connection: Arc::clone(&connection),
    });
    let service = {
        let (shared, connection) = (Arc::clone(&shared), Arc::clone(&connection));
        service_fn(move |request| {
            routes::handle(Arc::clone(&shared), Arc::clone(&connection), peer, request)
        })
    };
    if shared.resets_at_accept() {
        connection.reset();
    }
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut exchange = pin!(builder.serve_connection(io, service));
    let limit = shared.config.keep_alive;
    let mut deadline = Instant::now() + limit;
    loop {
        tokio::select! {
            biased;
            () = connection.reset_wish.notified() => break,
            changed = kill.changed() => {
                // The sender is gone only when the whole instance is.
                if changed.is_ok() {
                    connection.reset.store(true, Ordering::Release);
                }
                break;
            }
            // A client that breaks the protocol or leaves is its own affair.
            _ended = exchange.as_mut() => break,
            () = tokio::time::sleep_until(deadline) => match connection.idle_deadline(limit) {
                Some(later) => deadline = later,
                None => {
                    exchange.as_mut().graceful_shutdown();
                    deadline = Instant::now() + limit;
                }
            },
        }
    }
    shared.stats.open.fetch_sub(1, Ordering::Relaxed);
}
