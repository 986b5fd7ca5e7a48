//! Turns of chats, the user, and what else belongs to a prompt's identity.

#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::string_slice,
    reason = "test code fails by panicking"
)]

use filter::body::{BodyScanner, Learned, ScanConfig, ScanOutcome};
use picker::Turn;

fn learn_with(body: &str, config: &ScanConfig) -> Learned {
    let mut scanner = BodyScanner::new(config);
    let _progress = scanner.push(body.as_bytes());
    scanner.learn(true, Some(body.len() as u64))
}

/// Reads a body to its end.
fn learn(body: &str) -> Learned {
    let learned = learn_with(body, &ScanConfig::default());
    assert_eq!(learned.outcome, ScanOutcome::Complete, "{body}");
    learned
}

fn turns(body: &str) -> Vec<Turn> {
    learn(body).facts.turns
}

/// A chat of messages about `bytes` long.
fn chat(messages: usize, bytes: usize) -> String {
    let messages: Vec<String> = (0..messages)
        .map(|number| {
            let role = ["user", "assistant"][number % 2];
            let text = format!("{number} ").repeat(bytes / 3);
            format!("{{\"role\":\"{role}\",\"content\":\"{text}\"}}")
        })
        .collect();
    format!(
        "{{\"model\":\"m\",\"messages\":[{}],\"stream\":true}}",
        messages.join(",")
    )
}

#[test]
fn a_chat_that_grows_keeps_its_turns() {
    let all = turns(&chat(9, 700));
    assert_eq!(all.len(), 9);
    for count in 1..9 {
        assert_eq!(turns(&chat(count, 700)), all[..count], "{count} messages");
    }
    assert!(all.is_sorted_by(|one, next| one.end_bytes < next.end_bytes));
    for (at, one) in all.iter().enumerate() {
        assert!(all[at + 1..].iter().all(|other| other.hash != one.hash));
    }
}

#[test]
fn a_turn_ends_where_the_canonical_prompt_of_its_chat_does() {
    let config = ScanConfig {
        block_bytes: 1,
        ..ScanConfig::default()
    };
    for messages in 1..5 {
        let facts = learn_with(&chat(messages, 300), &config).facts;
        let last = facts.turns.last().expect("a chat");
        assert_eq!(
            last.end_bytes as usize,
            facts.prefix.len(),
            "a hash for every byte"
        );
    }
}

#[test]
fn the_block_size_and_what_follows_make_no_other_turn() {
    let body = chat(4, 500);
    let longer = body.replace(",\"stream\"", ",\"n\":1,\"prompt\":\"appendix\",\"stream\"");
    assert_eq!(turns(&longer), turns(&body));
    assert_ne!(learn(&longer).facts.prefix.len(), 0);
}

#[test]
fn spelling_and_hints_make_no_other_turn() {
    let plain = turns(
        r#"{"model":"m","messages":[{"role":"user","content":"a/b é \"c\" \n and"},{"role":"assistant","content":[{"type":"text","text":"fine"}]}]}"#,
    );
    assert_eq!(plain.len(), 2);
    for other in [
        r#" { "model" : "m" , "messages" : [ { "role" : "user" , "content" : "a/b é \"c\" \n and" } , { "role" : "assistant", "content" : [ { "type":"text", "text" : "fine"} ] } ] } "#,
        r#"{"messages":[{"r\u006fle":"user","content":"a\/b \u00e9 \u0022c\u0022 \u000a and"},{"role":"assistant","content":[{"type":"text","text":"f\u0069ne"}]}],"m\u006fdel":"m"}"#,
        r#"{"temperature":1,"model":"m","messages":[{"role":"user","content":"a/b é \"c\" \n and","cache_control":{"type":"ephemeral"}},{"role":"assistant","content":[{"type":"text","text":"fine","cache_control":null}]}]}"#,
    ] {
        assert_eq!(turns(other), plain, "{other}");
    }
}

