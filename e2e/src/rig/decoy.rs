//! A server that must never be reached: it counts who connects.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{io::AsyncWriteExt, net::TcpListener, task::JoinHandle};

use super::error::RigError;

/// A listening decoy on loopback.
#[derive(Debug)]
pub struct Decoy {
    address: SocketAddr,
    seen: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Decoy {
    /// Listens on a free port of `ip`.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(ip: IpAddr) -> Result<Self, RigError> {
        let listener = TcpListener::bind(SocketAddr::new(ip, 0))
            .await
            .map_err(RigError::io(format!("bind a decoy on {ip}")))?;
        let address = listener
            .local_addr()
            .map_err(RigError::io("ask for the decoy's address"))?;
        let seen = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-decoy: 1\r\n\r\ndecoy";
                stream.write_all(answer).await.ok();
            }
        });
        Ok(Self {
            address,
            seen,
            task,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has seen.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }
}

impl Drop for Decoy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
