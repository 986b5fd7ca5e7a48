//! Which prompts share prefix hashes, and which do not.

use filter::body::{BodyScanner, ScanConfig};

/// The hashes of a body, one for every canonical byte, so that none escapes the comparison.
fn prefix(body: &str) -> Vec<u64> {
    let config = ScanConfig {
        block_bytes: 1,
        strict_model: true,
        ..ScanConfig::default()
    };
    let mut scanner = BodyScanner::new(&config);
    let _progress = scanner.push(body.as_bytes());
    let facts = scanner.finish(true, None);
    assert!(
        facts.prefix.len() > 20,
        "the body is refused or too short to show anything: {body}"
    );
    facts.prefix
}

const SYSTEM: &str = "You are a careful assistant. Answer in the language of the question.";

fn chat(turns: &[(&str, &str)]) -> String {
    let messages: Vec<String> = turns
        .iter()
        .map(|(role, content)| format!("{{\"role\":\"{role}\",\"content\":\"{content}\"}}"))
        .collect();
    format!(
        "{{\"model\":\"m\",\"messages\":[{}],\"stream\":true}}",
        messages.join(",")
    )
}

#[test]
fn a_chat_that_grows_extends_the_hashes_of_its_previous_request() {
    let turns = [
        ("system", SYSTEM),
        ("user", "What is a prefix cache, and what is it good for?"),
        (
            "assistant",
            "A prefix cache keeps the keys and values of prompts seen before.",
        ),
        (
            "user",
            "And \\\"paged attention\\\"?\\nIn two sentences, please.",
        ),
    ];
    let before = prefix(&chat(&turns[..2]));
    let after = prefix(&chat(&turns));
    assert!(after.len() > before.len());
    assert!(after.starts_with(&before));
}

#[test]
fn a_completion_that_grows_extends_the_hashes_of_its_previous_request() {
    let before = prefix(&format!("{{\"prompt\":\"{SYSTEM}\"}}"));
    let after = prefix(&format!("{{\"prompt\":\"{SYSTEM} And this is new.\"}}"));
    assert!(after.len() > before.len());
    assert!(after.starts_with(&before));

    let before = prefix(
        "{\"prompt\":[101,2023,2003,1037,3231,1997,1996,2291,3000,3001,3002,3003,3004,3005]}",
    );
    let after = prefix(
        "{\"prompt\":[101,2023,2003,1037,3231,1997,1996,2291,3000,3001,3002,3003,3004,3005,102,103,104,105]}",
    );
    assert!(after.len() > before.len());
    assert!(after.starts_with(&before));
}

#[test]
fn spelling_and_white_space_make_no_difference() {
    let plain = prefix(
        "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a/b \u{e9} \u{1f600} \\\"c\\\" \\\\ \\n\\t and some more text\"},[0,10,20,0,30]]}",
    );
    for other in [
        "{ \"model\" : \"m\",\r\n\"messages\" : [ { \"role\" : \"user\" , \"content\" : \"a/b \u{e9} \u{1f600} \\\"c\\\" \\\\ \\n\\t and some more text\" } , [ 0 , 10 ,20, 0,30 ] ] }",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\\/b \\u00e9 \\ud83d\\ude00 \\u0022c\\u0022 \\u005c \\u000a\\u0009 and some more text\"},[0,10,20,0,30]],\"model\":\"m\"}",
        "{\"m\\u006fdel\":\"m\",\"m\\u0065ssages\":[{\"r\\u006fle\":\"user\",\"content\":\"\\u0061/b \u{e9} \u{1f600} \\\"c\\\" \\\\ \\n\\t and some more text\"},[0,10,20,0,30]]}",
        "{\"temperature\":0.5,\"model\":\"m\",\"max_tokens\":7,\"messages\":[{\"role\":\"user\",\"content\":\"a/b \u{e9} \u{1f600} \\\"c\\\" \\\\ \\n\\t and some more text\"},[0,10,20,0,30]],\"n\":1}",
    ] {
        assert_eq!(prefix(other), plain, "{other}");
    }
}

#[test]
fn cache_hints_are_no_part_of_the_prompt() {
    let hint = ",\"cache_control\":{\"type\":\"ephemeral\",\"more\":[1,\"2\",{\"a\":null}]}";
    let body = |first: &str, second: &str| {
        format!(
            "{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":[{{\"type\":\"text\",\"text\":\"{SYSTEM}\"{first}}}]}},{{\"role\":\"user\",\"content\":[{{\"type\":\"text\"{second},\"text\":\"Hello there\"}}]}}]}}"
        )
    };
    let plain = prefix(&body("", ""));
    assert_eq!(prefix(&body(hint, "")), plain);
    assert_eq!(prefix(&body("", hint)), plain);
    assert_eq!(prefix(&body(",\"cache_control\":null", hint)), plain);
}

#[test]
fn model_adapter_and_salt_separate_prompts() {
    let body = |head: &str| prefix(&format!("{{{head}\"prompt\":\"{SYSTEM}\"}}"));
    let all = [
        body(""),
        body("\"model\":\"base\","),
        body("\"model\":\"adapter\","),
        body("\"cache_salt\":\"base\","),
        body("\"model\":\"base\",\"cache_salt\":\"tenant\","),
        body("\"model\":\"base\",\"cache_salt\":\"tenant2\","),
    ];
    for (at, one) in all.iter().enumerate() {
        for other in all.iter().skip(at + 1) {
            assert!(one.iter().zip(other).all(|(one, other)| one != other));
        }
    }
}

#[test]
fn different_prompts_part_where_they_differ() {
    let body = |middle: &str| {
        format!(
            "{{\"messages\":[{{\"role\":\"user\",\"content\":\"{SYSTEM}\"}},{middle}{{\"content\":\"{SYSTEM}\"}}]}}"
        )
    };
    let middles = [
        "",
        "1,",
        "1,2,",
        "12,",
        "[1,2],",
        "[[1],2],",
        "[1,[2]],",
        "\"1\",",
        "\"1,2\",",
        "\"\",",
        "null,",
        "\"null\",",
        "{},",
        "[],",
        "{\"a\":\"b\"},",
        "{\"ab\":\"\"},",
        "[\"a\",\"b\"],",
        "\"\\\\n\",",
        "\"\\n\",",
        "\"n\",",
        "\"\\\\\\\\n\",",
        "\"\\u005cn\\u0000\",",
        "\"\\ud800\",",
    ];
    for (at, one) in middles.iter().enumerate() {
        for other in middles.iter().skip(at + 1) {
            let (one, other) = (prefix(&body(one)), prefix(&body(other)));
            let shared = one
                .iter()
                .zip(&other)
                .take_while(|(one, other)| one == other)
                .count();
            assert!(shared >= SYSTEM.len());
            assert_ne!(one.last(), other.last());
        }
    }
}
