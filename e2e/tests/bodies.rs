//! Bodies of every size, framing and shape go through byte for byte, and the memory of the VM
//! stays flat.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use bytes::Bytes;
use e2e::rig::{
    Client, EnvoyConfig, Pod, Protocol, RequestSpec, Rig, RigError, RigOptions, config::at, raw,
};
use http::{HeaderMap, HeaderValue};
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use xxhash_rust::xxh64::xxh64;

/// Where the model stands in the body.
#[derive(Debug, Clone, Copy)]
enum Model {
    First,
    Last,
    Missing,
}

/// A completion request of exactly `size` bytes; below the smallest such JSON, digits.
fn body(size: usize, model: Model) -> Bytes {
    let (before, after) = match model {
        Model::First => (r#"{"model":"tiny","prompt":""#, r#""}"#),
        Model::Last => (r#"{"prompt":""#, r#"","model":"tiny"}"#),
        Model::Missing => (r#"{"prompt":""#, r#""}"#),
    };
    let Some(filling) = size.checked_sub(before.len() + after.len()) else {
        return Bytes::from(vec![b'7'; size]);
    };
    let mut text = Vec::with_capacity(size);
    text.extend_from_slice(before.as_bytes());
    // Not periodic in any power of two, so that a block that is lost, doubled or moved shows.
    text.extend((0..filling).map(|at| b'a' + u8::try_from((at * at / 7 + at) % 23).unwrap()));
    text.extend_from_slice(after.as_bytes());
    Bytes::from(text)
}

/// Sends it and checks that exactly this arrived, once.
async fn arrives(client: &Client, pods: &[Pod], spec: RequestSpec, what: &str) {
    let sent = spec.body.clone();
    let response = client
        .send(spec)
        .await
        .unwrap_or_else(|failure| panic!("{what}: {failure}"));
    assert_eq!(response.status, 200, "{what}: {}", response.text());
    let mut recorded: Vec<_> = pods.iter().flat_map(Pod::take_recorded).collect();
    assert_eq!(recorded.len(), 1, "{what}: arrivals");
    let arrived = recorded.pop().unwrap();
    assert_eq!(arrived.bytes, sent.len() as u64, "{what}: length");
    assert_eq!(arrived.digest, xxh64(&sent, 0), "{what}: content");
    let lengths = arrived.header("content-length");
    if let [length] = lengths.as_slice() {
        let length: u64 = std::str::from_utf8(length).unwrap().parse().unwrap();
        assert_eq!(length, arrived.bytes, "{what}: content-length");
    } else {
        assert!(
            lengths.is_empty(),
            "{what}: {} content-lengths",
            lengths.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_size_framing_and_model_place_arrives_byte_for_byte() {
    let rig = Rig::start(RigOptions::default()).await.unwrap();
    // Around the filter's cap (64 KiB), Envoy's connection buffer (1 MiB) and its retry buffer
    // (4 MiB), and far above all of them.
    let sizes = [
        1, 2, 27, 28, 100, 4_096, 16_384, 65_535, 65_536, 65_537, 131_072, 1_048_575, 1_048_576,
        1_048_577, 4_194_304, 4_194_305, 9_000_000, 67_108_864,
    ];
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let client = Client::new(rig.envoy.address(), protocol).with_limit(Duration::from_secs(60));
        for size in sizes {
            for model in [Model::First, Model::Last, Model::Missing] {
                if size > 9_000_000 && !matches!(model, Model::Last) {
                    continue;
                }
                let body = body(size, model);
                let what = format!("{protocol:?}, {size} B, model {model:?}");
                let whole = RequestSpec::post(body.clone());
                arrives(&client, &rig.pods, whole, &what).await;
                let piece = if size < 70_000 {
                    size.div_ceil(7)
                } else {
                    50_021
                };
                let pieces = RequestSpec::post(body).chunked(piece);
                arrives(&client, &rig.pods, pieces, &format!("{what}, chunked")).await;
            }
        }
    }
}

/// The 32 KiB a connection of Istio's gateways and of Envoy's advice for the edge. What a filter may
/// hold back is a limit of its own, `request_body_buffer_limit`, which every file that ships sets:
/// Envoy adds a piece to the buffer before it asks the filter, so that no filter could stay below
/// 32 KiB by itself.
fn edge_buffers(config: &mut EnvoyConfig) -> Result<(), RigError> {
    config.get(&format!("{}/request_body_buffer_limit", at::VIRTUAL_HOST))?;
    let place = format!("{}/per_connection_buffer_limit_bytes", at::LISTENER);
    config.get(&place)?;
    config.set(&place, json!(32_768))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_buffers_of_envoy_refuse_no_body() {
    let rig = Rig::start(RigOptions {
        change: edge_buffers,
        ..RigOptions::default()
    })
    .await
    .unwrap();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let client = Client::new(rig.envoy.address(), protocol).with_limit(Duration::from_secs(60));
        for size in [
            32_767, 32_768, 32_769, 40_000, 65_536, 1_048_577, 20_000_000,
        ] {
            for piece in [1_000, 16_384, 32_768, 1_000_000] {
                // The model at the end keeps the filter reading for as long as it will.
                let spec = RequestSpec::post(body(size, Model::Last)).chunked(piece);
                let what = format!("{protocol:?}, {size} B by {piece}");
                arrives(&client, &rig.pods, spec, &what).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_is_flat_after_10_000_requests() {
    let rig = Rig::start(RigOptions::default()).await.unwrap();
    let run = |from: usize, count: usize| {
        let clients: Vec<Client> = [Protocol::Http1, Protocol::Http2]
            .iter()
            .cycle()
            .take(8)
            .map(|protocol| Client::new(rig.envoy.address(), *protocol))
            .collect();
        async move {
            let tasks = clients.into_iter().enumerate().map(|(at, client)| {
                tokio::spawn(async move {
                    for number in (from + at..from + count).step_by(8) {
                        // Every prompt is new, and some are far above the cap.
                        let size = [50, 900, 20_000, 70_000][number % 4];
                        let prompt = format!("{number} {}", "word ".repeat(size / 5));
                        let spec = RequestSpec::completion(&format!("model-{number}"), &prompt);
                        assert_eq!(client.send(spec).await.unwrap().status, 200);
                    }
                })
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.unwrap();
            }
        }
    };
    // Until every bounded table is full: the prefix index, Envoy's own pools of memory.
    run(0, 5_000).await;
    let before = rig.envoy.resident_kib().unwrap();
    run(5_000, 10_000).await;
    let after = rig.envoy.resident_kib().unwrap();
    rig.pods.iter().for_each(|pod| drop(pod.take_recorded()));
    // A leak of half a kilobyte a request would be 5 MB.
    let growth = after.saturating_sub(before);
    println!("resident memory: {before} KiB, after 10,000 more requests {after} KiB");
    assert!(
        growth <= 5_000,
        "{growth} KiB more, from {before} to {after}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trailers_and_odd_contents_do_no_harm() {
    let rig = Rig::start(RigOptions::default()).await.unwrap();
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let client = Client::new(rig.envoy.address(), protocol);
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", HeaderValue::from_static("abc"));
        // With trailers no body callback ever says "this was the end".
        for size in [60, 20_000, 65_536, 300_000] {
            let mut spec = RequestSpec::post(body(size, Model::Last)).chunked(9_000);
            spec.trailers = Some(trailers.clone());
            arrives(
                &client,
                &rig.pods,
                spec,
                &format!("{protocol:?} trailers {size}"),
            )
            .await;
        }
        let odd: [(&str, &str, Bytes); 6] = [
            (
                "content-encoding",
                "gzip",
                Bytes::from_static(b"\x1f\x8b\x08\x00 not really gzip"),
            ),
            (
                "content-type",
                "application/octet-stream",
                Bytes::from(vec![0xff; 70_000]),
            ),
            (
                "content-type",
                "multipart/form-data; boundary=x",
                Bytes::from_static(b"--x--"),
            ),
            (
                "content-type",
                "text/plain",
                Bytes::from_static(b"[[[[[[{\"model\":"),
            ),
            ("x-nothing", "", Bytes::new()),
            ("x-deep", "1", Bytes::from("[".repeat(500_000))),
        ];
        for (name, value, content) in odd {
            let mut spec = RequestSpec::post(content);
            spec.headers
                .insert(name, HeaderValue::from_str(value).unwrap());
            arrives(
                &client,
                &rig.pods,
                spec,
                &format!("{protocol:?} {name}: {value}"),
            )
            .await;
        }
        let get = RequestSpec::get("/v1/files/7");
        arrives(&client, &rig.pods, get, &format!("{protocol:?} GET")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expect_100_continue_is_answered_and_the_body_arrives() {
    let rig = Rig::start(RigOptions::default()).await.unwrap();
    for size in [200, 90_000] {
        let content = body(size, Model::Last);
        let mut stream = TcpStream::connect(rig.envoy.address()).await.unwrap();
        let head = format!(
            "POST /v1/completions HTTP/1.1\r\nhost: rig\r\ncontent-type: application/json\r\n\
             content-length: {size}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // The client waits for the interim response before it sends the body.
        let mut interim = [0; 25];
        let read = tokio::io::AsyncReadExt::read_exact(&mut stream, &mut interim);
        tokio::time::timeout(Duration::from_secs(5), read)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(&content).await.unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(5), raw::receive(&mut stream))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(answer.status, 200, "{}", answer.head);
        let recorded: Vec<_> = rig.pods.iter().flat_map(Pod::take_recorded).collect();
        assert_eq!(recorded.len(), 1);
        assert_eq!(recorded[0].digest, xxh64(&content, 0));
    }
}
