use super::*;
use crate::work::Work;

const GOOD: &str = r#"{
    "mode": "pair_first",
    "agent": {"cluster": "outbound|9002||agent.zerohop.svc.cluster.local"},
    "pools": [
        {"name": "a", "cluster": "models-a", "members": ["10.0.0.2:8000", "10.0.0.1:8000"]},
        {"name": "b", "cluster": "models-b", "members": ["[fd00::1]:8000"], "models": {"unknown": "pass"}}
    ],
    "body": {"cap_bytes": 65536},
    "allowed_cidrs": ["10.0.0.0/8", "fd00::/8"],
    "picker": {"policy": "round_robin", "weights": {"queue": 1}},
    "session": {"header": "X-Session-Id", "cookie": "sid", "body_user": true},
    "trust_subset_header": true,
    "trust_subset_metadata": false,
    "strict_model": true,
    "paths": {"/ask": "encode"},
    "models": {"unknown": "refuse", "list": true, "route": true, "trust_headers": true, "rewrite_bytes": 70000},
    "report_served": true,
    "explain_log": true,
    "trust_explain_header": true,
    "conformance_test": true
}"#;

#[test]
fn a_complete_configuration_is_read() {
    let config = Config::parse(GOOD.as_bytes()).unwrap();
    assert_eq!(config.mode, Mode::PairFirst);
    assert_eq!(
        config.agent_cluster.as_deref(),
        Some("outbound|9002||agent.zerohop.svc.cluster.local")
    );
    let [a, b] = config.pools.as_slice() else {
        panic!("two pools");
    };
    assert_eq!(a.cluster.as_deref(), Some("models-a"));
    assert_eq!(
        a.members,
        ["10.0.0.1:8000", "10.0.0.2:8000"].map(|text| text.parse().unwrap()),
        "sorted"
    );
    assert_eq!(b.members, ["[fd00::1]:8000".parse().unwrap()]);
    assert_eq!(config.cap_bytes, 65_536);
    assert!(config.strict_model);
    let session = SessionConfig {
        header: Some("x-session-id".to_owned()),
        cookie: Some("sid".to_owned()),
        body_user: true,
    };
    assert_eq!(config.session, session);
    assert_eq!(config.paths, Paths(vec![("/ask".to_owned(), Work::Encode)]));
    assert!(config.trust_subset_header && !config.trust_subset_metadata);
    let answers = ModelAnswers {
        refuse_unknown: true,
        list: true,
    };
    assert_eq!(a.models, answers);
    let only_lists = ModelAnswers {
        refuse_unknown: false,
        list: true,
    };
    assert_eq!(b.models, only_lists, "what b says goes before what all say");
    let models = ModelsConfig {
        answers,
        route: true,
        trust_headers: true,
        rewrite_bytes: 70_000,
    };
    assert_eq!(config.models, models);
    assert!(config.report_served && config.conformance_test);
    assert!(config.explain_log && config.trust_explain_header && !config.shadow);
    assert_eq!(config.picker.policy.as_str(), "round_robin");
}

#[test]
fn what_is_not_written_has_a_default() {
    let text = br#"{"agent": {"cluster": "agent"}, "pools": [{"name": "p"}]}"#;
    let config = Config::parse(text).unwrap();
    assert_eq!(config.mode, Mode::Single);
    assert_eq!(config.cap_bytes, DEFAULT_CAP_BYTES);
    assert_eq!(config.allowed, AllowedAddresses::Usual);
    assert_eq!(config.picker, PickerConfig::default());
    assert!(!config.strict_model);
    assert_eq!(config.session, SessionConfig::default());
    assert!(!config.trust_subset_header && config.trust_subset_metadata);
    assert_eq!(config.models, ModelsConfig::default());
    let models = config.models;
    let answers = models.answers;
    assert!(!answers.refuse_unknown && !answers.list && !models.route && !models.trust_headers);
    assert_eq!(config.pools[0].models, answers);
    assert!(!config.report_served && !config.conformance_test);
}