#[test]
fn model_salt_and_what_precedes_separate_turns() {
    let body =
        |head: &str| format!("{{{head}\"messages\":[{{\"role\":\"user\",\"content\":\"same\"}}]}}");
    let all: Vec<u64> = [
        "",
        "\"model\":\"base\",",
        "\"model\":\"adapter\",",
        "\"cache_salt\":\"base\",",
        "\"model\":\"base\",\"cache_salt\":\"tenant\",",
        "\"system\":\"Be brief.\",",
        "\"tools\":[{\"type\":\"function\"}],",
    ]
    .iter()
    .map(|head| turns(&body(head))[0].hash)
    .collect();
    for (at, one) in all.iter().enumerate() {
        assert!(all[at + 1..].iter().all(|other| other != one), "{at}");
    }
    let late = body("").replace("}]}", "}],\"model\":\"base\"}");
    assert_eq!(turns(&late)[0].hash, all[1], "the model may come last");
}

#[test]
fn a_turn_is_no_block() {
    let config = ScanConfig {
        block_bytes: 1,
        ..ScanConfig::default()
    };
    let facts = learn_with(&chat(2, 100), &config).facts;
    assert!(
        facts
            .turns
            .iter()
            .all(|turn| !facts.prefix.contains(&turn.hash))
    );
}

#[test]
fn only_whole_messages_within_the_window_count_and_of_many_the_last() {
    let long = learn_with(&chat(80, 600), &ScanConfig::default()).facts;
    assert_eq!(long.prefix.len(), 64, "the window is full");
    let last = long.turns.last().expect("a chat").end_bytes;
    assert!((16_384 - 800..16_384).contains(&last), "{last}");

    let strict = ScanConfig {
        strict_model: true,
        ..ScanConfig::default()
    };
    let read_on = learn_with(&chat(80, 600), &strict);
    assert_eq!(read_on.outcome, ScanOutcome::Complete);
    assert_eq!(
        read_on.facts.turns, long.turns,
        "beyond the window nothing ends"
    );

    let many = turns(&chat(200, 3));
    assert_eq!(many.len(), 64);
    let more = turns(&chat(201, 3));
    assert_eq!(many[1..], more[..63]);

    let cut = &chat(3, 300)[..700];
    let facts = {
        let mut scanner = BodyScanner::new(&ScanConfig::default());
        let _progress = scanner.push(cut.as_bytes());
        scanner.finish(false, None)
    };
    assert_eq!(
        facts.turns,
        turns(&chat(3, 300))[..2],
        "the third has not ended"
    );
}

#[test]
fn what_is_no_chat_has_no_turns() {
    for body in [
        r#"{"prompt":"a long story"}"#,
        r#"{"prompt":["a","b"]}"#,
        r#"{"input":[{"role":"user","content":"hello"}]}"#,
        r#"{"tools":[{"type":"function"}]}"#,
        r#"{"metadata":{"messages":[{"role":"user"}]}}"#,
        r#"{"messages":"hello"}"#,
        r#"{"messages":["hello",["there"],1,null]}"#,
        r#"{"messages":[]}"#,
        r#"{"messages":null}"#,
    ] {
        assert_eq!(turns(body), [], "{body}");
    }
    assert_eq!(
        learn_with(&chat(3, 10)[1..], &ScanConfig::default())
            .facts
            .turns,
        []
    );
}

#[test]
fn nested_objects_end_no_turn() {
    let body = r#"{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]},{"role":"tool","content":[{"type":"text","text":"7"},{}]}]}"#;
    assert_eq!(turns(body).len(), 2);
}

