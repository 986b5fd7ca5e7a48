//! A model server whose every move the test decides: what its metrics say and how it answers. It
//! records what it was asked, byte for byte.
//!
//! `model-sim` behaves like an engine; this one behaves as told, which exact routing tests need.

mod answer;
mod metrics;
mod record;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

pub use answer::{Answer, words};
pub use metrics::PodMetrics;
pub use record::Recorded;

use super::error::RigError;

/// What the pod does at the moment.
#[derive(Debug, Clone, Default)]
struct Behaviour {
    answer: Answer,
    metrics: PodMetrics,
    metrics_answer: Answer,
}

/// What the connections of a pod share.
#[derive(Debug)]
struct Shared {
    behaviour: Mutex<Behaviour>,
    recorded: Mutex<Vec<Recorded>>,
    requests: AtomicU64,
    scrapes: AtomicU64,
    /// Counts releases of held requests.
    released: watch::Sender<u64>,
}

/// A running pod. Dropping it closes its port and its connections.
#[derive(Debug)]
pub struct Pod {
    address: SocketAddr,
    h2c: bool,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

impl Pod {
    /// Starts an idle pod that answers 200 on a free loopback port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> Result<Self, RigError> {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false).await
    }

    /// Starts an idle pod that speaks HTTP/2 with prior knowledge as well, the `appProtocol` h2c.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start_h2c() -> Result<Self, RigError> {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), true).await
    }

    /// Starts an idle pod on a free port of `ip`.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start_on(ip: IpAddr) -> Result<Self, RigError> {
        Self::start_at(SocketAddr::new(ip, 0), false).await
    }

    /// Starts an idle pod at `address`.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub async fn start_here(address: SocketAddr) -> Result<Self, RigError> {
        Self::start_at(address, false).await
    }

    async fn start_at(address: SocketAddr, h2c: bool) -> Result<Self, RigError> {
        let shared = Arc::new(Shared {
            behaviour: Mutex::default(),
            recorded: Mutex::default(),
            requests: AtomicU64::new(0),
            scrapes: AtomicU64::new(0),
            released: watch::Sender::new(0),
        });
        let mut pod = Self {
            address,
            h2c,
            shared,
            server: None,
        };
        pod.restart().await?;
        Ok(pod)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes its port and cuts every connection, as a killed process does.
    pub fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
        }
    }

    /// Listens again on the same address.
    ///
    /// # Errors
    /// When the address was taken meanwhile.
    pub async fn restart(&mut self) -> Result<(), RigError> {
        self.kill();
        // The aborted server frees its port when its task has been dropped.
        let mut attempts = 0;
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) if attempts < 100 => attempts += 1,
                Err(error) => return Err(RigError::io(format!("bind {}", self.address))(error)),
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        };
        self.address = listener
            .local_addr()
            .map_err(RigError::io("ask for a pod's address"))?;
        self.server = Some(tokio::spawn(serve(
            listener,
            self.h2c,
            Arc::clone(&self.shared),
        )));
        Ok(())
    }

    /// Sets how it answers requests from now on.
    pub fn answer(&self, answer: Answer) {
        self.behaviour().answer = answer;
    }

    /// Sets how it answers scrapes of its metrics from now on.
    pub fn answer_scrapes(&self, answer: Answer) {
        self.behaviour().metrics_answer = answer;
    }

    /// Changes what its metrics say.
    pub fn metrics(&self, change: impl FnOnce(&mut PodMetrics)) {
        change(&mut self.behaviour().metrics);
    }

    /// Lets every request that is held by [`Answer::Hold`] go on.
    pub fn release(&self) {
        self.shared.released.send_modify(|count| *count += 1);
    }

    /// Requests begun since it was started, scrapes not counted.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Scrapes of its metrics.
    #[must_use]
    pub fn scrapes(&self) -> u64 {
        self.shared.scrapes.load(Ordering::Relaxed)
    }

    /// The requests whose body has been read to its end, oldest first; forgets them.
    #[must_use]
    pub fn take_recorded(&self) -> Vec<Recorded> {
        std::mem::take(&mut *lock(&self.shared.recorded))
    }

    fn behaviour(&self) -> MutexGuard<'_, Behaviour> {
        lock(&self.shared.behaviour)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.kill();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, h2c: bool, shared: Arc<Shared>) {
    // Aborting this task drops the set, and with it every connection.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).ok();
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| answer::respond(request, Arc::clone(&shared)));
        connections.spawn(async move {
            let stream = TokioIo::new(stream);
            if h2c {
                let server = auto::Builder::new(TokioExecutor::new());
                server.serve_connection(stream, service).await.ok();
                return;
            }
            http1::Builder::new()
                .timer(TokioTimer::new())
                .max_headers(512)
                .serve_connection(stream, service)
                .await
                .ok();
        });
        while connections.try_join_next().is_some() {}
    }
}
