use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::body::{BodyScanner, Learned, ScanConfig, ScanOutcome};

fn scanned(body: &[u8], piece: usize, cap_bytes: usize) -> Learned {
    let mut scanner = BodyScanner::new(&ScanConfig {
        note_models: true,
        cap_bytes,
        ..ScanConfig::default()
    });
    for chunk in body.chunks(piece.max(1)) {
        let _progress = scanner.push(chunk);
    }
    scanner.learn(true, Some(body.len() as u64))
}

fn rewritten(body: &[u8], learned: &Learned, target: &str) -> Vec<u8> {
    let spans = learned.model_spans.as_slice();
    let end = spans.last().map_or(0, |span| span.end);
    let literal = literal(target);
    let mut bytes = replaced(&body[..end], spans, &literal).unwrap();
    bytes.extend_from_slice(&body[end..]);
    let length = new_length(body.len() as u64, spans, &literal);
    assert_eq!(bytes.len() as u64, length);
    bytes
}

#[test]
fn the_models_bytes_change_and_no_others() {
    let table = [
        (r#"{"model":"a"}"#, r#"{"model":"T\"\\"}"#),
        (
            r#" {"prompt": "\u0061\n" , "model" : "a\u0062c" ,"n":1.50e0 } "#,
            r#" {"prompt": "\u0061\n" , "model" : "T\"\\" ,"n":1.50e0 } "#,
        ),
        (
            r#"{"mod\u0065l":"a","model":"b","MODEL":"c"}"#,
            r#"{"mod\u0065l":"T\"\\","model":"T\"\\","MODEL":"c"}"#,
        ),
        (
            r#"{"model":7,"model":"a","metadata":{"model":"x"},"messages":[{"model":"y"}]}"#,
            r#"{"model":7,"model":"T\"\\","metadata":{"model":"x"},"messages":[{"model":"y"}]}"#,
        ),
        (
            "\u{feff}{\"prompt\":\"\u{e9}\\ud83d\\ude00\",\"model\":\"\u{4e2d}\"}",
            "\u{feff}{\"prompt\":\"\u{e9}\\ud83d\\ude00\",\"model\":\"T\\\"\\\\\"}",
        ),
    ];
    for (body, expected) in table {
        for piece in [1, 3, 1_000] {
            let learned = scanned(body.as_bytes(), piece, 65_536);
            assert_eq!(learned.outcome, ScanOutcome::Complete, "{body}");
            let bytes = rewritten(body.as_bytes(), &learned, "T\"\\");
            assert_eq!(String::from_utf8(bytes).unwrap(), expected, "by {piece}");
        }
    }
}

#[test]
fn nothing_is_noted_unless_asked_and_the_scan_goes_to_the_end_only_then() {
    let prompt = "word ".repeat(10_000);
    let body = format!(r#"{{"model":"a","prompt":"{prompt}","model":"b"}}"#);
    let mut scanner = BodyScanner::new(&ScanConfig::default());
    let _progress = scanner.push(body.as_bytes());
    let learned = scanner.learn(true, None);
    assert_eq!(learned.outcome, ScanOutcome::Enough);
    assert!(learned.model_spans.as_slice().is_empty());
    let learned = scanned(body.as_bytes(), 1_000, 100_000);
    assert_eq!(learned.outcome, ScanOutcome::Complete);
    assert_eq!(learned.facts.model.as_deref(), Some("b"));
    assert_eq!(learned.model_spans.as_slice().len(), 2);
}

#[test]
fn the_cap_leaves_what_was_read_and_too_many_models_are_none() {
    let body = format!(r#"{{"model":"a","prompt":"{}"}}"#, "x".repeat(10_000));
    let learned = scanned(body.as_bytes(), 777, 4_096);
    assert_eq!(learned.outcome, ScanOutcome::CapReached);
    assert_eq!(learned.facts.model.as_deref(), Some("a"));
    let bytes = rewritten(body.as_bytes(), &learned, "longer-name");
    assert!(bytes.starts_with(br#"{"model":"longer-name","prompt":"x"#));
    let many = format!(r#"{{{}"n":1}}"#, r#""model":"a","#.repeat(17));
    let learned = scanned(many.as_bytes(), 100, 65_536);
    assert_eq!(learned.facts.model, None);
    assert_eq!(learned.model_spans.as_slice().len(), 16);
}

#[test]
fn the_facts_are_those_of_the_target() {
    let prompt = "word ".repeat(1_000);
    let body = |model: &str| json!({"model": model, "prompt": prompt}).to_string();
    let config = ScanConfig {
        note_models: true,
        ..ScanConfig::default()
    };
    let facts = |model: &str, target: Option<&str>| {
        let mut scanner = BodyScanner::new(&config);
        let _progress = scanner.push(body(model).as_bytes());
        let learned = scanner.learn_as(true, None, |read| {
            assert_eq!(read, model);
            target.map(str::to_owned)
        });
        learned.facts
    };
    let of_target = facts("public", Some("target"));
    assert_eq!(of_target, facts("target", None));
    assert_ne!(of_target.prefix, facts("public", None).prefix);
}

#[test]
fn spans_that_do_not_fit_change_nothing() {
    let reversed = std::ops::Range { start: 2, end: 1 };
    for spans in [vec![reversed], vec![1..2, 2..4], vec![1..2, 0..1]] {
        assert_eq!(replaced(b"abc", &spans, b"x"), None, "{spans:?}");
    }
    assert_eq!(replaced(b"abc", &[], b"x").unwrap(), b"abc");
}

proptest! {
    #[test]
    fn a_parser_sees_the_target_and_all_else_as_it_was(
        before in ".{0,40}", after in ".{0,40}", model in "[!-~\u{e9}]{1,20}", target in "\\PC{1,30}",
        escaped in any::<bool>(), twice in any::<bool>(), piece in 1usize..50,
    ) {
        let mut value = Value::from(model).to_string();
        if escaped {
            let units = value.trim_matches('"').encode_utf16();
            let escapes: String = units.map(|unit| format!("\\u{unit:04x}")).collect();
            value = format!("\"{escapes}\"");
        }
        let (before, after) = (Value::from(before), Value::from(after));
        let first = if twice { r#""model":"dup","# } else { "" };
        let text = format!(r#"{{{first}"b":{before},"model" : {value},"a":{after}}}"#);
        let learned = scanned(text.as_bytes(), piece, 65_536);
        prop_assert_eq!(learned.outcome, ScanOutcome::Complete);
        let bytes = rewritten(text.as_bytes(), &learned, &target);
        let parsed: Value = serde_json::from_slice(&bytes).unwrap();
        prop_assert_eq!(parsed, json!({"model": target, "b": before, "a": after}));
    }

    #[test]
    fn every_text_is_a_string_that_reads_as_it(text in any::<String>()) {
        let read: String = serde_json::from_slice(&literal(&text)).unwrap();
        prop_assert_eq!(read, text);
    }
}