#[test]
fn the_user_is_read_wherever_it_stands() {
    let user = |body: &str| learn(body).user_hash;
    let ann = user(r#"{"user":"ann"}"#);
    assert!(ann.is_some());
    for same in [
        r#"{"model":"m","prompt":"hello","user":"ann"}"#,
        r#"{ "us\u0065r" : "\u0061nn" }"#,
        r#"{"user":"bob","user":"ann"}"#,
        r#"{"user":5,"user":"ann"}"#,
    ] {
        assert_eq!(user(same), ann, "{same}");
    }
    assert_ne!(user(r#"{"user":"bob"}"#), ann);
    for none in [
        "{}",
        r#"{"user":null}"#,
        r#"{"user":""}"#,
        r#"{"user":7}"#,
        r#"{"user":["ann"]}"#,
        r#"{"user":{"user":"ann"}}"#,
        r#"{"user":"ann","user":null}"#,
        r#"{"metadata":{"user":"ann"}}"#,
        r#"{"messages":[{"role":"user","user":"ann"}]}"#,
    ] {
        assert_eq!(user(none), None, "{none}");
    }
    let long = |end: char| format!("{{\"user\":\"{}{end}\"}}", "u".repeat(10_000));
    assert_eq!(user(&long('a')), user(&long('b')), "its beginning counts");
    assert!(user(&long('a')).is_some());
}

#[test]
fn a_user_that_was_not_read_to_its_end_is_unknown() {
    let learned = |body: &str, ended| {
        let mut scanner = BodyScanner::new(&ScanConfig::default());
        let _progress = scanner.push(body.as_bytes());
        scanner.learn(ended, None).user_hash
    };
    assert_eq!(learned(r#"{"user":"ann"#, false), None);
    assert!(
        learned(r#"{"user":"ann","#, false).is_some(),
        "provisional, like the model"
    );
    assert_eq!(learned(r#"{"user":"ann","#, true), None, "no document");
}

#[test]
fn tools_and_pictures_belong_to_the_prompt() {
    let body = |tool: &str, picture: &str| {
        format!(
            "{{\"model\":\"m\",\"tools\":[{{\"type\":\"function\",\"function\":{{\"name\":\"{tool}\"}}}}],\
             \"messages\":[{{\"role\":\"user\",\"content\":[{{\"type\":\"image_url\",\"image_url\":\
             {{\"url\":\"data:image/png;base64,{picture}\"}}}},{{\"type\":\"text\",\"text\":\"What is it?\"}}]}}]}}"
        )
    };
    let shared = |one: &str, other: &str| {
        let config = ScanConfig {
            block_bytes: 16,
            ..ScanConfig::default()
        };
        let (one, other) = (
            learn_with(one, &config).facts,
            learn_with(other, &config).facts,
        );
        let equal = one
            .prefix
            .iter()
            .zip(&other.prefix)
            .take_while(|(one, other)| one == other);
        (equal.count(), one.prefix.len(), one.turns == other.turns)
    };
    let cat = "iVBORw0KGgoCAT".repeat(20);
    let dog = format!("{}DOG{}", &cat[..100], &cat[103..]);
    let (equal, all, same_turns) = shared(&body("find", &cat), &body("find", &cat));
    assert_eq!((equal, same_turns), (all, true));
    let (equal, all, same_turns) = shared(&body("find", &cat), &body("fetch", &cat));
    assert!(
        equal <= 2 && all > 8 && !same_turns,
        "{equal} of {all} blocks across tools"
    );
    let (equal, all, same_turns) = shared(&body("find", &cat), &body("find", &dog));
    // What stands before the picture is shared; the picture itself is one hash, so nothing after it is.
    assert_eq!((equal, all, same_turns), (6, 9, false));

    // A picture takes no more of the window than its hash, however large it is.
    let picture = "A".repeat(60_000);
    let (_, with_large, _) = shared(&body("find", &picture), &body("find", &cat));
    assert_eq!(with_large, all);
    let large = learn_with(&body("find", &picture), &ScanConfig::default());
    assert_eq!(large.outcome, ScanOutcome::Complete);
    assert_eq!(large.facts.turns.len(), 1);
    assert_eq!(large.media.items, 1);
}
