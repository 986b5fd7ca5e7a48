//! Completions end to end: lengths, prefixes, adapters, several choices, aborts, admission.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on panics"
)]

mod common;

use std::time::Duration;

use common::{Client, JSON, eventually, fast, get, post, start};
use model_sim::server::InstanceConfig;
use serde_json::{Value, json};

fn chat(messages: &Value, more: &Value) -> String {
    let mut body = json!({"model": "sim", "messages": messages});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    body.to_string()
}

#[tokio::test]
async fn lengths_follow_max_tokens_or_are_drawn_and_repeat() {
    let instance = start(fast()).await;
    let address = instance.address();
    let ask = |text: String, more: Value| {
        let body = chat(&json!([{"role": "user", "content": text}]), &more);
        async move { post(address, "/v1/chat/completions", &body).await.json() }
    };
    let limited = ask("hello".into(), json!({"max_tokens": 37})).await;
    assert_eq!(limited["usage"]["completion_tokens"], 37);
    assert_eq!(limited["choices"][0]["finish_reason"], "length");
    let newer = ask(
        "hello".into(),
        json!({"max_tokens": 37, "max_completion_tokens": 5}),
    )
    .await;
    assert_eq!(newer["usage"]["completion_tokens"], 5);
    let mut lengths = Vec::new();
    for number in 0..200 {
        let answer = ask(format!("question {number}"), json!({})).await;
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
        let tokens = answer["usage"]["completion_tokens"].as_u64().unwrap();
        let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
        assert_eq!(text.len() as u64, 4 * tokens);
        lengths.push(tokens);
    }
    lengths.sort_unstable();
    assert!(
        (110..190).contains(&lengths[100]),
        "median {}",
        lengths[100]
    );
    let again = ask("question 7".into(), json!({})).await;
    let once_more = ask("question 7".into(), json!({})).await;
    assert_eq!(again["choices"], once_more["choices"]);
    instance.stop().await;
}

#[tokio::test]
async fn the_next_turn_of_a_chat_finds_prompt_and_answer_in_the_cache() {
    let instance = start(fast()).await;
    let system = "You are a helpful assistant. ".repeat(20);
    let mut messages = vec![json!({"role": "system", "content": system})];
    let mut known = 0;
    for turn in 0..4 {
        messages.push(json!({"role": "user", "content": format!("Tell me more about {turn}.")}));
        let body = chat(&json!(messages), &json!({"max_tokens": 64}));
        let answer = post(instance.address(), "/v1/chat/completions", &body)
            .await
            .json();
        let prompt = answer["usage"]["prompt_tokens"].as_u64().unwrap();
        let cached = answer["usage"]["prompt_tokens_details"]["cached_tokens"]
            .as_u64()
            .unwrap();
        if turn == 0 {
            assert_eq!(cached, 0);
        } else {
            // Whole blocks of what the last turn left, less the partial one at its end.
            assert!(
                cached + 32 >= known && cached <= known,
                "{cached} of {known}"
            );
        }
        known = prompt + 64;
        messages.push(answer["choices"][0]["message"].clone());
    }
    instance.stop().await;
}

#[tokio::test]
async fn adapters_do_not_share_prefixes_with_the_base_model() {
    let config = InstanceConfig {
        loras: vec!["sql".into()],
        ..fast()
    };
    let instance = start(config).await;
    let ask = async |model: &str| {
        let body = json!({"model": model, "prompt": "select ".repeat(50), "max_tokens": 2});
        let answer = post(instance.address(), "/v1/completions", &body.to_string())
            .await
            .json();
        assert_eq!(answer["model"], model);
        answer["usage"]["prompt_tokens_details"]["cached_tokens"]
            .as_u64()
            .unwrap()
    };
    assert_eq!([ask("sim").await, ask("sql").await], [0, 0]);
    assert_eq!([ask("sim").await, ask("sql").await], [80, 80]);
    instance.stop().await;
}

