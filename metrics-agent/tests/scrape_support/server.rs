//! Small HTTP servers on loopback that do exactly what a test tells them.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

type Served = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// A server that hands every connection to one function; it ends when it is dropped.
pub(crate) struct FakeServer {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl FakeServer {
    pub(crate) async fn start<F>(host: &str, serve: fn(TcpStream) -> F) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        Self::start_boxed(
            host,
            Arc::new(move |stream| Box::pin(serve(stream)) as Served),
        )
        .await
    }

    /// Answers every request on every connection with the same bytes, head included.
    pub(crate) async fn answering(host: &str, answer: Vec<u8>) -> Self {
        let answer = Arc::new(answer);
        let serve = move |mut stream: TcpStream| {
            let answer = Arc::clone(&answer);
            Box::pin(async move {
                while read_request(&mut stream).await? {
                    stream.write_all(&answer).await?;
                }
                Ok(())
            }) as Served
        };
        Self::start_boxed(host, Arc::new(serve)).await
    }

    async fn start_boxed(
        host: &str,
        serve: Arc<dyn Fn(TcpStream) -> Served + Send + Sync>,
    ) -> Self {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let ended = Arc::new(AtomicUsize::new(0));
        let (counted, counted_end) = (Arc::clone(&connections), Arc::clone(&ended));
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let (served, ended) = (serve(stream), Arc::clone(&counted_end));
                tokio::spawn(async move {
                    // The client may close at any moment: its errors are the point of the test.
                    served.await.ok();
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self {
            address,
            connections,
            ended,
            accepting,
        }
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl FakeServer {
    /// Connections that are over, whoever closed them.
    pub(crate) fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Reads one request head; false when the client closed.
pub(crate) async fn read_request(stream: &mut TcpStream) -> io::Result<bool> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > 16 * 1024 || stream.read_buf(&mut head).await? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A whole answer with a length.
pub(crate) fn page_answer(page: &str) -> Vec<u8> {
    answer(
        "200 OK",
        &["content-type: text/plain; version=1.0.0; charset=utf-8"],
        page,
    )
}

/// A whole answer with a length, status line and headers as given.
pub(crate) fn answer(status: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    format!("{head}\r\n{body}").into_bytes()
}

/// Writes the same bytes until the client has had enough.
pub(crate) async fn write_for_ever(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    loop {
        stream.write_all(bytes).await?;
    }
}

/// Writes one byte a second.
pub(crate) async fn write_slowly(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    for byte in bytes {
        stream.write_all(std::slice::from_ref(byte)).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}
