//! A model server that does nothing, cheaply: it reads a request and answers a fixed text, or a
//! stream of events when the path says so.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use crate::rig::{RigError, raw};

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 58\r\n\r\n\
    {\"model\":\"tiny\",\"choices\":[{\"text\":\"a rather short one\"}]}";
const EVENTS_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
/// Events in one stream.
pub const EVENTS: usize = 400;
const BETWEEN_EVENTS: Duration = Duration::from_millis(2);

/// A running upstream. Dropping it closes its port.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Upstream {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> Result<Self, RigError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(RigError::io("bind the bench's upstream"))?;
        let address = listener
            .local_addr()
            .map_err(RigError::io("ask for the upstream's address"))?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move { serve(stream).await.ok() });
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::with_capacity(65_536);
    let mut chunk = vec![0; 65_536];
    loop {
        head.clear();
        let end = loop {
            if let Some(end) = raw::find(&head, b"\r\n\r\n") {
                break end + 4;
            }
            let count = stream.read(&mut chunk).await?;
            if count == 0 {
                return Ok(());
            }
            head.extend_from_slice(chunk.get(..count).unwrap_or_default());
        };
        let events = head.starts_with(b"POST /events");
        let mut received = head.len() - end;
        let length = length(head.get(..end).unwrap_or_default());
        let mut last = tail(&head);
        // ext_proc takes the content-length away, so the body may come in chunks.
        while length.map_or_else(|| &last != b"0\r\n\r\n", |length| received < length) {
            let count = stream.read(&mut chunk).await?;
            if count == 0 {
                return Ok(());
            }
            received += count;
            let piece = chunk.get(..count).unwrap_or_default();
            last = join(last, piece);
        }
        if events {
            send_events(&mut stream).await?;
        } else {
            stream.write_all(ANSWER).await?;
        }
    }
}

async fn send_events(stream: &mut TcpStream) -> std::io::Result<()> {
    let text = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n",
        "token ".repeat(26)
    );
    let event = format!("{:x}\r\n{text}\r\n", text.len());
    stream.write_all(EVENTS_HEAD).await?;
    let mut ticks = interval(BETWEEN_EVENTS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..EVENTS {
        ticks.tick().await;
        stream.write_all(event.as_bytes()).await?;
    }
    stream.write_all(b"0\r\n\r\n").await
}

fn length(head: &[u8]) -> Option<usize> {
    let start = raw::find(head, b"content-length: ")? + 16;
    let digits = head.get(start..)?.split(|byte| *byte == b'\r').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn tail(bytes: &[u8]) -> [u8; 5] {
    join([0; 5], bytes)
}

/// The last five bytes of `before` followed by `after`.
fn join(before: [u8; 5], after: &[u8]) -> [u8; 5] {
    let skip = after.len().saturating_sub(5);
    let mut all = before.iter().chain(after.iter().skip(skip)).rev();
    let mut last = [0; 5];
    for slot in last.iter_mut().rev() {
        *slot = all.next().copied().unwrap_or(0);
    }
    last
}
