//! HTTP/1.1 with as little work as possible, so that the client does not take the CPU from Envoy.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::rig::{RigError, raw};

/// Requests in their final bytes.
#[must_use]
pub fn requests(bodies: impl Iterator<Item = String>) -> Arc<Vec<Vec<u8>>> {
    let requests = bodies.map(|body| {
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n\
             authorization: Bearer none\r\nuser-agent: bench\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    });
    Arc::new(requests.collect())
}

/// Sends `count` requests over `connections` kept-alive connections, the next one as soon as the
/// last has been answered; fails unless every answer is a 200.
///
/// # Errors
/// On the first request that fails.
pub async fn closed_loop(
    target: SocketAddr,
    connections: usize,
    count: usize,
    requests: &Arc<Vec<Vec<u8>>>,
) -> Result<(), RigError> {
    let mut tasks = JoinSet::new();
    for connection in 0..connections {
        let requests = Arc::clone(requests);
        tasks.spawn(async move {
            let mut stream = TcpStream::connect(target).await?;
            stream.set_nodelay(true)?;
            let mut buffer = Vec::with_capacity(65_536);
            for request in requests
                .iter()
                .cycle()
                .skip(connection * 7)
                .take(count / connections)
            {
                stream.write_all(request).await?;
                answer(&mut stream, &mut buffer).await?;
            }
            Ok::<_, std::io::Error>(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended
            .map_err(|error| RigError::http("bench client", &error))?
            .map_err(RigError::io("bench request"))?;
    }
    Ok(())
}

/// Reads one response, by content-length or to the last chunk.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    buffer.clear();
    let mut chunk = [0; 16_384];
    loop {
        let count = stream.read(&mut chunk).await?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
        if complete(buffer)? {
            return Ok(());
        }
    }
}

fn complete(received: &[u8]) -> std::io::Result<bool> {
    let Some(end) = raw::find(received, b"\r\n\r\n") else {
        return Ok(false);
    };
    if !received.starts_with(b"HTTP/1.1 200") {
        let text = String::from_utf8_lossy(received).into_owned();
        return Err(std::io::Error::other(text));
    }
    let (head, body) = received.split_at(end + 4);
    let length = raw::find(head, b"content-length: ").and_then(|start| {
        let digits = head
            .get(start + 16..)?
            .split(|byte| *byte == b'\r')
            .next()?;
        std::str::from_utf8(digits).ok()?.parse::<usize>().ok()
    });
    Ok(length.map_or_else(
        || body.ends_with(b"0\r\n\r\n"),
        |length| body.len() >= length,
    ))
}
