//! The bodies on which JSON readers are known to differ, one by one. Each expectation is what
//! `json.loads` of CPython makes of it, or abstention; `body_differential.rs` checks the same
//! against Python itself.

#![allow(clippy::expect_used, reason = "test code fails by panicking")]

use filter::body::{BodyScanner, Learned, ScanConfig, ScanOutcome};

fn learn(body: &[u8]) -> Learned {
    let mut scanner = BodyScanner::new(&ScanConfig::default());
    let _progress = scanner.push(body);
    scanner.learn(true, None)
}

fn utf16(text: &str, mark: bool) -> Vec<u8> {
    let mark = if mark { "\u{feff}" } else { "" };
    format!("{mark}{text}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect()
}

#[test]
fn every_case_is_read_like_python_or_not_at_all() {
    use ScanOutcome::{Complete, Empty, NotJson, NotObject, TooDeep, Unfinished};
    let deep = |depth: usize| {
        let mut body = br#"{"model":"a","x":"#.to_vec();
        body.extend(std::iter::repeat_n(b'[', depth));
        body.extend(std::iter::repeat_n(b']', depth));
        body.push(b'}');
        body
    };
    let long_integer =
        |digits: usize| format!("{{\"model\":\"a\",\"x\":{}}}", "9".repeat(digits)).into_bytes();
    let cases: Vec<(Vec<u8>, ScanOutcome, Option<&str>)> = vec![
        // Duplicates: the last one counts, however it is spelled and whatever it is.
        (
            br#"{"model":"a","model":"b"}"#.to_vec(),
            Complete,
            Some("b"),
        ),
        (
            br#"{"model":"a","m\u006fdel":"b"}"#.to_vec(),
            Complete,
            Some("b"),
        ),
        (
            br#"{"m\u006Fdel":"b","model":"a"}"#.to_vec(),
            Complete,
            Some("a"),
        ),
        (br#"{"model":"a","model":null}"#.to_vec(), Complete, None),
        (
            br#"{"model":["a"],"model":"b"}"#.to_vec(),
            Complete,
            Some("b"),
        ),
        (
            br#"{"model":"a","model":{"model":"b"}}"#.to_vec(),
            Complete,
            None,
        ),
        // Only the member of the document itself counts, and only under exactly this key.
        (
            br#"{"x":{"model":"b"},"model":"a","y":[{"model":"c"}]}"#.to_vec(),
            Complete,
            Some("a"),
        ),
        (
            br#"{"Model":"b","model ":"c","model\u0000":"d","model\ud800":"e","mode":"f"}"#
                .to_vec(),
            Complete,
            None,
        ),
        // Escapes in the value.
        (
            br#"{"model":"\u0061\/\u00e9\u6a21"}"#.to_vec(),
            Complete,
            Some("a/\u{e9}\u{6a21}"),
        ),
        (br#"{"model":"a\ud83d\ude00"}"#.to_vec(), Complete, None),
        (br#"{"model":"a\ud800"}"#.to_vec(), Complete, None),
        (
            br#"{"model":"a","x":"\ud800 \udc00\ud800"}"#.to_vec(),
            Complete,
            Some("a"),
        ),
        (br#"{"model":"a\x62"}"#.to_vec(), NotJson, None),
        (br#"{"model":"a\u00g0"}"#.to_vec(), NotJson, None),
        (
            br#"{"model":"m\r\nSet-Cookie: x"}"#.to_vec(),
            Complete,
            None,
        ),
        (
            br#"{"model":"\ud840\udc00"}"#.to_vec(),
            Complete,
            Some("\u{20000}"),
        ),
        (br#"{"model":"\ud840\/\udc00"}"#.to_vec(), Complete, None),
        (br#"{"model":"\ud840a\udc00"}"#.to_vec(), Complete, None),
        // Python's additions.
        (
            br#"{"x":NaN,"y":Infinity,"z":-Infinity,"model":"a"}"#.to_vec(),
            Complete,
            Some("a"),
        ),
        (br#"{"x":-NaN,"model":"a"}"#.to_vec(), NotJson, None),
        (br#"{"x":nan,"model":"a"}"#.to_vec(), NotJson, None),
        // Numbers.
        (
            br#"{"x":[0,-0,1.5e+10,1E9,0.0],"model":"a"}"#.to_vec(),
            Complete,
            Some("a"),
        ),
        (br#"{"model":"a","x":01}"#.to_vec(), NotJson, None),
        (br#"{"model":"a","x":+1}"#.to_vec(), NotJson, None),
        (br#"{"model":"a","x":.5}"#.to_vec(), NotJson, None),
        (br#"{"model":"a","x":1.}"#.to_vec(), NotJson, None),
        (br#"{"model":"a","x":[1,,2]}"#.to_vec(), NotJson, None),
        (br#"{"model":"a","x":[10,20,]}"#.to_vec(), NotJson, None),
        (br#"{"model":"a","x":[10,020,30]}"#.to_vec(), NotJson, None),
        (long_integer(4_300), Complete, Some("a")),
        (long_integer(4_301), NotJson, None),
        // The document as a whole.
        (b"".to_vec(), Empty, None),
        (b" \t\r\n".to_vec(), Unfinished, None),
        (br#"["model","a"]"#.to_vec(), NotObject, None),
        (br#"["evil"]"#.to_vec(), NotObject, None),
        (br#""model""#.to_vec(), NotObject, None),
        (br#"{"model":"a"} {"model":"b"}"#.to_vec(), NotJson, None),
        (br#"{"model":"a"}]"#.to_vec(), NotJson, None),
        (b"{\"model\":\"a\"}\0".to_vec(), NotJson, None),
        (b"{\"model\":\"a\"} \t\r\n".to_vec(), Complete, Some("a")),
        (br#"{"model":"a""#.to_vec(), Unfinished, None),
        (br#"{"model":"a",}"#.to_vec(), NotJson, None),
        (br#"{"model":"a"]"#.to_vec(), NotJson, None),
        (br#"{'model':'a'}"#.to_vec(), NotJson, None),
        (br#"{model:"a"}"#.to_vec(), NotJson, None),
        (br#"{"model":"a" /* b */}"#.to_vec(), NotJson, None),
        // Bytes.
        (
            b"\xef\xbb\xbf{\"model\":\"a\"}".to_vec(),
            Complete,
            Some("a"),
        ),
        (
            b"\xef\xbb\xbf\xef\xbb\xbf{\"model\":\"a\"}".to_vec(),
            NotJson,
            None,
        ),
        (b" \xef\xbb\xbf{\"model\":\"a\"}".to_vec(), NotJson, None),
        (utf16(r#"{"model":"a"}"#, false), NotJson, None),
        (utf16(r#"{"model":"a"}"#, true), NotJson, None),
        (b"{\"model\":\"a\",\"x\":\"\xff\"}".to_vec(), NotJson, None),
        (
            b"{\"model\":\"a\",\"x\":\"\xc0\x80\"}".to_vec(),
            NotJson,
            None,
        ),
        (
            b"{\"model\":\"a\",\"x\":\"\xe4\xb8\"}".to_vec(),
            NotJson,
            None,
        ),
        (
            b"{\"model\":\"a\",\"x\":\"\xe4\xb8\\n\"}".to_vec(),
            NotJson,
            None,
        ),
        // Python takes surrogates encoded as UTF-8 ("surrogatepass"): abstain.
        (
            b"{\"model\":\"a\",\"x\":\"\xed\xa0\xbd\"}".to_vec(),
            NotJson,
            None,
        ),
        (b"{\"model\":\"a\x00b\"}".to_vec(), NotJson, None),
        (b"{\"model\":\"a\nb\"}".to_vec(), NotJson, None),
        (b"{\"model\":\"a\x7fb\"}".to_vec(), Complete, None),
        (b"{\"model\":\"a\"\x0c}".to_vec(), NotJson, None),
        (b"{\"model\":\"a\"\xc2\xa0}".to_vec(), NotJson, None),
        // Depth.
        (deep(511), Complete, Some("a")),
        (deep(512), TooDeep, None),
        (deep(1_000_000), TooDeep, None),
    ];
    for (body, outcome, model) in cases {
        let learned = learn(&body);
        let shown = body
            .get(..body.len().min(80))
            .expect("shorter")
            .escape_ascii();
        assert_eq!(learned.outcome, outcome, "{shown}");
        assert_eq!(learned.facts.model.as_deref(), model, "{shown}");
        assert_eq!(learned.model_certain, model.is_some(), "{shown}");
    }
}
