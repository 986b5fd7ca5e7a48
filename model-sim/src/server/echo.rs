//! Any path that is not an endpoint: answers with what arrived.

use std::net::SocketAddr;

use http::StatusCode;
use serde::Serialize;

use super::reply::Reply;
use super::shared::Shared;
use super::stats::RequestRecord;

#[derive(Serialize)]
struct Echo<'a> {
    address: SocketAddr,
    peer: SocketAddr,
    #[serde(flatten)]
    request: &'a RequestRecord,
}

pub(crate) fn answer(shared: &Shared, peer: SocketAddr, request: &RequestRecord) -> Reply {
    let echo = Echo {
        address: shared.address,
        peer,
        request,
    };
    match serde_json::to_vec(&echo) {
        Ok(body) => Reply::json(StatusCode::OK, body),
        Err(reason) => Reply::bare(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("cannot echo: {reason}"),
        ),
    }
}
