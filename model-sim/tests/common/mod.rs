//! A small HTTP/1.1 client over a plain socket, so that tests see exactly what is on the wire.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on panics"
)]

use std::net::SocketAddr;
use std::time::Duration;

use model_sim::server::{Instance, InstanceConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The data of each event.
    pub(crate) fn events(&self) -> Vec<String> {
        let parts = self.text().split("\n\n").filter(|part| !part.is_empty());
        parts
            .map(|part| part.strip_prefix("data: ").expect("an event").to_owned())
            .collect()
    }
}

/// A connection that can be used again.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    pending: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        let stream = timeout(PATIENCE, TcpStream::connect(address))
            .await
            .unwrap()
            .unwrap();
        stream.set_nodelay(true).unwrap();
        Client {
            stream,
            pending: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes))
            .await
            .unwrap()
            .unwrap();
    }

    /// Reads more; `None` at the end of the stream.
    async fn more(&mut self) -> std::io::Result<Option<()>> {
        let mut buffer = vec![0; 64 << 10];
        let count = timeout(PATIENCE, self.stream.read(&mut buffer))
            .await
            .expect("an answer")?;
        self.pending.extend_from_slice(&buffer[..count]);
        Ok((count > 0).then_some(()))
    }

    async fn line(&mut self) -> std::io::Result<String> {
        loop {
            if let Some(end) = self.pending.windows(2).position(|two| two == b"\r\n") {
                let line = String::from_utf8_lossy(&self.pending[..end]).into_owned();
                self.pending.drain(..end + 2);
                return Ok(line);
            }
            if self.more().await?.is_none() {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn exactly(&mut self, count: usize) -> std::io::Result<Vec<u8>> {
        while self.pending.len() < count {
            if self.more().await?.is_none() {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.pending.drain(..count).collect())
    }

    /// Reads status and headers.
    pub(crate) async fn head(&mut self) -> std::io::Result<Answer> {
        let status = self.line().await?;
        let status = status
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .expect("a status");
        let mut answer = Answer {
            status,
            ..Answer::default()
        };
        loop {
            let line = self.line().await?;
            match line.split_once(": ") {
                Some((name, value)) => {
                    answer
                        .headers
                        .push((name.to_ascii_lowercase(), value.to_owned()));
                }
                None => return Ok(answer),
            }
        }
    }

    /// Reads one chunk of a chunked body; `None` after the last.
    pub(crate) async fn chunk(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let size = usize::from_str_radix(&self.line().await?, 16).expect("a chunk size");
        let data = self.exactly(size).await?;
        self.line().await?;
        Ok((size > 0).then_some(data))
    }

    /// Reads a whole answer.
    pub(crate) async fn answer(&mut self) -> std::io::Result<Answer> {
        let mut answer = self.head().await?;
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk().await? {
                answer.body.extend_from_slice(&chunk);
            }
        } else if let Some(length) = answer.header("content-length") {
            answer.body = self.exactly(length.parse().unwrap()).await?;
        }
        Ok(answer)
    }

    pub(crate) async fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> std::io::Result<Answer> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: sim\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body.unwrap_or_default());
        timeout(PATIENCE, self.stream.write_all(&bytes))
            .await
            .expect("time to write")?;
        self.answer().await
    }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    Client::connect(address)
        .await
        .request("GET", path, &[], None)
        .await
        .unwrap()
}

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");

pub(crate) async fn try_post(
    address: SocketAddr,
    path: &str,
    body: &str,
) -> std::io::Result<Answer> {
    let mut client = Client::connect(address).await;
    client
        .request("POST", path, &[JSON], Some(body.as_bytes()))
        .await
}

pub(crate) async fn post(address: SocketAddr, path: &str, body: &str) -> Answer {
    try_post(address, path, body).await.unwrap()
}

/// A fast instance, so that tests need not wait for simulated accelerators.
pub(crate) fn fast() -> InstanceConfig {
    let mut config = InstanceConfig::default();
    config.engine.speed = 50.0;
    config
}

pub(crate) async fn start(config: InstanceConfig) -> Instance {
    Instance::start(config).await.expect("the instance starts")
}

/// Waits until `condition` holds, for at most [`PATIENCE`].
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..4_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never happened: {what}");
}