#[tokio::test]
async fn several_prompts_and_choices_are_numbered_prompt_by_prompt() {
    let instance = start(fast()).await;
    let body = json!({"prompt": ["one", "two two"], "n": 3, "max_tokens": 4}).to_string();
    let answer = post(instance.address(), "/v1/completions", &body)
        .await
        .json();
    let choices = answer["choices"].as_array().unwrap();
    let indices: Vec<u64> = choices
        .iter()
        .map(|c| c["index"].as_u64().unwrap())
        .collect();
    assert_eq!(indices, [0, 1, 2, 3, 4, 5]);
    assert_eq!(
        answer["usage"],
        json!({"prompt_tokens": 3, "total_tokens": 27,
        "completion_tokens": 24, "prompt_tokens_details": {"cached_tokens": 0,
        "created_cache_tokens": null, "multimodal_tokens": null},
        "completion_tokens_details": null})
    );
    for prompt in [json!([1, 2, 3, 4, 5]), json!([[1, 2], [3, 4, 5]])] {
        let body = json!({"prompt": prompt, "max_tokens": 1}).to_string();
        let answer = post(instance.address(), "/v1/completions", &body)
            .await
            .json();
        assert_eq!(answer["usage"]["prompt_tokens"], 5);
    }
    instance.stop().await;
}

