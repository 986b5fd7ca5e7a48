//! What the scan learns of the request shapes that engines serve.

use filter::body::{BodyScanner, Learned, ModelReading, Progress, ScanConfig, ScanOutcome};

/// Scans a whole body in one piece.
fn learn(body: &[u8], config: &ScanConfig) -> Learned {
    let mut scanner = BodyScanner::new(config);
    let _progress = scanner.push(body);
    scanner.learn(true, Some(body.len() as u64))
}

fn learn_default(body: &str) -> Learned {
    learn(body.as_bytes(), &ScanConfig::default())
}

#[test]
fn a_chat_request_is_read_to_its_end() {
    let learned = learn_default(
        r#" { "model" : "meta-llama/Llama-3.1-8B-Instruct", "messages": [
              {"role": "system", "content": "You are a parser."},
              {"role": "user", "content": "import os\nfor i in range(10):"}],
            "max_tokens": 12, "temperature": 0.5, "stream": true, "n": 2 } "#,
    );
    assert_eq!(learned.outcome, ScanOutcome::Complete);
    assert_eq!(
        learned.facts.model.as_deref(),
        Some("meta-llama/Llama-3.1-8B-Instruct")
    );
    assert!(learned.model_certain);
    assert!(learned.facts.stream);
    assert_eq!(
        learned.facts.max_tokens,
        Some(24),
        "12 for each of 2 answers"
    );
    assert_eq!(learned.choices, 2);
    let text = "You are a parser.".len() + "import os\nfor i in range(10):".len();
    assert_eq!(learned.facts.prompt_bytes, text as u64);
    assert!(learned.facts.prefix.is_empty(), "shorter than one block");
}