#[test]
fn a_second_filter_needs_no_pools() {
    let config = Config::parse(br#"{"mode": "pair_second"}"#).unwrap();
    assert_eq!(config.mode, Mode::PairSecond);
    assert!(config.pools.is_empty());
}

/// Wraps one field in an otherwise good configuration.
fn with(field: &str) -> String {
    let base = r#""agent": {"cluster": "agent"}, "pools": [{"name": "p"}]"#;
    format!("{{{base}, {field}}}")
}

/// A good configuration but for its pools.
fn pools(pools: &str) -> String {
    format!(r#"{{"agent": {{"cluster": "agent"}}, "pools": {pools}}}"#)
}

/// Bad configurations and a part of each mistake that must be named, all of them.
fn bad_configurations() -> Vec<(String, Vec<&'static str>)> {
    let long = format!(r#""{}""#, "x".repeat(300));
    vec![
        (String::new(), vec!["not valid JSON"]),
        ("{".into(), vec!["not valid JSON", "line 1 column 1"]),
        ("{} x".into(), vec!["not valid JSON", "trailing characters"]),
        ("[]".into(), vec!["the document: must be an object, got a list"]),
        ("null".into(), vec!["the document: must be an object, got null"]),
        (r#""single""#.into(), vec!["the document: must be an object"]),
        ("{}".into(), vec!["pools: missing"]),
        (with(r#""mode": "double""#), vec!["mode: must be one of single, pair_first, pair_second, got \"double\""]),
        (with(r#""mode": 1"#), vec!["mode: must be one of", "got 1"]),
        (with(r#""mode": null"#), vec!["mode: must be one of", "got null"]),
        (with(r#""moed": "single""#), vec!["moed: unknown field; known fields are mode"]),
        (with(r#""mode": "single", "mode": "single""#), vec!["mode: occurs twice"]),
        (r#"{"agent": [], "pools": [{"name": "p"}]}"#.into(), vec!["agent: must be an object, got a list"]),
        (r#"{"agent": {}, "pools": [{"name": "p"}]}"#.into(), vec!["agent.cluster: missing"]),
        (r#"{"agent": {"cluster": ""}, "pools": [{"name": "p"}]}"#.into(), vec!["agent.cluster: must be the name of a cluster"]),
        (r#"{"agent": {"cluster": "a b"}, "pools": [{"name": "p"}]}"#.into(), vec!["agent.cluster: must be", "got \"a b\""]),
        (format!(r#"{{"agent": {{"cluster": {long}}}, "pools": [{{"name": "p"}}]}}"#), vec!["agent.cluster: must be", "..."]),
        (r#"{"agent": {"cluster": "a", "port": 1}, "pools": [{"name": "p"}]}"#.into(), vec!["agent.port: unknown field; known fields are cluster"]),
        (r#"{"pools": [{"name": "p"}]}"#.into(), vec!["pools[0].members: missing; without an agent"]),
        (pools("[]"), vec!["pools: must have 1 to 64 elements, got 0"]),
        (pools("{}"), vec!["pools: must be a list, got an object"]),
        (pools("[1]"), vec!["pools[0]: must be an object, got 1"]),
        (pools("[{}]"), vec!["pools[0].name: missing"]),
        (pools(r#"[{"name": ""}]"#), vec!["pools[0].name: must be a name"]),
        (pools(r#"[{"name": "caf\u00e9"}]"#), vec!["pools[0].name: must be a name", "\\u{e9}"]),
        (pools(r#"[{"name": "p", "clutser": "c"}]"#), vec!["pools[0].clutser: unknown field; known fields are name, cluster, members"]),
        (pools(r#"[{"name": "p", "cluster": "c"}, {"name": "p", "cluster": "c"}]"#), vec!["pools[1].name: \"p\" occurs twice", "pools[1].cluster: \"c\" occurs twice"]),
        (pools(r#"[{"name": "p"}, {"name": "q", "cluster": "c"}]"#), vec!["pools[0].cluster: missing; with several pools"]),
        (pools(r#"[{"name": "p", "members": "10.0.0.1:80"}]"#), vec!["pools[0].members: must be a list"]),
        (pools(r#"[{"name": "p", "members": ["10.0.0.1", "pod:80", "10.0.0.1:0", 5]}]"#), vec!["members[0]: must be an address", "members[1]: must be", "members[2]: must be", "members[3]: must be"]),
        (pools(r#"[{"name": "p", "members": ["127.0.0.1:80", "169.254.169.254:80", "[::1]:80"]}]"#), vec!["members[0]: 127.0.0.1:80 is outside allowed_cidrs", "members[1]: 169.254.169.254:80 is outside", "members[2]: [::1]:80 is outside"]),
        (pools(r#"[{"name": "p", "members": ["10.0.0.1:80", "10.0.0.1:80"]}]"#), vec!["members[1]: 10.0.0.1:80 occurs twice"]),
        (with(r#""allowed_cidrs": []"#), vec!["allowed_cidrs: must have 1 to 64 elements"]),
        (with(r#""allowed_cidrs": "10.0.0.0/8""#), vec!["allowed_cidrs: must be a list"]),
        (with(r#""allowed_cidrs": ["10.0.0.1/8", "10.0.0.0/33", true]"#), vec!["allowed_cidrs[0]: must be a network", "allowed_cidrs[1]: must be", "allowed_cidrs[2]: must be"]),
        (with(r#""body": 1"#), vec!["body: must be an object, got 1"]),
        (with(r#""body": {"cap_bytes": 0}"#), vec!["body.cap_bytes: must be a whole number in 1..=1048576, got 0"]),
        (with(r#""body": {"cap_bytes": 1.5}"#), vec!["body.cap_bytes: must be a whole number"]),
        (with(r#""body": {"cap_bytes": 99999999}"#), vec!["body.cap_bytes: must be a whole number"]),
        (with(r#""body": {"cap": 1}"#), vec!["body.cap: unknown field; known fields are cap_bytes"]),
        (with(r#""strict_model": "yes""#), vec!["strict_model: must be true or false, got \"yes\""]),
        (with(r#""trust_subset_header": 1"#), vec!["trust_subset_header: must be true or false, got 1"]),
        (with(r#""models": true"#), vec!["models: must be an object, got true"]),
        (with(r#""trust_subset_metadata": "no""#), vec!["trust_subset_metadata: must be true or false, got \"no\""]),
        (r#"{"pools": [{"name": "p", "members": ["10.0.0.1:80"], "models": {"unknown": "404", "list": 1, "route": true}}]}"#.to_owned(), vec!["pools[0].models.unknown: must be one of pass, refuse, got \"404\"", "pools[0].models.list: must be true or false, got 1", "pools[0].models.route: unknown field; known fields are unknown, list"]),
        (r#"{"pools": [{"name": "p", "members": ["10.0.0.1:80"], "models": 1}]}"#.to_owned(), vec!["pools[0].models: must be an object, got 1"]),
        (with(r#""models": {"unknown": "404", "list": 1, "rewrite_bytes": 0, "rout": true}"#), vec!["models.unknown: must be one of pass, refuse, got \"404\"", "models.list: must be true or false", "models.rewrite_bytes: must be a whole number in 1..=33554432, got 0", "models.rout: unknown field; known fields are unknown, list, route, trust_headers, rewrite_bytes"]),
        (with(r#""report_served": "yes", "conformance_test": 1"#), vec!["report_served: must be true or false", "conformance_test: must be true or false"]),
        (with(r#""session": "x-session-id""#), vec!["session: must be an object, got \"x-session-id\""]),
        (with(r#""session": {}"#), vec!["session: names nothing; give header, cookie or body_user"]),
        (with(r#""session": {"header": "", "cookie": 7}"#), vec!["session.header: must be the name of a header", "session.cookie: must be the name of a cookie", "got 7"]),
        (with(r#""session": {"header": "x session", "cookie": "a=b"}"#), vec!["session.header: must be", "session.cookie: must be"]),
        (with(r#""shadow": true, "strict_model": true, "models": {}, "trust_explain_header": false"#), vec!["strict_model: must be absent in shadow mode", "models: must be absent", "trust_explain_header: must be absent"]),
        (with(r#""paths": []"#), vec!["paths: must be an object of at most 32"]),
        (with(r#""paths": {"/ok": "count", "ask": "count", "/x": "Encode", "/y": 5}"#), vec!["paths.ask: must be generate", "paths./x: must be", "paths./y: must be"]),
        (with(r#""session": {"header": ":path", "body_user": "yes"}"#), vec!["session.header: must be", "session.body_user: must be true or false"]),
        (with(&format!(r#""session": {{"cookie": {long}}}"#)), vec!["session.cookie: must be the name of a cookie, 1..128"]),
        (with(r#""session": {"header": "X-Gateway-Destination-Endpoint-Subset"}"#), vec!["session.header: x-gateway-destination-endpoint-subset is removed"]),
        (with(r#""session": {"herder": "x"}"#), vec!["session.herder: unknown field; known fields are header, cookie, body_user", "session: names nothing"]),
        (with(r#""picker": []"#), vec!["picker: must be an object"]),
        (with(r#""picker": {"policy": "best", "weights": {"queue": -1, "kv": 1}}"#), vec!["picker.policy: must be one of", "picker.weights.queue: must be", "picker.weights.kv: unknown field"]),
        (with(r#""picker": {"freshness": {"fresh_ms": 9000}}"#), vec!["picker.freshness.expired_ms: must be greater"]),
        (
            r#"{"mode": 7, "agent": {"cluster": 3}, "pools": [{"name": 1, "x": 2}], "body": {"cap_bytes": "a"}, "allowed_cidrs": [4], "picker": {"retries": {"choices": 9}}, "strict_model": 0, "y": 0}"#.into(),
            vec!["mode: ", "agent.cluster: ", "pools[0].name: ", "pools[0].x: ", "body.cap_bytes: ", "allowed_cidrs[0]: ", "picker.retries.choices: ", "strict_model: ", "y: "],
        ),
    ]
}

#[test]
fn every_bad_configuration_is_refused_with_all_its_mistakes() {
    let cases = bad_configurations();
    assert!(cases.len() >= 40);
    for (text, expected) in cases {
        let Mistakes(mistakes) = match Config::parse(text.as_bytes()) {
            Err(mistakes) => mistakes,
            Ok(_) => panic!("accepted: {text}"),
        };
        let all = mistakes.join("\n");
        for part in expected {
            assert!(
                all.contains(part),
                "{text}\nmust name {part:?}, says\n{all}"
            );
        }
        assert!(
            all.chars().all(|c| c == '\n' || !c.is_control()),
            "fit for a log: {all:?}"
        );
        assert!(mistakes.iter().all(|mistake| mistake.len() <= 512), "{all}");
    }
}

#[test]
fn bytes_that_are_no_text_are_one_mistake() {
    for bytes in [&b"\xff\xfe"[..], b"{\"mode\": \"\xff\"}", &[0; 64]] {
        let Mistakes(mistakes) = Config::parse(bytes).unwrap_err();
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    }
}