#[tokio::test]
async fn wrong_requests_get_400_and_the_server_lives() {
    let instance = start(fast()).await;
    for body in [
        r#"{"prompt":7}"#,
        r#"{"prompt":[]}"#,
        r#"{"prompt":["a",1]}"#,
        r#"{"prompt":[-1]}"#,
        r#"{"prompt":"a","n":0}"#,
        r#"{"prompt":"a","n":100000}"#,
        r#"{"prompt":"a","max_tokens":"x"}"#,
        r#"{"prompt":"a","max_tokens":1e99}"#,
        r#"{"prompt":"a","stream":"yes"}"#,
        r#"{"prompt":"a","model":7}"#,
        "{\"prompt\":\"\\ud800\"}",
        "{",
        "null",
        "\n\n {\"prompt\": }",
        "\u{feff}{}",
    ] {
        let answer = post(instance.address(), "/v1/completions", body).await;
        if body == r#"{"prompt":[]}"# {
            assert_eq!(answer.status, 200, "no prompt, no choice");
            continue;
        }
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        assert_eq!(answer.json()["error"]["code"], 400);
    }
    let deep = format!(
        r#"{{"prompt":{}1{}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    assert_eq!(
        post(instance.address(), "/v1/completions", &deep)
            .await
            .status,
        400
    );
    let twice = r#"{"model":"nope","prompt":"a","max_tokens":1,"model":"sim"}"#;
    assert_eq!(
        post(instance.address(), "/v1/completions", twice)
            .await
            .status,
        200,
        "last wins"
    );
    let too_much = json!({"prompt": "a".repeat(40_000), "max_tokens": 8_000}).to_string();
    let answer = post(instance.address(), "/v1/completions", &too_much).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.text().contains("for a total of 18000 tokens"),
        "{}",
        answer.text()
    );
    instance.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_place_in_the_engine() {
    let mut config = fast();
    config.engine.speed = 0.01;
    let instance = start(config).await;
    let body = br#"{"prompt":"abc","max_tokens":500}"#;
    let streamed = br#"{"prompt":"abc","max_tokens":500,"stream":true}"#;
    let mut clients = Vec::new();
    for body in [body.as_slice(), streamed.as_slice()] {
        let mut client = Client::connect(instance.address()).await;
        let head = format!(
            "POST /v1/completions HTTP/1.1\r\nhost: s\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        client.send(head.as_bytes()).await;
        client.send(body).await;
        clients.push(client);
    }
    eventually("both are in the engine", || {
        instance.engine().running + instance.engine().waiting == 2
    })
    .await;
    assert_eq!(instance.stats().requests_in_progress, 2);
    drop(clients);
    eventually("the engine is empty", || {
        let engine = instance.engine();
        engine.running + engine.waiting == 0 && engine.kv_blocks_used == 0
    })
    .await;
    eventually("the aborts are counted", || {
        instance.stats().requests_aborted == 2
    })
    .await;
    assert_eq!(instance.stats().requests_in_progress, 0);
    instance.stop().await;
}

#[tokio::test]
async fn the_admission_limit_answers_503_or_an_error_event() {
    let mut config = InstanceConfig {
        max_queued_requests: Some(2),
        ..fast()
    };
    config.engine.max_num_seqs = 1;
    config.engine.speed = 0.02;
    let instance = start(config).await;
    let address = instance.address();
    let long = r#"{"prompt":"abc","max_tokens":500,"stream":true}"#;
    let mut held = Vec::new();
    for wanted in 1..=3 {
        let mut client = Client::connect(address).await;
        let request = format!(
            "POST /v1/completions HTTP/1.1\r\nhost: s\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{long}",
            long.len()
        );
        client.send(request.as_bytes()).await;
        held.push(client);
        eventually("it is in the engine", || {
            instance.engine().running + instance.engine().waiting == wanted
        })
        .await;
        // The first has to leave the waiting queue before the others fill it.
        eventually("one runs", || instance.engine().running == 1).await;
    }
    let refused = post(
        address,
        "/v1/completions",
        r#"{"prompt":"x","max_tokens":1}"#,
    )
    .await;
    assert_eq!(refused.status, 503);
    let captured = r#"{"error":{"message":"The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.","type":"Service Unavailable","param":null,"code":503}}"#;
    assert_eq!(refused.text(), captured);
    let streamed = r#"{"prompt":"x","max_tokens":1,"stream":true}"#;
    let refused = post(address, "/v1/completions", streamed).await;
    assert_eq!(refused.status, 200);
    let captured = "data: {\"error\": {\"message\": \"The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.\", \"type\": \"Service Unavailable\", \"param\": null, \"code\": 503}}\n\ndata: [DONE]\n\n";
    assert_eq!(refused.text(), captured);
    let page = get(address, "/metrics").await;
    assert!(
        page.text()
            .contains("reason=\"max_num_queued_reqs\"} 2.0\n")
    );
    drop(held);
    instance.stop().await;
}

#[tokio::test]
async fn streams_send_each_token_when_it_is_there() {
    let mut config = fast();
    config.engine.speed = 0.5;
    let instance = start(config).await;
    let body = r#"{"prompt":"abc","max_tokens":10,"stream":true}"#;
    let mut client = Client::connect(instance.address()).await;
    let request = format!(
        "POST /v1/completions HTTP/1.1\r\nhost: s\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.send(request.as_bytes()).await;
    let head = client.head().await.unwrap();
    assert_eq!(
        (head.status, head.header("transfer-encoding")),
        (200, Some("chunked"))
    );
    let mut times = Vec::new();
    let mut events = Vec::new();
    while let Some(chunk) = client.chunk().await.unwrap() {
        times.push(std::time::Instant::now());
        events.push(String::from_utf8(chunk).unwrap());
    }
    assert_eq!(events.len(), 11, "ten tokens and [DONE]: {events:?}");
    // A step takes 11 ms at this speed; ten of them cannot arrive together.
    assert!(
        times[9] - times[0] > Duration::from_millis(60),
        "{:?}",
        times[9] - times[0]
    );
    instance.stop().await;
}

#[tokio::test]
async fn twenty_concurrent_clients_get_what_the_engine_counts() {
    let instance = start(fast()).await;
    let address = instance.address();
    let tasks: Vec<_> = (0..20)
        .map(|client| {
            tokio::spawn(async move {
                let mut connection = Client::connect(address).await;
                let mut tokens = 0;
                for number in 0..20 {
                    let body = json!({"prompt": format!("{client} {number}"), "max_tokens": 3 + number,
                        "stream": number % 2 == 0, "stream_options": {"include_usage": true}});
                    let answer = connection
                        .request("POST", "/v1/completions", &[JSON], Some(body.to_string().as_bytes()))
                        .await
                        .unwrap();
                    assert_eq!(answer.status, 200);
                    let usage = if number % 2 == 0 {
                        let events = answer.events();
                        serde_json::from_str::<Value>(&events[events.len() - 2]).unwrap()
                    } else {
                        answer.json()
                    };
                    tokens += usage["usage"]["completion_tokens"].as_u64().unwrap();
                }
                tokens
            })
        })
        .collect();
    let mut tokens = 0;
    for task in tasks {
        tokens += task.await.unwrap();
    }
    assert_eq!(tokens, 20 * (0..20).map(|number| 3 + number).sum::<u64>());
    let page = instance.metrics_page();
    assert!(page.contains(&format!(
        "vllm:generation_tokens_total{{engine=\"0\",model_name=\"sim\"}} {tokens}.0\n"
    )));
    eventually("all are finished", || {
        instance.stats().requests_finished == 400
    })
    .await;
    let stats = instance.stats();
    assert_eq!((stats.requests_in_progress, stats.requests_aborted), (0, 0));
    assert_eq!(stats.statuses.get(&200), Some(&400));
    instance.stop().await;
}
