//! The scrape client against servers on loopback: pooling, limits and errors that say why.

#![allow(missing_docs, reason = "a test has no interface")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod scrape_support;

use std::{net::SocketAddr, time::Duration};

use metrics_agent::api_key::{ApiKey, ApiKeySource};
use metrics_agent::scrape::{
    ClientConfig, Dialect, FailureKind, ScrapeClient, ScrapeError, ScrapeFailure, ScrapeTarget,
    Scraped, exposition::PageLimits,
};
use scrape_support::server::{FakeServer, answer, page_answer, read_request};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

const PAGE: &str = "vllm:num_requests_waiting{engine=\"0\"} 3.0\n\
                    vllm:num_requests_running{engine=\"0\"} 2.0\n";

async fn scrape_with(config: ClientConfig, address: SocketAddr) -> Result<Scraped, ScrapeError> {
    let target = ScrapeTarget::new(address, "/metrics").unwrap();
    ScrapeClient::new(config)
        .scrape(&target, &Dialect::builtin("vllm").unwrap())
        .await
}

async fn scrape(address: SocketAddr) -> Result<Scraped, ScrapeError> {
    scrape_with(ClientConfig::default(), address).await
}

async fn failure_of(status: &str, headers: &[&str], body: &str) -> ScrapeError {
    let server = FakeServer::answering("127.0.0.1", answer(status, headers, body)).await;
    scrape(server.address).await.unwrap_err()
}

#[tokio::test]
async fn ten_scrapes_take_one_connection() {
    let server = FakeServer::answering("127.0.0.1", page_answer(PAGE)).await;
    let client = ScrapeClient::new(ClientConfig::default());
    let target = ScrapeTarget::new(server.address, "/metrics").unwrap();
    let dialect = Dialect::builtin("vllm").unwrap();
    for _ in 0..10 {
        let scraped = client.scrape(&target, &dialect).await.unwrap();
        assert_eq!((scraped.waiting, scraped.running), (Some(3.0), Some(2.0)));
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn ipv6_is_scraped_too() {
    let server = FakeServer::answering("::1", page_answer(PAGE)).await;
    assert_eq!(scrape(server.address).await.unwrap().waiting, Some(3.0));
}

/// uvicorn closes idle connections after 5 s; a server may do so at any time, also in the moment
/// when the next request is on its way.
#[tokio::test]
async fn a_connection_that_went_stale_is_replaced_without_a_failure() {
    let server = FakeServer::start("127.0.0.1", |mut stream| async move {
        if read_request(&mut stream).await? {
            stream.write_all(&page_answer(PAGE)).await?;
        }
        // Takes the second request and closes without a word.
        read_request(&mut stream).await.map(|_| ())
    })
    .await;
    let client = ScrapeClient::new(ClientConfig::default());
    let target = ScrapeTarget::new(server.address, "/metrics").unwrap();
    let dialect = Dialect::builtin("vllm").unwrap();
    for scrape in 0..4 {
        let scraped = client.scrape(&target, &dialect).await;
        assert!(scraped.is_ok(), "scrape {scrape}: {scraped:?}");
    }
    assert_eq!(server.connections(), 4);
}

#[tokio::test]
async fn idle_connections_are_closed_before_the_server_does() {
    let server = FakeServer::answering("127.0.0.1", page_answer(PAGE)).await;
    let config = ClientConfig {
        idle_timeout: Duration::from_millis(50),
        ..ClientConfig::default()
    };
    let client = ScrapeClient::new(config);
    let target = ScrapeTarget::new(server.address, "/metrics").unwrap();
    let dialect = Dialect::builtin("vllm").unwrap();
    client.scrape(&target, &dialect).await.unwrap();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if server.ended() == 1 {
            break;
        }
    }
    assert_eq!(server.ended(), 1, "closed by us, without another scrape");
    client.scrape(&target, &dialect).await.unwrap();
    assert_eq!(server.connections(), 2);
    assert!(
        ClientConfig::default().idle_timeout < Duration::from_secs(5),
        "uvicorn's limit"
    );
}

#[tokio::test]
async fn a_refused_connection_says_so() {
    let server = FakeServer::answering("127.0.0.1", Vec::new()).await;
    let address = server.address;
    drop(server);
    // The listener ends with its task, a moment later.
    let mut last = None;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let error = scrape(address).await.unwrap_err();
        if error.failure == ScrapeFailure::Refused {
            last = Some(error);
            break;
        }
    }
    let error = last.unwrap();
    assert_eq!(error.kind(), FailureKind::Refused);
    assert_eq!(
        error.to_string(),
        format!("http://{address}/metrics: connection refused")
    );
}

