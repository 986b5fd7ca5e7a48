//! Every byte value in every header and in `model`: the worker lives. And if the VM does die, Envoy
//! reloads it and it starts warm.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use e2e::rig::{
    Client, Envoy, Protocol, RequestSpec, Rig, RigOptions, artifacts, chaos, eventually, raw,
};

const LIMIT: Duration = Duration::from_secs(5);

/// Headers that the filter reads, removes or sets, that it might some day, and one of nobody's.
const HEADERS: [&str; 20] = [
    "content-type",
    "content-encoding",
    "content-length",
    "x-gateway-destination-endpoint",
    "x-gateway-destination-endpoint-subset",
    "x-gateway-destination-endpoint-served",
    "x-envoy-original-dst-host",
    "x-request-id",
    "authorization",
    "user-agent",
    "accept",
    "te",
    "traceparent",
    "x-llm-priority",
    "x-llm-d-inference-objective",
    "x-llm-d-model-name-rewrite",
    "x-gateway-model-name",
    "test-epp-endpoint-selection",
    "x-session-id",
    "x-anything",
];

/// Fails if any VM has ever been lost.
async fn nothing_crashed(envoy: &Envoy) {
    let log = envoy.process().log();
    for word in ["panicked", "Uncaught RuntimeError", "Uncaught RangeError"] {
        assert!(!log.contains(word), "Envoy's log says {word}:\n{log}");
    }
    let stats = envoy.admin().stats("vm_reload").await.unwrap();
    assert!(stats.values().all(|count| *count == 0), "{stats:?}");
}

