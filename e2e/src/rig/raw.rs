//! HTTP/1.1 byte by byte, for requests that no well-behaved client would send.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::error::RigError;

/// What came back.
#[derive(Debug, Clone, Default)]
pub struct RawAnswer {
    /// The status of the last response head (after any 1xx); 0 when the peer closed without one.
    pub status: u16,
    /// The statuses of the interim responses.
    pub interim: Vec<u16>,
    /// Header lines of that head, as they are.
    pub head: String,
    /// What followed the head, with chunked framing taken off.
    pub body: Vec<u8>,
}

impl RawAnswer {
    /// The first value of a header; the name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Sends `request` on a new connection and reads until the response is complete or the peer closes.
///
/// # Errors
/// When there is no connection, or no complete response within `limit`.
pub async fn exchange(
    address: SocketAddr,
    request: &[u8],
    limit: Duration,
) -> Result<RawAnswer, RigError> {
    let doing = format!("raw request to {address}");
    let talk = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        stream.write_all(request).await?;
        receive(&mut stream).await
    };
    match timeout(limit, talk).await {
        Ok(result) => result.map_err(RigError::io(doing)),
        Err(_) => Err(RigError::TimedOut {
            what: format!("{doing} answered"),
            waited: limit,
        }),
    }
}

/// Reads one response, with any interim ones before it.
///
/// # Errors
/// When the connection breaks.
pub async fn receive(stream: &mut TcpStream) -> std::io::Result<RawAnswer> {
    let mut received = Vec::new();
    let mut answer = RawAnswer::default();
    loop {
        while let Some(end) = find(&received, b"\r\n\r\n").filter(|_| answer.head.is_empty()) {
            let rest = received.split_off(end + 4);
            let head = String::from_utf8_lossy(&received).into_owned();
            received = rest;
            let status = status(&head);
            if (100..200).contains(&status) && status != 101 {
                answer.interim.push(status);
            } else {
                answer.status = status;
                answer.head = head;
            }
        }
        if let Some(body) = complete_body(&answer, &received) {
            answer.body = body;
            return Ok(answer);
        }
        let mut chunk = [0; 16_384];
        match stream.read(&mut chunk).await {
            Ok(0) => {
                answer.body = received;
                return Ok(answer);
            }
            Ok(count) => received.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            // A peer that refuses the rest of a request may reset right after its response.
            Err(_) if answer.status != 0 => {
                answer.body = received;
                return Ok(answer);
            }
            Err(error) => return Err(error),
        }
    }
}

fn complete_body(answer: &RawAnswer, received: &[u8]) -> Option<Vec<u8>> {
    if answer.status == 0 {
        return None;
    }
    if let Some(length) = answer.header("content-length") {
        let length: usize = length.parse().ok()?;
        return received.get(..length).map(<[u8]>::to_vec);
    }
    if answer.header("transfer-encoding").is_some() {
        return unchunk(received);
    }
    matches!(answer.status, 204 | 304).then(Vec::new)
}

/// Takes chunked framing off; `None` while the last chunk is missing.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line_end = find(rest, b"\r\n")?;
        let line = std::str::from_utf8(rest.get(..line_end)?).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        rest = rest.get(line_end + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}

fn status(head: &str) -> u16 {
    head.split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(0)
}

/// Where `needle` begins in `haystack`.
#[must_use]
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