#[test]
fn every_top_level_shape_of_a_prompt_is_measured() {
    for (body, prompt_bytes) in [
        (r#"{"prompt":"12345"}"#, 5),
        (r#"{"prompt":["12345","678"]}"#, 8),
        (r#"{"prompt":[10,20,30,40]}"#, 16),
        (r#"{"prompt":[[10,20],[30]]}"#, 12),
        (r#"{"input":"12345"}"#, 5),
        (
            r#"{"input":[{"role":"user","content":[{"type":"input_text","text":"123"}]}]}"#,
            3,
        ),
        (r#"{"instructions":"12","input":"345"}"#, 5),
        (
            r#"{"system":"12","messages":[{"role":"user","content":"345"}]}"#,
            5,
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"123"},
             {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAAAAAA"}}]}]}"#,
            3 + 256 * 4,
        ),
        (
            r#"{"messages":[{"role":"user","content":"\u00e9\ud83d\ude00\n"}]}"#,
            7,
        ),
        (r#"{"metadata":{"prompt":"12345","messages":["1"]}}"#, 0),
        (
            r#"{"tools":[{"type":"function","function":{"name":"f","description":"abc"}}]}"#,
            "typefunctionfunctionnamefdescriptionabc".len() as u64,
        ),
    ] {
        let learned = learn_default(body);
        assert_eq!(learned.outcome, ScanOutcome::Complete, "{body}");
        assert_eq!(learned.facts.prompt_bytes, prompt_bytes, "{body}");
    }
}

#[test]
fn the_models_that_are_no_key_are_unknown() {
    for (model, reading) in [
        ("\"\"".to_owned(), ModelReading::Unusable),
        ("\"a b\"".to_owned(), ModelReading::Unusable),
        ("\"a\\nSet-Cookie: x\"".to_owned(), ModelReading::Unusable),
        ("\"a\\u0000\"".to_owned(), ModelReading::Unusable),
        ("\"a\\ud800\"".to_owned(), ModelReading::Unusable),
        ("\"a\\u200b\"".to_owned(), ModelReading::Unusable),
        (format!("\"{}\"", "m".repeat(257)), ModelReading::Unusable),
        (format!("\"{}\"", "m".repeat(5000)), ModelReading::Unusable),
        (format!("\"{}\"", "m".repeat(256)), ModelReading::Usable),
        (
            format!("\"{}\"", "\u{6a21}".repeat(256)),
            ModelReading::Usable,
        ),
        ("5".to_owned(), ModelReading::NotString),
        ("null".to_owned(), ModelReading::NotString),
        ("[\"a\"]".to_owned(), ModelReading::NotString),
        ("{\"model\":\"a\"}".to_owned(), ModelReading::NotString),
    ] {
        let learned = learn_default(&format!("{{\"model\":{model}}}"));
        assert_eq!(learned.outcome, ScanOutcome::Complete, "{model}");
        assert_eq!(learned.model_reading, reading, "{model}");
        assert_eq!(
            learned.facts.model.is_some(),
            reading == ModelReading::Usable,
            "{model}"
        );
    }
}

#[test]
fn the_push_that_passes_the_cap_decides() {
    let config = ScanConfig {
        cap_bytes: 20,
        ..ScanConfig::default()
    };
    let body = br#"{"model":"a","n":1} "#;
    assert_eq!(body.len(), 20);
    let mut scanner = BodyScanner::new(&config);
    assert_eq!(scanner.push(body), Progress::NeedMore, "exactly the cap");
    let learned = scanner.learn(true, None);
    assert_eq!(learned.outcome, ScanOutcome::Complete);
    assert!(learned.model_certain);

    assert_eq!(scanner.push(b" "), Progress::Decided);
    let learned = scanner.learn(true, None);
    assert_eq!(learned.outcome, ScanOutcome::CapReached);
    assert_eq!(learned.facts.model.as_deref(), Some("a"), "provisional");
    assert!(!learned.model_certain);
}

#[test]
fn a_strict_scan_takes_a_model_only_from_a_whole_document() {
    let body = format!("{{\"model\":\"a\",\"prompt\":\"{}\"}}", "word ".repeat(200));
    for (cap_bytes, prefix_max_bytes, strict_model, model, outcome) in [
        (100, 16_384, false, Some("a"), ScanOutcome::CapReached),
        (100, 16_384, true, None, ScanOutcome::CapReached),
        (65_536, 64, false, Some("a"), ScanOutcome::Enough),
        (65_536, 64, true, Some("a"), ScanOutcome::Complete),
    ] {
        let config = ScanConfig {
            cap_bytes,
            prefix_max_bytes,
            strict_model,
            note_models: false,
            block_bytes: 16,
        };
        let learned = learn(body.as_bytes(), &config);
        assert_eq!(learned.outcome, outcome);
        assert_eq!(learned.facts.model.as_deref(), model);
        assert_eq!(learned.model_certain, outcome == ScanOutcome::Complete);
        assert!(!learned.facts.prefix.is_empty());
    }
}

#[test]
fn a_body_that_ends_early_has_no_facts_but_one_that_is_cut_by_us_does() {
    let half = br#"{"model":"a","stream":true,"max_tokens":5,"x":[1"#;
    let mut scanner = BodyScanner::new(&ScanConfig::default());
    let _progress = scanner.push(half);
    let ended = scanner.learn(true, None);
    assert_eq!(ended.outcome, ScanOutcome::Unfinished);
    assert_eq!(ended.facts, picker::RequestFacts::default());
    let cut = scanner.learn(false, Some(5_000));
    assert_eq!(cut.outcome, ScanOutcome::Unfinished);
    assert_eq!(cut.facts.model.as_deref(), Some("a"));
    assert!(cut.facts.stream && !cut.model_certain);
    assert_eq!(cut.facts.max_tokens, Some(5));
    assert_eq!(
        scanner.learn(false, Some(half.len() as u64)).facts,
        picker::RequestFacts::default(),
        "content-length shows that the body has ended"
    );
}

#[test]
fn limits_and_stream_count_only_as_such() {
    for (body, stream, max_tokens) in [
        (r#"{"stream":[true],"max_tokens":[5]}"#, false, None),
        (r#"{"stream":{"a":true},"max_tokens":{"a":5}}"#, false, None),
        (
            r#"{"stream":true,"x":[false],"stream_options":{"stream":false}}"#,
            true,
            None,
        ),
        (r#"{"stream":true,"stream":false}"#, false, None),
        (r#"{"stream":"true","max_tokens":"5"}"#, false, None),
        (
            r#"{"max_tokens":5,"max_completion_tokens":7,"max_output_tokens":9}"#,
            false,
            Some(7),
        ),
        (
            r#"{"max_tokens":5,"max_completion_tokens":null}"#,
            false,
            Some(5),
        ),
        (r#"{"max_tokens":5,"max_tokens":null}"#, false, None),
        (r#"{"max_tokens":-5}"#, false, None),
        (r#"{"max_tokens":5.0}"#, false, None),
        (r#"{"max_tokens":99999999999999999999999999}"#, false, None),
        (
            r#"{"max_tokens":9223372036854775807,"n":3}"#,
            false,
            Some(u64::MAX),
        ),
        (r#"{"max_tokens":5,"n":0}"#, false, Some(5)),
    ] {
        let learned = learn_default(body);
        assert_eq!(learned.outcome, ScanOutcome::Complete, "{body}");
        assert_eq!(learned.facts.stream, stream, "{body}");
        assert_eq!(learned.facts.max_tokens, max_tokens, "{body}");
    }
}

#[test]
fn a_stream_that_reports_its_token_counts_is_known() {
    for (body, reports) in [
        (
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            true,
        ),
        (
            r#"{"stream_options":{"x":[{"include_usage":false}],"include_usage":true,"y":0},"stream":true}"#,
            true,
        ),
        (
            r#"{"stream":true,"stream_options":{"include_usage":false}}"#,
            false,
        ),
        (
            r#"{"stream":true,"stream_options":{"include_usage":null}}"#,
            false,
        ),
        (
            r#"{"stream":true,"stream_options":{"include_usage":"true","y":true}}"#,
            false,
        ),
        (
            r#"{"stream":true,"stream_options":{"x":{"include_usage":true}}}"#,
            false,
        ),
        (r#"{"stream":true,"stream_options":true}"#, false),
        (r#"{"stream":true,"include_usage":true}"#, false),
        (r#"{"stream":true}"#, false),
        (
            r#"{"stream":false,"stream_options":{"include_usage":true}}"#,
            false,
        ),
        (
            r#"{"stream":true,"stream_options":{"include_usage":true},"stream_options":{}}"#,
            false,
        ),
    ] {
        assert_eq!(learn_default(body).reports_usage, reports, "{body}");
    }
}
