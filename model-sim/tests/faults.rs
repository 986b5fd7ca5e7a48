//! Every fault, seen from the wire.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on panics"
)]

mod common;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use common::{Client, JSON, eventually, fast, get, post, start, try_post};
use model_sim::server::{Faults, Instance, InstanceConfig, MetricsFault, Reset, SimError};
use tokio::time::timeout;

const PATH: &str = "/v1/completions";
const BODY: &str = r#"{"prompt":"hello","max_tokens":5}"#;
const STREAM: &str = r#"{"prompt":"hello","max_tokens":5,"stream":true}"#;

async fn faulty(faults: Faults) -> Instance {
    start(InstanceConfig { faults, ..fast() }).await
}

fn assert_reset(result: std::io::Result<common::Answer>) {
    let error = result.expect_err("the connection is reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
}

#[tokio::test]
async fn connections_are_reset_at_every_place() {
    for reset in [Reset::Accept, Reset::Request, Reset::Response, Reset::Body] {
        let instance = faulty(Faults {
            reset,
            ..Faults::default()
        })
        .await;
        match Client::connect(instance.address())
            .await
            .request("POST", PATH, &[JSON], Some(BODY.as_bytes()))
            .await
        {
            // The client may still be writing when the reset comes.
            Err(error) => assert!(
                matches!(
                    error.kind(),
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
                ),
                "{reset:?}: {error}"
            ),
            Ok(answer) => panic!("{reset:?} answered {answer:?}"),
        }
        instance.set_faults(Faults::default()).unwrap();
        assert_eq!(
            post(instance.address(), PATH, BODY).await.status,
            200,
            "{reset:?} is over"
        );
        if reset != Reset::Accept {
            eventually("the cut request is counted", || {
                instance.stats().requests_aborted == 1
            })
            .await;
        }
        instance.stop().await;
    }
}

#[tokio::test]
async fn a_reset_in_the_body_comes_after_the_headers_and_a_part() {
    let instance = faulty(Faults {
        reset: Reset::Body,
        ..Faults::default()
    })
    .await;
    for body in [BODY, STREAM] {
        let mut client = Client::connect(instance.address()).await;
        let request = format!(
            "POST {PATH} HTTP/1.1\r\nhost: s\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        client.send(request.as_bytes()).await;
        assert_eq!(client.head().await.unwrap().status, 200);
        if body == STREAM {
            let first = client.chunk().await.unwrap().unwrap();
            assert!(first.starts_with(b"data: {"));
            assert_eq!(
                client.chunk().await.unwrap_err().kind(),
                ErrorKind::ConnectionReset
            );
        } else {
            assert_reset(client.answer().await);
        }
    }
    instance.stop().await;
}

#[tokio::test]
async fn statuses_come_with_their_share() {
    let faults = Faults {
        status: Some(503),
        status_probability: 0.5,
        ..Faults::default()
    };
    let instance = faulty(faults).await;
    let mut refused = 0;
    for _ in 0..100 {
        let answer = post(instance.address(), PATH, BODY).await;
        refused += u32::from(answer.status == 503);
    }
    assert!((30..70).contains(&refused), "{refused}");
    instance
        .set_faults(Faults {
            status: Some(429),
            ..Faults::default()
        })
        .unwrap();
    let limited = post(instance.address(), PATH, BODY).await;
    assert_eq!(
        (limited.status, limited.header("retry-after")),
        (429, Some("1"))
    );
    assert_eq!(
        get(instance.address(), "/health").await.status,
        200,
        "probes are not hit"
    );
    let health = Faults {
        health_status: Some(503),
        ..Faults::default()
    };
    instance.set_faults(health).unwrap();
    assert_eq!(get(instance.address(), "/health").await.status, 503);
    instance.stop().await;
}

#[tokio::test]
async fn a_draining_pod_looks_idle_and_healthy_and_refuses_completions() {
    let instance = faulty(Faults {
        drain: true,
        ..Faults::default()
    })
    .await;
    for body in [BODY, STREAM] {
        let answer = post(instance.address(), PATH, body).await;
        assert_eq!(answer.status, 500);
        let message = &answer.json()["error"]["message"];
        assert_eq!(message, "cannot schedule new futures after shutdown");
    }
    assert_eq!(get(instance.address(), "/health").await.status, 200);
    let page = get(instance.address(), "/metrics").await;
    assert!(
        page.text()
            .contains("vllm:num_requests_running{engine=\"0\",model_name=\"sim\"} 0.0")
    );
    instance.stop().await;
}

#[tokio::test]
async fn a_hung_engine_stalls_streams_freezes_gauges_and_goes_on_where_it_stopped() {
    let mut config = fast();
    config.engine.speed = 0.3;
    let instance = start(config).await;
    let body = r#"{"prompt":"hello","max_tokens":30,"stream":true}"#;
    let mut client = Client::connect(instance.address()).await;
    let request = format!(
        "POST {PATH} HTTP/1.1\r\nhost: s\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.send(request.as_bytes()).await;
    client.head().await.unwrap();
    for _ in 0..3 {
        client.chunk().await.unwrap().unwrap();
    }
    instance
        .set_faults(Faults {
            hang: true,
            ..Faults::default()
        })
        .unwrap();
    // What was on its way may still come; then nothing does.
    let mut late = 0;
    while timeout(Duration::from_millis(300), client.chunk())
        .await
        .is_ok()
    {
        late += 1;
        assert!(late < 4, "the stream goes on");
    }
    let engine_lines = |page: &str| {
        page.lines()
            .filter(|line| line.starts_with("vllm:"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let before = engine_lines(get(instance.address(), "/metrics").await.text());
    assert!(
        before
            .iter()
            .any(|l| l == "vllm:num_requests_running{engine=\"0\",model_name=\"sim\"} 1.0")
    );
    assert_eq!(get(instance.address(), "/health").await.status, 200);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let after = engine_lines(get(instance.address(), "/metrics").await.text());
    assert_eq!(before, after);
    instance.set_faults(Faults::default()).unwrap();
    let mut chunks = 3 + late;
    while client.chunk().await.unwrap().is_some() {
        chunks += 1;
    }
    assert_eq!(chunks, 31, "thirty tokens and [DONE]");
    instance.stop().await;
}

#[tokio::test]
async fn a_closed_port_refuses_and_comes_back_as_a_new_process() {
    let instance = start(fast()).await;
    let address = instance.address();
    assert_eq!(post(address, PATH, BODY).await.status, 200);
    let start_time = |page: &str| {
        let line = page
            .lines()
            .find(|line| line.starts_with("process_start_time_seconds "))
            .unwrap();
        line.to_owned()
    };
    let first_life = start_time(&instance.metrics_page());
    let mut open = Client::connect(address).await;
    assert_eq!(
        open.request("GET", "/health", &[], None)
            .await
            .unwrap()
            .status,
        200
    );
    instance.kill().await.unwrap();
    let refused = tokio::net::TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let cut = open.request("GET", "/health", &[], None).await.unwrap_err();
    assert!(
        matches!(
            cut.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ),
        "{cut}"
    );
    tokio::time::sleep(Duration::from_millis(20)).await;
    instance.restart().await.unwrap();
    assert_eq!(instance.address(), address);
    let page = get(address, "/metrics").await;
    assert!(
        page.text()
            .contains("vllm:generation_tokens_total{engine=\"0\",model_name=\"sim\"} 0.0")
    );
    assert_ne!(start_time(page.text()), first_life);
    assert_eq!(post(address, PATH, BODY).await.status, 200);
    assert_eq!(
        instance.stats().requests_finished,
        2,
        "what the test counts survives"
    );
    instance.stop().await;
    let gone = tokio::net::TcpStream::connect(address).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn requests_under_way_end_with_their_process() {
    let mut config = fast();
    config.engine.speed = 0.01;
    let instance = start(config).await;
    let address = instance.address();
    let waiting = tokio::spawn(try_post(address, PATH, BODY));
    eventually("it runs", || instance.engine().running == 1).await;
    instance.restart().await.unwrap();
    assert_reset(waiting.await.unwrap());
    assert_eq!(instance.engine().running, 0);
    instance.stop().await;
}

#[tokio::test]
async fn slowness_and_late_first_bytes_take_time() {
    let mut config = fast();
    config.engine.speed = 10.0;
    let instance = start(config).await;
    let took = async || {
        let began = Instant::now();
        assert_eq!(
            post(
                instance.address(),
                PATH,
                r#"{"prompt":"x","max_tokens":40}"#
            )
            .await
            .status,
            200
        );
        began.elapsed()
    };
    let normal = took().await;
    // Forty steps of 0.55 ms, then of 8.3 ms.
    instance
        .set_faults(Faults {
            slow_factor: 15.0,
            ..Faults::default()
        })
        .unwrap();
    let slow = took().await;
    assert!(
        slow > Duration::from_millis(300) && slow > 3 * normal,
        "{normal:?} {slow:?}"
    );
    instance
        .set_faults(Faults {
            first_byte_delay_ms: 150,
            ..Faults::default()
        })
        .unwrap();
    assert!(took().await > Duration::from_millis(150));
    instance.stop().await;
}

#[tokio::test]
async fn an_error_as_the_first_event() {
    let instance = faulty(Faults {
        sse_error: true,
        ..Faults::default()
    })
    .await;
    let streamed = post(instance.address(), PATH, STREAM).await;
    assert_eq!(streamed.status, 200);
    assert!(
        streamed
            .text()
            .starts_with("data: {\"error\": {\"message\": \"The engine is")
    );
    assert!(streamed.text().ends_with("\n\ndata: [DONE]\n\n"));
    assert_eq!(post(instance.address(), PATH, BODY).await.status, 503);
    instance.stop().await;
}

#[tokio::test]
async fn metrics_faults() {
    let instance = start(fast()).await;
    let address = instance.address();
    let set = |metrics| {
        instance
            .set_faults(Faults {
                metrics,
                ..Faults::default()
            })
            .unwrap()
    };
    set(MetricsFault::Frozen);
    let before = get(address, "/metrics").await;
    post(address, PATH, BODY).await;
    assert_eq!(get(address, "/metrics").await.body, before.body);
    set(MetricsFault::Garbage);
    let garbage = get(address, "/metrics").await;
    assert!(garbage.status == 200 && std::str::from_utf8(&garbage.body).is_err());
    set(MetricsFault::Empty);
    assert_eq!(get(address, "/metrics").await.body, b"");
    set(MetricsFault::Error);
    assert_eq!(get(address, "/metrics").await.status, 500);
    set(MetricsFault::Hang);
    let mut client = Client::connect(address).await;
    let hung = client.request("GET", "/metrics", &[], None);
    assert!(timeout(Duration::from_millis(200), hung).await.is_err());
    assert_eq!(get(address, "/health").await.status, 200);
    instance
        .set_faults(Faults {
            metrics_delay_ms: 150,
            ..Faults::default()
        })
        .unwrap();
    let began = Instant::now();
    let page = get(address, "/metrics").await;
    assert!(began.elapsed() >= Duration::from_millis(150));
    assert!(
        page.text()
            .contains("vllm:generation_tokens_total{engine=\"0\",model_name=\"sim\"} 5.0")
    );
    instance.stop().await;
}

#[tokio::test]
async fn faults_can_be_set_over_http_and_mistakes_are_all_named() {
    let instance = start(fast()).await;
    let address = instance.address();
    let put = async |path: &str, body: &str| {
        Client::connect(address)
            .await
            .request("PUT", path, &[JSON], Some(body.as_bytes()))
            .await
            .unwrap()
    };
    let answer = put("/sim/faults", r#"{"status":503,"slow_factor":2}"#).await;
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (200, &503.into())
    );
    assert_eq!(post(address, PATH, BODY).await.status, 503);
    let wrong = put("/sim/faults", r#"{"status":7,"reset_probability":3}"#).await;
    assert_eq!(wrong.status, 400);
    assert!(
        wrong
            .text()
            .contains("status: must be from 400 to 599, got 7"),
        "{}",
        wrong.text()
    );
    assert!(
        wrong.text().contains("reset_probability"),
        "{}",
        wrong.text()
    );
    assert_eq!(put("/sim/faults", r#"{"statuss":503}"#).await.status, 400);
    assert_eq!(
        instance.faults().status,
        Some(503),
        "a refused order changes nothing"
    );
    assert_eq!(put("/sim/faults", "{}").await.status, 200);
    assert_eq!(put("/sim/metrics", r#"{"running":9}"#).await.status, 200);
    assert!(
        instance
            .metrics_page()
            .contains("vllm:num_requests_running{engine=\"0\",model_name=\"sim\"} 9.0")
    );
    let stats = get(address, "/sim/stats").await.json();
    assert_eq!(stats["requests_started"], 1);
    assert_eq!(get(address, "/sim/engine").await.json()["kv_blocks"], 6_999);
    assert_eq!(get(address, "/sim/nothing").await.status, 404);
    assert_eq!(post(address, "/sim/stats", "").await.status, 405);
    instance.stop().await;
    let closed = start(InstanceConfig {
        control: false,
        ..fast()
    })
    .await;
    let echoed = get(closed.address(), "/sim/stats").await;
    assert_eq!(
        echoed.json()["path"],
        "/sim/stats",
        "without control it is a path like others"
    );
    closed.stop().await;
}

#[tokio::test]
async fn bad_configurations_do_not_start() {
    let mut config = InstanceConfig {
        model: String::new(),
        ..fast()
    };
    config.engine.kv_blocks = 1;
    config.faults.slow_factor = -1.0;
    match Instance::start(config).await {
        Err(SimError::Config { mistakes }) => assert_eq!(mistakes.len(), 3, "{mistakes:?}"),
        other => panic!("{other:?}"),
    }
    let first = start(fast()).await;
    let taken = Instance::start(InstanceConfig {
        address: first.address(),
        ..fast()
    })
    .await;
    assert!(matches!(taken, Err(SimError::Listen { .. })), "{taken:?}");
    first.stop().await;
}