/// A full accept queue drops the handshake: the address neither refuses nor accepts.
#[tokio::test]
async fn no_connection_in_time_is_told_from_no_answer_in_time() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut fillers = Vec::new();
    for _ in 0..8 {
        let connecting = tokio::net::TcpStream::connect(address);
        fillers.push(tokio::time::timeout(Duration::from_millis(50), connecting).await);
    }
    let error = scrape(address).await.unwrap_err();
    assert_eq!(
        error.failure,
        ScrapeFailure::ConnectTimeout(Duration::from_millis(200))
    );
    assert_eq!(error.kind(), FailureKind::Silent);
}

#[tokio::test]
async fn silence_ends_after_the_whole_time() {
    let server = FakeServer::start("127.0.0.1", |mut stream| async move {
        while read_request(&mut stream).await? {}
        Ok(())
    })
    .await;
    let config = ClientConfig {
        timeout: Duration::from_millis(150),
        ..ClientConfig::default()
    };
    let error = scrape_with(config, server.address).await.unwrap_err();
    assert_eq!(
        error.failure,
        ScrapeFailure::Timeout(Duration::from_millis(150))
    );
    assert!(
        error.to_string().ends_with("no whole answer within 150 ms"),
        "{error}"
    );
}

#[tokio::test]
async fn every_unexpected_answer_is_named() {
    let text = "content-type: text/plain";
    let error = failure_of("302 Found", &["location: http://127.0.0.1:1/"], "").await;
    assert_eq!(error.failure, ScrapeFailure::Status(302));
    assert_eq!(error.kind(), FailureKind::NoMetrics);

    let error = failure_of("503 Service Unavailable", &[text], "").await;
    assert_eq!(error.kind(), FailureKind::ServerError);
    assert!(
        error.to_string().ends_with("status 503 instead of 200"),
        "{error}"
    );

    let error = failure_of("200 OK", &["content-type: application/json"], "[]").await;
    assert!(
        error
            .to_string()
            .contains("content type `application/json`"),
        "{error}"
    );
    assert_eq!(error.kind(), FailureKind::NoMetrics);

    let error = failure_of("200 OK", &[text, "content-encoding: gzip"], "x").await;
    assert_eq!(
        error.failure,
        ScrapeFailure::ContentEncoding("gzip".to_owned())
    );
}

/// What a server sends never reaches a log line raw or at length.
#[tokio::test]
async fn hostile_header_values_are_cut_and_escaped_in_messages() {
    let header = format!("content-type: {}\u{e9}\t", "x".repeat(4000));
    let message = failure_of("200 OK", &[&header], "").await.to_string();
    assert!(message.len() < 300, "{} bytes", message.len());
    assert!(
        message
            .chars()
            .all(|letter| letter.is_ascii() && !letter.is_ascii_control())
    );
}

