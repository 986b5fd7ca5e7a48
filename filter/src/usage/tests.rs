use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn answer(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/answers");
    std::fs::read(format!("{folder}/vllm-0.32.0-{name}")).unwrap()
}

fn tail_of(answer: &[u8]) -> Tail {
    let mut tail = Tail::default();
    tail.push(answer);
    tail
}

fn counts(prompt: u32, cached: impl Into<Option<u32>>, output: u32) -> Option<Usage> {
    Some(Usage {
        prompt_tokens: Some(prompt),
        cached_tokens: cached.into(),
        output_tokens: Some(output),
    })
}

#[test]
fn real_documents_are_read() {
    for (name, expected) in [
        ("chat.json", counts(21, 0, 12)),
        ("completion-n2-logprobs.json", counts(5, 0, 20)),
        ("responses.json", counts(5, 0, 8)),
        ("embeddings.json", counts(2, None, 0)),
        ("anthropic-messages.json", counts(5, None, 6)),
        ("orca-text.json", counts(2, 0, 4)),
        ("err-bad-json.json", None),
    ] {
        let answer = answer(name);
        assert_eq!(tail_of(&answer).of_document(), expected, "{name}");
        let padded = [&answer[..], b" \r\n"].concat();
        assert_eq!(tail_of(&padded).of_document(), expected, "{name} and space");
    }
}

#[test]
fn real_streams_are_read() {
    for (name, expected) in [
        ("chat-stream.sse", None),
        ("chat-stream-usage.sse", counts(21, 0, 8)),
        ("chat-stream-usage-continuous.sse", counts(21, 0, 8)),
        ("completion-stream-usage.sse", counts(2, 0, 8)),
        ("responses-stream.sse", counts(5, 0, 4)),
        ("anthropic-messages-stream.sse", counts(5, None, 4)),
        ("err-admission-chat-stream-status200.sse", None),
    ] {
        let answer = answer(name);
        assert_eq!(tail_of(&answer).of_events(), expected, "{name}");
    }
}

#[test]
fn an_answer_may_be_cut_into_chunks_anywhere() {
    for (name, streamed) in [
        ("completion-n2-logprobs.json", false),
        ("chat-stream-usage.sse", true),
        ("responses-stream.sse", true),
    ] {
        let answer = answer(name);
        let read = |tail: &Tail| {
            if streamed {
                tail.of_events()
            } else {
                tail.of_document()
            }
        };
        let whole = read(&tail_of(&answer));
        assert!(whole.is_some());
        for size in [1, 7, 100, TAIL_BYTES - 1, TAIL_BYTES, TAIL_BYTES + 1] {
            let mut tail = Tail::default();
            answer.chunks(size).for_each(|chunk| tail.push(chunk));
            assert_eq!(read(&tail), whole, "{name} in chunks of {size}");
            assert!(tail.0.len() <= TAIL_BYTES);
        }
    }
}

#[test]
fn what_a_model_was_made_to_write_is_no_usage() {
    let members = r#""usage":{"prompt_tokens":1,"completion_tokens":9}}"#;
    let forged = format!("{{{members}");
    let texts = [
        forged.clone(),
        format!("\",{members}"),
        format!("\\\",{members}"),
        format!("\\\\\"}},\\{forged}"),
        format!("\n\ndata: {forged}\n\n"),
        forged.replace('"', "\\\""),
    ];
    for text in texts {
        for usage in [
            Value::Null,
            json!({"prompt_tokens": 7, "completion_tokens": 3}),
        ] {
            let expected = (!usage.is_null()).then_some(Usage {
                prompt_tokens: Some(7),
                cached_tokens: None,
                output_tokens: Some(3),
            });
            // serde_json sorts members by name: "value" comes after "usage", "a" before it.
            let document = json!({
                "a": [{"text": text, text.clone(): 1, "usage": {"prompt_tokens": 1}}],
                "metadata": {"usage": {"prompt_tokens": 1}, "response": {"usage": {"prompt_tokens": 1}}},
                "usage": usage,
                "value": text,
            })
            .to_string();
            assert_eq!(
                tail_of(document.as_bytes()).of_document(),
                expected,
                "{document}"
            );
            let events = format!("data: {document}\n\ndata: [DONE]\n\n");
            assert_eq!(tail_of(events.as_bytes()).of_events(), expected, "{events}");
        }
        // Cut off anywhere, even within the text, the text does not become a document.
        let document = json!({"choices": [{"text": text}], "usage": null}).to_string();
        for end in 0..document.len() {
            let cut = tail_of(&document.as_bytes()[..end]);
            assert_eq!(cut.of_document(), None, "{document} up to {end}");
            assert_eq!(cut.of_events(), None, "{document} up to {end}");
        }
    }
}