/// Enough good requests on new connections that every worker serves some.
async fn every_worker_serves(envoy: &Envoy) {
    for number in 0..32 {
        let client = Client::new(envoy.address(), Protocol::Http1);
        let spec = RequestSpec::completion("tiny", &format!("good {number}"));
        let response = client.send(spec).await.unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_byte_in_every_header() {
    let rig = Rig::start(RigOptions::default()).await.unwrap();
    let body = br#"{"model":"tiny","prompt":"x"}"#;
    let mut refused = 0;
    for header in HEADERS {
        for byte in 0..=u8::MAX {
            // At the start, in the middle and at the end of the value in turn.
            let value = match byte % 3 {
                0 => [byte, b'a', b'b'],
                1 => [b'a', byte, b'b'],
                _ => [b'a', b'b', byte],
            };
            let mut request = b"POST /v1/completions HTTP/1.1\r\nhost: rig\r\n".to_vec();
            if header != "content-length" {
                request.extend(format!("content-length: {}\r\n", body.len()).bytes());
            }
            request.extend(header.bytes().chain(*b": ").chain(value).chain(*b"\r\n"));
            request.extend(b"connection: close\r\n\r\n");
            request.extend(body);
            let answer = raw::exchange(rig.envoy.address(), &request, LIMIT)
                .await
                .unwrap();
            // Envoy itself refuses what HTTP forbids; the filter refuses nothing.
            assert!(
                matches!(answer.status, 200 | 400 | 0),
                "byte {byte:#04x} in {header}: {}",
                answer.head
            );
            if answer.status != 200 {
                refused += 1;
            }
            if (0x80..=0xff).contains(&byte) && header != "content-length" && header != "te" {
                assert_eq!(
                    answer.status, 200,
                    "byte {byte:#04x} in {header}: {}",
                    answer.head
                );
            }
        }
        nothing_crashed(&rig.envoy).await;
    }
    assert!(
        refused < HEADERS.len() * 80,
        "{refused} requests were refused"
    );
    every_worker_serves(&rig.envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_byte_in_the_path_and_in_the_model() {
    let rig = Rig::start(RigOptions::default()).await.unwrap();
    for byte in 0..=u8::MAX {
        let mut request = b"GET /v1/".to_vec();
        request.push(byte);
        request.extend(b"x HTTP/1.1\r\nhost: rig\r\nconnection: close\r\n\r\n");
        // Whatever HTTP allows is answered, and the rest refused by Envoy.
        raw::exchange(rig.envoy.address(), &request, LIMIT)
            .await
            .unwrap();
        for place in 0..3 {
            let mut model = b"model".to_vec();
            model.insert([0, 2, 5][place], byte);
            let mut body = br#"{"prompt":"x","model":""#.to_vec();
            body.extend(model);
            body.extend(br#""}"#);
            let response = rig.client.send(RequestSpec::post(body)).await.unwrap();
            assert_eq!(
                response.status,
                200,
                "byte {byte:#04x} in model: {}",
                response.text()
            );
        }
        let escaped = format!(r#"{{"model":"a\u00{byte:02x}b","prompt":"x"}}"#);
        let response = rig.client.send(RequestSpec::post(escaped)).await.unwrap();
        assert_eq!(response.status, 200, "escape of {byte:#04x} in model");
    }
    nothing_crashed(&rig.envoy).await;
    every_worker_serves(&rig.envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_that_breaks_parsers() {
    let rig = Rig::start(RigOptions::default()).await.unwrap();
    let long_name = "m".repeat(100_000);
    let many_fields: String = (0..20_000).map(|n| format!("\"f{n}\":{n},")).collect();
    let bodies: Vec<Vec<u8>> = vec![
        b"[".repeat(1_000_000),
        br#"{"a":"#.repeat(200_000),
        format!(r#"{{"model":"{long_name}"}}"#).into_bytes(),
        format!(r#"{{"{long_name}":1,"model":"tiny"}}"#).into_bytes(),
        format!(r#"{{{many_fields}"model":"tiny"}}"#).into_bytes(),
        br#"{"model":"\ud800"}"#.to_vec(),
        br#"{"model":"\udfff\ud800x"}"#.to_vec(),
        br#"{"model":"a","model":"b"}"#.to_vec(),
        br#"{"m\u006fdel":"a","model":7}"#.to_vec(),
        br#"["model","tiny"]"#.to_vec(),
        br#"{"model":NaN,"max_tokens":1e999999999}"#.to_vec(),
        b"\xef\xbb\xbf{\"model\":\"tiny\"}".to_vec(),
        b"{\"model\":\"tiny\"".to_vec(),
        b"\"\\".to_vec(),
        b"\0\0\0\0".to_vec(),
        b"\xff\xfe{\0}\0".to_vec(),
    ];
    for body in bodies {
        let start = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        for spec in [
            RequestSpec::post(body.clone()),
            RequestSpec::post(body.clone()).chunked(1_000),
        ] {
            let response = rig.client.send(spec).await.unwrap();
            assert_eq!(response.status, 200, "{start}: {}", response.text());
        }
    }
    nothing_crashed(&rig.envoy).await;
    every_worker_serves(&rig.envoy).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_vm_comes_back_warm() {
    let rig = Rig::start(RigOptions {
        change: |config| config.wasm(&artifacts::chaos_wasm()?),
        ..RigOptions::default()
    })
    .await
    .unwrap();
    // One pod is clearly the best, which only the agent's signals tell.
    for pod in &rig.pods[1..] {
        pod.metrics(|metrics| metrics.waiting = 40.0);
    }
    let best = rig.pods[0].address();
    let picks_best = || async {
        let mut all = true;
        for number in 0..16 {
            let client = Client::new(rig.envoy.address(), Protocol::Http1);
            let spec = RequestSpec::completion("tiny", &format!("{number}"));
            let response = client.send(spec).await;
            all &= response.is_ok_and(|r| r.status == 200 && r.upstream() == Some(best));
        }
        all
    };
    eventually("the idle pod is picked", LIMIT, picks_best)
        .await
        .unwrap();
    // Now no new signals can come, so that only what the slots still hold can be used.
    rig.agent.as_ref().unwrap().freeze().unwrap();
    for _ in 0..4 {
        chaos::crash_once(rig.envoy.address()).await.unwrap();
        let took = eventually("requests are served again", LIMIT, || async {
            let client = Client::new(rig.envoy.address(), Protocol::Http1);
            let spec = RequestSpec::completion("tiny", "again");
            client
                .send(spec)
                .await
                .is_ok_and(|response| response.status == 200)
        })
        .await
        .unwrap();
        assert!(
            took < Duration::from_millis(1_100),
            "the reload took {took:?}"
        );
    }
    let limit = Duration::from_millis(1_500);
    eventually("a reloaded VM makes the same picks", limit, picks_best)
        .await
        .unwrap();
    let stats = rig.envoy.admin().stats("vm_reload_success").await.unwrap();
    assert!(stats.values().sum::<u64>() >= 1, "{stats:?}");
    rig.agent.as_ref().unwrap().thaw().unwrap();
}
