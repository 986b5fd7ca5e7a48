//! Every captured exchange of vLLM 0.32 is repeated against an instance: status, header names and
//! body must be equal once ids, times, texts and token counts are made equal.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on panics"
)]

mod common;

use common::{Client, start};
use model_sim::server::InstanceConfig;
use serde_json::Value;

const EXCHANGES: &str = include_str!("../../testdata/model-sim/vllm-0.32.0-exchanges.json");

fn like_the_captured_server() -> InstanceConfig {
    let mut config = InstanceConfig {
        model: "tiny".to_owned(),
        loras: vec!["sql".to_owned(), "chat".to_owned()],
        ..InstanceConfig::default()
    };
    config.engine.speed = 50.0;
    config.engine.kv_blocks = 64;
    config.engine.block_tokens = 32;
    config.engine.max_model_len = 1_024;
    config.engine.max_loras = 2;
    config
}

/// Replaces what differs between any two servers: texts after `"key":"` and digits after `"key":`.
fn normalised(text: &str) -> String {
    let mut text = text.to_owned();
    for key in [
        r#""id":"chatcmpl-"#,
        r#""id":"cmpl-"#,
        r#""id":"modelperm-"#,
        r#""root":""#,
        r#""text":""#,
    ]
    .into_iter()
    .chain([r#""content":""#])
    {
        text = replace_after(&text, key, |rest| {
            let mut escaped = false;
            rest.find(|c| {
                let end = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                end
            })
        });
    }
    for key in [
        r#""created":"#,
        r#""prompt_tokens":"#,
        r#""total_tokens":"#,
        r#""count":"#,
        r#""input_tokens":"#,
    ] {
        text = replace_after(&text, key, |rest| rest.find(|c: char| !c.is_ascii_digit()));
    }
    replace_after(&text, r#""tokens":["#, |rest| rest.find(']'))
}

fn replace_after(text: &str, key: &str, end: impl Fn(&str) -> Option<usize>) -> String {
    let mut pieces = text.split(key);
    let mut result = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let keep = end(piece).expect("the value ends");
        result.push_str(key);
        result.push('_');
        result.push_str(&piece[keep..]);
    }
    result
}

#[tokio::test]
async fn answers_are_those_of_vllm() {
    let instance = start(like_the_captured_server()).await;
    let exchanges: Vec<Value> = serde_json::from_str(EXCHANGES).unwrap();
    assert_eq!(exchanges.len(), 47);
    for exchange in &exchanges {
        let name = exchange["name"].as_str().unwrap();
        let mut headers: Vec<(&str, &str)> = exchange["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let body = exchange["request"].as_str();
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            headers.push(common::JSON);
        }
        let (method, path) = (
            exchange["method"].as_str().unwrap(),
            exchange["path"].as_str().unwrap(),
        );
        let mut client = Client::connect(instance.address()).await;
        let answer = client
            .request(method, path, &headers, body.map(str::as_bytes))
            .await
            .unwrap();
        assert_eq!(
            u64::from(answer.status),
            exchange["status"],
            "status of {name}"
        );
        let mut names: Vec<&str> = answer
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        names.sort_unstable();
        assert_eq!(
            serde_json::json!(names),
            exchange["response_headers"],
            "headers of {name}"
        );
        let captured = exchange["response"].as_str().unwrap();
        let (ours, theirs) = (normalised(answer.text()), normalised(captured));
        if name == "chat-stream-n2" {
            // Two texts are generated at once; which token comes first differs.
            let sorted = |text: &str| {
                let mut events: Vec<String> = text.split("\n\n").map(str::to_owned).collect();
                events.sort_unstable();
                events
            };
            assert_eq!(sorted(&ours), sorted(&theirs), "body of {name}");
        } else {
            assert_eq!(ours, theirs, "body of {name}");
        }
    }
    instance.stop().await;
}

#[test]
fn normalising_hides_values_but_not_shapes() {
    assert_eq!(
        normalised(r#"{"id":"cmpl-1a","text":"a\"b","created":12,"x":3}"#),
        r#"{"id":"cmpl-_","text":"_","created":_,"x":3}"#
    );
    assert_ne!(
        normalised(r#"{"content":"a"}"#),
        normalised(r#"{"content":null}"#)
    );
}
