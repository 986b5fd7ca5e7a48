//! Bodies of every size, framing and shape go through byte for byte, and the memory of the VM
//! stays flat.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use bytes::Bytes;
use e2e::rig::{Client, Pod, Protocol, RequestSpec, Rig, RigOptions, raw};
use http::{HeaderMap, HeaderValue};
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
