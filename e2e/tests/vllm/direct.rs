//! Requests past the gateway, which only the agent's scrapes can tell of.

use std::{net::SocketAddr, time::Duration};

use e2e::rig::{Client, Protocol};
use tokio::task::JoinSet;

use super::stage::{Kind, request};

/// Keeps `count` requests of `model` at a replica at all times, until it is dropped.
pub(super) struct Busy(#[expect(dead_code, reason = "dropping it ends the requests")] JoinSet<()>);

impl Busy {
    pub(super) fn with(
        replica: SocketAddr,
        model: &'static str,
        count: u64,
        max_tokens: u64,
    ) -> Self {
        let client = Client::new(replica, Protocol::Http1).with_limit(Duration::from_secs(120));
        let mut running = JoinSet::new();
        for keeper in 0..count {
            let client = client.clone();
            running.spawn(async move {
                // The first of each is shorter by a different part, so that they do not all end at
                // the same moment.
                let mut tokens = max_tokens * (keeper + 1) / count;
                for turn in 0.. {
                    let number = 1_000_000 * (keeper + 1) + turn;
                    let spec = request(Kind::Completion, model, number, tokens);
                    match client.send(spec).await {
                        Ok(response) if response.status == 200 => tokens = max_tokens,
                        // It is shutting down or gone, and nobody wants it busy any more.
                        _ => return,
                    }
                }
            });
        }
        Self(running)
    }

    /// Starts `count` completions at a replica, once.
    pub(super) fn once(replica: SocketAddr, count: u64, max_tokens: u64) -> Self {
        let client = Client::new(replica, Protocol::Http1).with_limit(Duration::from_secs(120));
        let mut running = JoinSet::new();
        for number in 0..count {
            let client = client.clone();
            let spec = request(Kind::Completion, "tiny", 9_000 + number, max_tokens);
            running.spawn(async move {
                // However it ends: its replica is about to shut down.
                client.send(spec).await.ok();
            });
        }
        Self(running)
    }
}