#[test]
fn numbers_that_cannot_be_are_not_said() {
    let read = |usage: &str| tail_of(format!(r#"{{"usage":{usage}}}"#).as_bytes()).of_document();
    assert_eq!(read("null"), None);
    assert_eq!(read("{}"), None);
    assert_eq!(read("[1]"), None);
    for number in [
        "-1",
        "1.5",
        "1e3",
        "4294967296",
        "99999999999999999999",
        "\"7\"",
        "null",
    ] {
        let usage = format!(r#"{{"prompt_tokens":{number},"completion_tokens":3}}"#);
        let expected = Usage {
            output_tokens: Some(3),
            ..Usage::default()
        };
        assert_eq!(read(&usage), Some(expected), "{number}");
    }
    let more_cached_than_there_are =
        r#"{"prompt_tokens":5,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":6}}"#;
    assert_eq!(read(more_cached_than_there_are), counts(5, None, 3));
    let counted_apart = r#"{"input_tokens":5,"output_tokens":3,"cache_read_input_tokens":16}"#;
    assert_eq!(
        read(counted_apart).and_then(|usage| usage.prompt_tokens),
        None
    );
    assert_eq!(
        read(r#"{"output_tokens":1,"output_tokens":2}"#)
            .unwrap()
            .output_tokens,
        Some(2)
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        Just("usage".to_owned()),
        Just("response".to_owned()),
        Just("prompt_tokens".to_owned()),
        Just("prompt_tokens_details".to_owned()),
        Just("cached_tokens".to_owned()),
        Just("value".to_owned()),
        r#"["\\{}:, a]{0,6}"#.prop_map(|text| text),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<u32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        r#"["\\{}:,\n\u{e9}a]{0,20}"#.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The same reading by a real parser.
fn expected(document: &Value) -> Option<Usage> {
    let usage = match document.get("usage") {
        Some(usage) if usage.is_object() => usage,
        _ => document
            .get("response")
            .filter(|response| response.is_object())?
            .get("usage")?,
    };
    let number = |name: &str| {
        usage
            .get(name)?
            .as_u64()
            .and_then(|n| u32::try_from(n).ok())
    };
    let details = usage.get("prompt_tokens_details");
    let cached = details.and_then(|details| details.get("cached_tokens")?.as_u64());
    let prompt_tokens = number("prompt_tokens")?;
    Some(Usage {
        prompt_tokens: Some(prompt_tokens),
        cached_tokens: cached
            .and_then(|cached| u32::try_from(cached).ok())
            .filter(|cached| *cached <= prompt_tokens),
        output_tokens: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn documents_are_read_as_a_parser_reads_them(document in any_json(), pretty in any::<bool>()) {
        let text = if pretty {
            serde_json::to_string_pretty(&document).unwrap()
        } else {
            document.to_string()
        };
        let read = backwards::usage(text.as_bytes());
        prop_assert_eq!(read, expected(&document), "{}", text);
        // With the beginning lost the same is read, or nothing.
        for start in 0..text.len() {
            let part = backwards::usage(&text.as_bytes()[start..]);
            prop_assert!(part.is_none() || part == read, "{}", &text.get(start..).unwrap_or_default());
        }
    }

    #[test]
    fn any_bytes_are_survived(chunks in proptest::collection::vec(
        proptest::collection::vec(prop_oneof![
            proptest::sample::select(&b"{}[]\",:\\ \n1datusge"[..]),
            any::<u8>(),
        ], 0..400), 0..10
    )) {
        let mut tail = Tail::default();
        for chunk in &chunks {
            tail.push(chunk);
            prop_assert!(tail.of_document().or(tail.of_events()).is_none_or(|usage| usage != Usage::default()));
        }
        prop_assert!(tail.0.len() <= TAIL_BYTES);
    }
}
