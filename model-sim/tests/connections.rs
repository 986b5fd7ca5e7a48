//! Connections and bodies: keep-alive, echo, large and broken bodies, HTTP/2.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on panics"
)]

mod common;

use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Client, JSON, PATIENCE, eventually, fast, get, post, start};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::rt::TokioExecutor;
use model_sim::server::{Admin, Faults, InstanceConfig};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;
use xxhash_rust::xxh64::{Xxh64, xxh64};

#[tokio::test]
async fn an_idle_connection_is_closed_after_the_keep_alive_time_and_not_before() {
    let keep_alive = Duration::from_millis(400);
    let instance = start(InstanceConfig {
        keep_alive,
        ..fast()
    })
    .await;
    let mut client = Client::connect(instance.address()).await;
    for _ in 0..4 {
        assert_eq!(
            client
                .request("GET", "/health", &[], None)
                .await
                .unwrap()
                .status,
            200
        );
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    client.request("GET", "/health", &[], None).await.unwrap();
    let began = Instant::now();
    let mut byte = [0];
    let count = timeout(PATIENCE, client.stream.read(&mut byte))
        .await
        .unwrap()
        .unwrap();
    let took = began.elapsed();
    assert_eq!(count, 0, "closed in order, not reset");
    assert!((380..1_500).contains(&took.as_millis()), "{took:?}");
    eventually("it is counted as closed", || {
        instance.stats().connections_open == 0
    })
    .await;
    instance.stop().await;
}

#[tokio::test]
async fn a_response_under_way_is_not_idle() {
    let keep_alive = Duration::from_millis(100);
    let mut config = InstanceConfig {
        keep_alive,
        ..fast()
    };
    config.engine.speed = 0.5;
    let instance = start(config).await;
    let mut client = Client::connect(instance.address()).await;
    for stream in [false, true] {
        let body = format!(r#"{{"prompt":"x","max_tokens":40,"stream":{stream}}}"#);
        let answer = client
            .request("POST", "/v1/completions", &[JSON], Some(body.as_bytes()))
            .await;
        assert_eq!(
            answer.unwrap().status,
            200,
            "440 ms are longer than the keep-alive time"
        );
    }
    instance.stop().await;
}

#[tokio::test]
async fn echo_tells_what_arrived() {
    let instance = start(fast()).await;
    let mut client = Client::connect(instance.address()).await;
    let body: Vec<u8> = (0..=255).collect();
    let headers = [("x-tag", "one"), ("X-Tag", "two"), ("te", "trailers")];
    let answer = client
        .request("PUT", "/any/path?x=1", &headers, Some(&body))
        .await
        .unwrap();
    let echo = answer.json();
    assert_eq!(echo["address"], instance.address().to_string());
    assert_eq!(
        (&echo["method"], &echo["path"]),
        (&"PUT".into(), &"/any/path?x=1".into())
    );
    assert_eq!(echo["body_bytes"], 256);
    assert_eq!(echo["body_xxh64"], format!("{:016x}", xxh64(&body, 0)));
    let stats = instance.stats();
    let record = stats.last_request.unwrap();
    assert_eq!(record.body_xxh64, xxh64(&body, 0));
    assert_eq!(
        (record.header("te"), record.header("content-length")),
        (Some("trailers"), Some("256"))
    );
    let tags: Vec<&str> = record
        .headers
        .iter()
        .filter(|(n, _)| n == "x-tag")
        .map(|(_, v)| v.as_str())
        .collect();
    assert_eq!(tags, ["one", "two"]);
    instance.stop().await;
}

#[tokio::test]
async fn chunks_and_trailers_are_recorded_for_completions_too() {
    let instance = start(fast()).await;
    let mut client = Client::connect(instance.address()).await;
    let body = r#"{"prompt":"hello","max_tokens":2}"#;
    let (left, right) = body.split_at(10);
    let request = format!(
        "POST /v1/completions HTTP/1.1\r\nhost: s\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n{:x}\r\n{left}\r\n{:x}\r\n{right}\r\n0\r\nx-sum: 7\r\n\r\n",
        left.len(),
        right.len()
    );
    client.send(request.as_bytes()).await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    let record = instance.stats().last_request.unwrap();
    assert_eq!(record.trailers, [("x-sum".to_owned(), "7".to_owned())]);
    assert_eq!(
        (record.body_bytes, record.body_xxh64),
        (body.len() as u64, xxh64(body.as_bytes(), 0))
    );
    assert!(record.complete);
    instance.stop().await;
}

#[tokio::test]
async fn sixty_four_megabytes_are_hashed_as_they_come() {
    let instance = start(fast()).await;
    let mut client = Client::connect(instance.address()).await;
    let piece = vec![7u8; 1 << 20];
    let mut hash = Xxh64::new(0);
    client.send(b"POST /echo HTTP/1.1\r\nhost: s\r\nexpect: 100-continue\r\ncontent-length: 67108864\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().status, 100);
    let before = resident_kib();
    for _ in 0..64 {
        client.send(&piece).await;
        hash.update(&piece);
    }
    let answer = client.answer().await.unwrap();
    assert_eq!(
        answer.json()["body_xxh64"],
        format!("{:016x}", hash.digest())
    );
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 24 << 10, "memory grew by {grown} KiB");
    instance.stop().await;
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn bodies_above_the_limit_get_413_and_broken_ones_are_recorded_as_such() {
    let instance = start(InstanceConfig {
        max_body_bytes: 1_000,
        ..fast()
    })
    .await;
    let body = format!(r#"{{"prompt":"{}","max_tokens":1}}"#, "a".repeat(2_000));
    assert_eq!(
        post(instance.address(), "/v1/completions", &body)
            .await
            .status,
        413
    );
    assert!(!instance.stats().last_request.unwrap().complete);
    let mut client = Client::connect(instance.address()).await;
    client
        .send(b"POST /echo HTTP/1.1\r\nhost: s\r\ncontent-length: 100\r\n\r\nabc")
        .await;
    eventually("it arrived", || instance.stats().requests_in_progress == 1).await;
    drop(client);
    eventually("the abort is counted", || {
        instance.stats().requests_aborted == 1
    })
    .await;
    instance.stop().await;
}

#[tokio::test]
async fn http_2_with_prior_knowledge_is_served_on_the_same_port() {
    let instance = start(fast()).await;
    let pool: Pool<_, Full<Bytes>> = Pool::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let requests = (0..8).map(|number| {
        let uri = format!("http://{}/v1/completions", instance.address());
        let body = format!(r#"{{"prompt":"{number}","max_tokens":4}}"#);
        let request = Request::post(uri)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        tokio::spawn(pool.request(request))
    });
    for request in requests.collect::<Vec<_>>() {
        let response = timeout(PATIENCE, request).await.unwrap().unwrap().unwrap();
        assert_eq!(
            (response.status().as_u16(), response.version()),
            (200, http::Version::HTTP_2)
        );
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(br#"{"id":"cmpl-"#));
    }
    assert_eq!(instance.stats().last_request.unwrap().version, "HTTP/2.0");
    instance.stop().await;
}

#[tokio::test]
async fn probes_are_counted_apart_from_requests() {
    let instance = start(fast()).await;
    for path in [
        "/health",
        "/ping",
        "/version",
        "/load",
        "/v1/models",
        "/metrics",
    ] {
        assert_eq!(get(instance.address(), path).await.status, 200, "{path}");
    }
    let stats = instance.stats();
    assert_eq!(
        (stats.probes, stats.scrapes, stats.requests_started),
        (6, 1, 0)
    );
    assert_eq!(stats.connections_accepted, 6);
    instance.stop().await;
}

#[tokio::test]
async fn the_admin_port_reaches_an_instance_that_refuses_connections() {
    let instances = vec![start(fast()).await, start(fast()).await];
    let admin = Admin::start("127.0.0.1:0".parse().unwrap(), &instances)
        .await
        .unwrap();
    let port = instances[1].address().port();
    let list = get(admin.address(), "/sim/instances").await.json();
    assert_eq!(list["addresses"][1], instances[1].address().to_string());
    let order = async |body: &str| {
        let path = format!("/sim/{port}/faults");
        let mut client = Client::connect(admin.address()).await;
        client
            .request("PUT", &path, &[], Some(body.as_bytes()))
            .await
            .unwrap()
    };
    assert_eq!(order(r#"{"refuse":true}"#).await.status, 200);
    instances[1].settled().await.unwrap();
    assert!(
        tokio::net::TcpStream::connect(instances[1].address())
            .await
            .is_err()
    );
    assert_eq!(get(instances[0].address(), "/health").await.status, 200);
    assert_eq!(order("{}").await.json()["refuse"], false);
    instances[1].settled().await.unwrap();
    assert_eq!(get(instances[1].address(), "/health").await.status, 200);
    assert_eq!(instances[1].faults(), Faults::default());
    assert_eq!(get(admin.address(), "/sim/1/faults").await.status, 404);
    for instance in instances {
        instance.stop().await;
    }
}
