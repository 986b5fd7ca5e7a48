//! Reading a request's body: hashed and counted as it comes, kept only where it is needed.

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use xxhash_rust::xxh64::Xxh64;

use super::stats::{RequestRecord, header_list};

/// A request read to its end.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) parts: Parts,
    /// The body; empty if it was not to be kept.
    pub(crate) body: Bytes,
    pub(crate) record: RequestRecord,
    pub(crate) end: BodyEnd,
}

/// How the body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    Complete,
    /// It is larger than what is accepted; the rest was not read.
    TooLarge,
    /// The client broke off.
    Broken,
}

/// What to do with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Keep it, up to this many bytes.
    UpTo(u64),
    /// Only hash it, whatever its size.
    Nothing,
}

pub(crate) async fn receive(request: http::Request<Incoming>, keep: Keep) -> Received {
    let (parts, mut incoming) = request.into_parts();
    let mut record = RequestRecord::of(&parts);
    let mut hash = Xxh64::new(0);
    let mut body = BytesMut::new();
    let mut end = BodyEnd::Complete;
    while let Some(frame) = incoming.frame().await {
        let Ok(frame) = frame else {
            end = BodyEnd::Broken;
            break;
        };
        match frame.into_data() {
            Ok(data) => {
                hash.update(&data);
                record.body_bytes += data.len() as u64;
                if let Keep::UpTo(limit) = keep {
                    if record.body_bytes > limit {
                        end = BodyEnd::TooLarge;
                        break;
                    }
                    body.extend_from_slice(&data);
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    record.trailers = header_list(&trailers);
                }
            }
        }
    }
    record.body_xxh64 = hash.digest();
    record.complete = end == BodyEnd::Complete;
    Received {
        parts,
        body: body.freeze(),
        record,
        end,
    }
}