#[tokio::test]
async fn missing_and_openmetrics_content_types_are_read() {
    for headers in [
        &[][..],
        &["Content-Type: application/openmetrics-text; version=1.0.0"],
    ] {
        let server = FakeServer::answering("127.0.0.1", answer("200 OK", headers, PAGE)).await;
        assert_eq!(scrape(server.address).await.unwrap().waiting, Some(3.0));
    }
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused() {
    let page = "x".repeat(2000);
    let limits = PageLimits {
        body_bytes: 1000,
        ..PageLimits::default()
    };
    let server = FakeServer::answering("127.0.0.1", page_answer(&page)).await;
    let config = ClientConfig {
        limits,
        ..ClientConfig::default()
    };
    let error = scrape_with(config, server.address).await.unwrap_err();
    assert_eq!(error.failure, ScrapeFailure::TooLarge(1000));
}

/// A body without length ends with the connection: whether it is whole nobody knows.
#[tokio::test]
async fn a_body_that_ends_with_the_connection_keeps_only_whole_lines() {
    let server = FakeServer::start("127.0.0.1", |mut stream| async move {
        read_request(&mut stream).await?;
        let cut = "vllm:num_requests_waiting 3\nvllm:num_requests_running 1";
        let head = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
        stream.write_all(format!("{head}{cut}").as_bytes()).await
    })
    .await;
    let scraped = scrape(server.address).await.unwrap();
    assert_eq!(scraped.running, None, "the 1 may have been 12");
    assert!(scraped.problems.truncated);
}

#[tokio::test]
async fn paths_must_be_paths() {
    let address = "127.0.0.1:1".parse().unwrap();
    for path in ["", "metrics", "//\u{7f}", "/a b", "http://elsewhere/"] {
        assert!(ScrapeTarget::new(address, path).is_err(), "{path:?}");
    }
    let address: SocketAddr = "[::1]:8000".parse().unwrap();
    let target = ScrapeTarget::new(address, "/prometheus/metrics?x=y").unwrap();
    assert_eq!(target.url(), "http://[::1]:8000/prometheus/metrics?x=y");
}

#[tokio::test]
async fn engines_are_shown_the_key_with_every_request_if_there_is_one() {
    let file = std::env::temp_dir().join(format!("zerohop-scrape-key-{}", std::process::id()));
    std::fs::write(&file, "sk-engines\n").unwrap();
    let key = ApiKey::open(Some(&ApiKeySource::File(file.clone()))).unwrap();
    std::fs::remove_file(&file).unwrap();
    for (key, expected) in [(key, true), (ApiKey::default(), false)] {
        let server = FakeServer::start("127.0.0.1", |mut stream| async move {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await? > 0 {}
            let request = String::from_utf8(request).unwrap();
            let shown = request.contains("authorization: Bearer sk-engines\r\n");
            let page = format!("vllm:num_requests_waiting {}\n", u8::from(shown));
            stream
                .write_all(&answer("200 OK", &["content-type: text/plain"], &page))
                .await
        })
        .await;
        let client = ScrapeClient::new(ClientConfig::default()).with_api_key(key);
        let target = ScrapeTarget::new(server.address, "/metrics").unwrap();
        let scraped = client
            .scrape(&target, &Dialect::builtin("vllm").unwrap())
            .await;
        let waiting = scraped.unwrap().waiting;
        assert_eq!(waiting, Some(f64::from(u8::from(expected)) as _));
    }
}

#[tokio::test]
async fn adapters_and_context_length_are_read_from_the_list_of_models() {
    let body = r#"{"object":"list","data":[{"id":"tiny","parent":null,"max_model_len":1024},
        {"id":"sql","parent":"tiny"},{"id":"chat","parent":"tiny"}]}"#;
    let json = answer("200 OK", &["content-type: application/json"], body);
    let server = FakeServer::answering("127.0.0.1", json).await;
    let client = ScrapeClient::new(ClientConfig::default());
    let target = ScrapeTarget::new(server.address, "/v1/models").unwrap();
    let models = client.models(&target).await.unwrap();
    assert_eq!(models.max_model_len, Some(1024));
    let names: Vec<String> = models.adapters.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["chat", "sql"]);

    let broken = answer("200 OK", &["content-type: application/json"], "{\"data\":");
    let server = FakeServer::answering("127.0.0.1", broken).await;
    let target = ScrapeTarget::new(server.address, "/v1/models").unwrap();
    let error = client.models(&target).await.unwrap_err();
    assert!(
        matches!(error.failure, ScrapeFailure::Unreadable(_)),
        "{error}"
    );
}
