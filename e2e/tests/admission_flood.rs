//! A flood of long requests into a full pool: memory stays within what was configured, whoever has no
//! place is told so at once, and everything is given back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod admission {
    #[allow(
        dead_code,
        reason = "shared with the other tests of admission, which use more of it"
    )]
    pub(crate) mod gateway;
}

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use admission::gateway::{Gateway, Options, chat};
use e2e::rig::Protocol;
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

const WORKERS: u32 = 2;
const BODY: usize = 1 << 20;

/// Sends so many requests of 1 MiB into a full pool whose workers hold `places` of them each.
async fn flood(count: usize, places: usize) {
    let bytes = places * (BODY + 1_024);
    let gateway = Gateway::start(Options {
        concurrency: WORKERS,
        admission: json!({"rules": {
            "room": {"waiting": 1}, "ttl_ms": 20_000,
            "queue": {"bytes": bytes, "priority_bytes": bytes, "flow_bytes": bytes}
        }}),
        ..Options::default()
    })
    .await;
    let occupant = gateway.occupy(0).await;
    let before = gateway.envoy.resident_kib().unwrap();
    let start = Instant::now();
    let mut running = JoinSet::new();
    // Made once: a debug build takes longer to write one than Envoy to refuse it.
    let spec = chat(&"x".repeat(BODY));
    let client = gateway
        .client(Protocol::Http1)
        .with_limit(Duration::from_secs(60));
    for number in 0..count {
        let (client, spec) = (client.clone(), spec.clone());
        running.spawn(async move {
            let sent = Instant::now();
            let status = client
                .send(spec)
                .await
                .map_or(0, |answer| answer.status.as_u16());
            (status, sent.elapsed())
        });
        if number % 20 == 19 {
            sleep(Duration::from_millis(20)).await;
        }
    }
    let mut most = 0;
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    while let Some(result) = running.join_next().await {
        let (status, _) = result.unwrap();
        most = most.max(gateway.envoy.resident_kib().unwrap());
        *statuses.entry(status).or_default() += 1;
    }
    let grown = most.saturating_sub(before) >> 10;
    let bound = (bytes as u64 * u64::from(WORKERS)) >> 20;
    println!(
        "{count} requests of 1 MiB, {bound} MiB of places: {statuses:?}, at most {grown} MiB more, \
         {:?} in all",
        start.elapsed()
    );
    let late = statuses.get(&504).copied().unwrap_or(0);
    assert!(
        (1..=places * WORKERS as usize).contains(&late),
        "{statuses:?}"
    );
    // A client that still sends when it is refused may see its connection closed instead of its answer.
    let known = |status: &u16| [0, 429, 504].contains(status);
    assert!(statuses.keys().all(known), "{statuses:?}");
    assert!(statuses.contains_key(&429), "{statuses:?}");
    gateway
        .at_least("outcome=.=queue_full", (count - late) as u64)
        .await;
    assert_eq!(gateway.pods[0].requests(), 1, "the pod saw nothing of it");
    // What is read before a request is decided, connection buffers and the allocator's own come on top.
    assert!(grown < 2 * bound + 200, "{grown} MiB");
    gateway.release();
    assert_eq!(occupant.await.unwrap(), 200);
    gateway.at_rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_long_requests_is_bounded_in_memory() {
    flood(300, 20).await;
}

#[ignore = "ten gigabytes through one machine: make test-admission"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_long_requests_are_bounded_in_memory() {
    flood(10_000, 128).await;
}
