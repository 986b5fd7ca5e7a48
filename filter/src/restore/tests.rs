use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::rewrite::literal;

fn restored(text: &[u8], lines: bool, public: &str, cuts: &[usize]) -> Vec<u8> {
    let mut restorer = Restorer::new(literal(public), lines);
    let mut out = Vec::new();
    let mut from = 0;
    for cut in cuts.iter().copied().chain([text.len()]) {
        let to = cut.clamp(from, text.len());
        let chunk = &text[from..to];
        let passed = restorer.pass(chunk);
        out.extend(passed.unwrap_or_else(|| chunk.to_vec()));
        from = to;
    }
    assert!(restorer.key.len() <= MAX_KEY_BYTES + 1);
    out
}

/// The same by chunks of every size.
fn restored_somehow(text: &str, lines: bool, public: &str) -> String {
    let whole = restored(text.as_bytes(), lines, public, &[]);
    for size in 1..text.len() {
        let cuts: Vec<_> = (size..text.len()).step_by(size).collect();
        let cut = restored(text.as_bytes(), lines, public, &cuts);
        assert_eq!(cut, whole, "{text} by {size}");
    }
    String::from_utf8(whole).unwrap()
}

#[test]
fn documents_in_one_table() {
    let table = [
        (r#"{"id":"1","model":"t"}"#, r#"{"id":"1","model":"P\"/"}"#),
        (
            r#"{ "model" : "a\"b\\" , "n":1}"#,
            r#"{ "model" : "P\"/" , "n":1}"#,
        ),
        (
            "{\n \"id\": \"\\\"model\\\":\",\n \"model\": \"t\"\n}\n",
            "{\n \"id\": \"\\\"model\\\":\",\n \"model\": \"P\\\"/\"\n}\n",
        ),
        (
            r#"{"choices":[{"model":"x","text":"\"model\":\"t\""}],"model":"t"}"#,
            r#"{"choices":[{"model":"x","text":"\"model\":\"t\""}],"model":"P\"/"}"#,
        ),
        (
            r#"{"type":"message_start","message":{"id":"m","model":"t","usage":{"model":"x"}}}"#,
            r#"{"type":"message_start","message":{"id":"m","model":"P\"/","usage":{"model":"x"}}}"#,
        ),
        (
            r#"{"response":{"a":[{}],"model":"t"},"model":"t"}"#,
            r#"{"response":{"a":[{}],"model":"P\"/"},"model":"P\"/"}"#,
        ),
        (
            r#"{"response":[{"model":"x"}],"message":"model","error":{"message":{"model":"x"}}}"#,
            "",
        ),
        (
            r#"{"model":null,"models":"x","mode":"x","xmodel":"x","model\"":"x","mod\u0065l":"x"}"#,
            "",
        ),
        (
            r#"{"a":"model","model":["x"],"b":{"model":"x"},"model":{"model":"x"}}"#,
            "",
        ),
        (r#"[{"model":"x"}]"#, ""),
        (r#""model""#, ""),
        ("", ""),
        ("not json at all: \"model\":\"x\"", ""),
        (r#"{"model":"unfinished"#, r#"{"model":"P\"/""#),
    ];
    for (text, expected) in table {
        let expected = if expected.is_empty() { text } else { expected };
        assert_eq!(restored_somehow(text, false, "P\"/"), expected);
    }
}

#[test]
fn events_in_one_table() {
    let table = [
        (
            "data: {\"model\":\"t\"}\n\ndata: {\"model\":\"t\"}\n\ndata: [DONE]\n\n",
            "data: {\"model\":\"P\"}\n\ndata: {\"model\":\"P\"}\n\ndata: [DONE]\n\n",
        ),
        (
            "event: response.created\r\ndata:{\"response\":{\"model\":\"t\",\"a\":\"b\"}}\r\n\r\n",
            "event: response.created\r\ndata:{\"response\":{\"model\":\"P\",\"a\":\"b\"}}\r\n\r\n",
        ),
        // What does not add up ends with its line.
        (
            "data: {\"a\":{\"b\ndata: {\"model\":\"t\"}\n",
            "data: {\"a\":{\"b\ndata: {\"model\":\"P\"}\n",
        ),
        (
            "data: {\"model\":\"cut\ndata: {\"model\":\"t\"}\n",
            "data: {\"model\":\"P\"\ndata: {\"model\":\"P\"}\n",
        ),
        (": a comment \"model\":\"x\"\nid: 7\nretry: 1\n\n", ""),
        (
            "data: {\"choices\":[{\"delta\":{\"content\":\"\\n{\\\"model\\\":\\\"x\\\"}\"}}]}\n\n",
            "",
        ),
    ];
    for (text, expected) in table {
        let expected = if expected.is_empty() { text } else { expected };
        assert_eq!(restored_somehow(text, true, "P"), expected);
    }
}

#[test]
fn real_answers_of_every_shape_are_restored() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/answers");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let lines = path.extension().is_some_and(|ending| ending == "sse");
        let whole = restored(&bytes, lines, "public/name", &[]);
        let cuts: Vec<_> = (0..bytes.len()).step_by(13).collect();
        assert_eq!(restored(&bytes, lines, "public/name", &cuts), whole);
        let documents = |bytes: &[u8]| -> Vec<Value> {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let parse = |text: &str| serde_json::from_str(text).ok();
            match lines {
                true => text
                    .lines()
                    .filter_map(|line| parse(line.strip_prefix("data:")?))
                    .collect(),
                false => parse(&text).into_iter().collect(),
            }
        };
        let mut expected = documents(&bytes);
        for document in &mut expected {
            seen += set(document, "public/name");
        }
        assert_eq!(documents(&whole), expected, "{}", path.display());
    }
    assert!(seen > 20, "{seen} names were restored");
}

/// What the restorer should do, on a parsed document. Returns how many names it set.
fn set(document: &mut Value, public: &str) -> usize {
    let mut count = 0;
    for place in ["/model", "/response/model", "/message/model"] {
        if let Some(Value::String(name)) = document.pointer_mut(place) {
            public.clone_into(name);
            count += 1;
        }
    }
    count
}

#[test]
fn the_rest_of_a_document_is_not_looked_at() {
    let mut restorer = Restorer::new(literal("P"), false);
    assert!(!restorer.is_done());
    assert!(restorer.pass(br#"{"model":"t""#).is_some());
    assert!(restorer.is_done());
    assert_eq!(restorer.pass(br#","data":[1,2,3]}"#), None);
    let mut restorer = Restorer::new(literal("P"), true);
    assert!(restorer.pass(b"data: {\"model\":\"t\"}").is_some());
    assert!(!restorer.is_done(), "another event follows");
}

fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        4 => Just("model".to_owned()),
        2 => Just("message".to_owned()),
        2 => Just("response".to_owned()),
        1 => Just("mode".to_owned()),
        2 => r#"["\\{}:, am\n]{0,9}"#.prop_map(|text| text),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i32>().prop_map(Value::from),
        Just(Value::from("model")),
        r#"["\\{}\[\]:,\n\u{e9}\u{1f600}a]{0,20}"#.prop_map(Value::from),
    ];
    let inner = leaf.prop_recursive(4, 24, 4, {
        let key = key.clone();
        move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((key.clone(), inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        }
    });
    proptest::collection::vec((key, inner), 0..5)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn a_parser_sees_the_public_name_wherever_chunks_end(
        mut documents in proptest::collection::vec(any_json(), 1..4), pretty in any::<bool>(),
        lines in any::<bool>(), public in "\\PC{1,12}", cuts in proptest::collection::vec(0usize..600, 0..12),
    ) {
        let show = |document: &Value| match (lines, pretty) {
            (true, _) => format!("data: {document}\n\n"),
            (false, true) => serde_json::to_string_pretty(document).unwrap(),
            (false, false) => document.to_string(),
        };
        if !lines {
            documents.truncate(1);
        }
        let text: String = documents.iter().map(show).collect();
        let mut cuts = cuts;
        cuts.sort_unstable();
        let out = String::from_utf8(restored(text.as_bytes(), lines, &public, &cuts)).unwrap();
        for document in &mut documents {
            // Behind the document's own model nothing is looked at.
            let own = document.get("model").is_some_and(Value::is_string);
            let response = document.get("response").cloned();
            set(document, &public);
            if let (true, Some(response)) = (own, response) {
                document["response"] = response;
            }
        }
        let read: Vec<Value> = if lines {
            out.lines().filter_map(|line| line.strip_prefix("data: ")).map(|line| serde_json::from_str(line).unwrap()).collect()
        } else {
            vec![serde_json::from_str(&out).unwrap()]
        };
        prop_assert_eq!(read, documents);
    }

    #[test]
    fn any_bytes_are_survived_and_chunks_make_no_difference(
        bytes in proptest::collection::vec(prop_oneof![
            proptest::sample::select(&b"{}[]\",:\\ \n\rmodel"[..]),
            any::<u8>(),
        ], 0..300),
        lines in any::<bool>(), cuts in proptest::collection::vec(0usize..300, 0..10),
    ) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        let whole = restored(&bytes, lines, "tiny-canary", &[]);
        prop_assert_eq!(restored(&bytes, lines, "tiny-canary", &cuts), whole);
    }

    #[test]
    fn nothing_but_models_changes(document in any_json()) {
        let text = json!({"choices": [document]}).to_string();
        prop_assert_eq!(restored(text.as_bytes(), false, "P", &[]), text.into_bytes());
    }
}
