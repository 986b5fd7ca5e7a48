//! A good file means what it says; bad files are refused with every mistake.
//!
//! The bad files are in `testdata/agent-config/bad`. Each ends with what is expected of it, one
//! mistake a line: `#= line:column: field: message`.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::*;
use crate::api_key::ApiKeySource;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata/agent-config")
        .join(name)
}

fn files(name: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn every_bad_file_is_refused_with_exactly_its_mistakes() {
    let files = files("bad");
    assert!(files.len() >= 25, "only {} bad files", files.len());
    let mut wrong = String::new();
    for (name, text) in files {
        let expected: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("#= "))
            .collect();
        let got: Vec<String> = match parse(&name, &text) {
            Ok(_) => vec!["(no mistake at all)".to_owned()],
            Err(mistakes) => mistakes.list.iter().map(ToString::to_string).collect(),
        };
        if got != expected {
            wrong.push_str(&format!("{name}\n"));
            got.iter()
                .for_each(|line| wrong.push_str(&format!("#= {line}\n")));
        }
    }
    assert!(
        wrong.is_empty(),
        "these files have other mistakes:\n{wrong}"
    );
}

#[test]
fn every_good_file_is_taken() {
    for (name, text) in files("good") {
        if let Err(mistakes) = parse(&name, &text) {
            panic!("{mistakes}");
        }
    }
}

#[test]
fn the_smallest_file_gets_the_defaults() {
    let config = parse("a.yaml", "pools: [{name: default}]").unwrap();
    assert_eq!(config.listen.grpc, SocketAddr::from(([127, 0, 0, 1], 9002)));
    assert_eq!(
        config.listen.admin,
        SocketAddr::from(([127, 0, 0, 1], 9090))
    );
    assert_eq!(config.scrape, ScrapeSettings::default());
    assert_eq!(config.scrape.interval, Duration::from_millis(200));
    assert_eq!(config.agent_id, None);
    assert!(config.pools[0].endpoints.is_empty());
}

#[test]
fn a_key_is_in_a_file_or_in_a_variable() {
    for (text, expected) in [
        ("{file: /keys/a}", ApiKeySource::File("/keys/a".into())),
        (
            "{env: API_KEY}",
            ApiKeySource::Variable("API_KEY".to_owned()),
        ),
    ] {
        let config = parse("a.yaml", &format!("api_key: {text}\npools: [{{name: a}}]"));
        assert_eq!(config.unwrap().api_key, Some(expected));
    }
}

#[test]
fn every_field_means_what_it_says() {
    let text = fs::read_to_string(folder("good").join("everything.yaml")).unwrap();
    let config = parse("everything.yaml", &text).unwrap();
    assert_eq!(config.agent_id.as_deref(), Some("zerohop-agent-0"));
    assert_eq!(config.listen.admin, "[::1]:9090".parse().unwrap());
    assert_eq!(
        config.scrape,
        ScrapeSettings {
            interval: Duration::from_millis(50),
            standby_interval: Duration::from_millis(500),
            timeout: Duration::from_millis(1_500),
            connect_timeout: Duration::from_millis(100),
            max_bytes: 8 << 20,
            max_lines: 50_000,
            concurrency: 128,
            hang_after: Duration::from_secs(2),
        }
    );
    let names: Vec<&str> = config.pools.iter().map(|pool| &*pool.name).collect();
    assert_eq!(names, ["default", "others", "scaled-to-zero"]);
    assert_eq!(
        config.adapters[0],
        PoolAdapters {
            pool: "default".into(),
            present: [("sql-v2", "/adapters/sql-v2"), ("chat-v1", "example/chat")]
                .map(|(name, source)| Adapter {
                    name: name.into(),
                    source: source.into(),
                })
                .into(),
            absent: vec!["sql-v1".into()],
            ready_share: 0.5,
        }
    );
    assert_eq!(config.adapters[1].ready_share, 1.0);
    assert!(config.adapters[1].present.is_empty());

    let [first, second, third] = &config.pools[0].endpoints[..] else {
        panic!("three endpoints")
    };
    assert_eq!(first.host, Host::Ip("10.0.0.1".parse().unwrap()));
    assert_eq!(first.name.as_deref(), Some("vllm-0"));
    assert_eq!(first.weight, 2.0);
    assert_eq!((first.price, second.price), (0.5, 1.0));
    assert_eq!(first.labels.get("node").map(String::as_str), Some("7"));
    assert_eq!(&*first.engine.name, "vllm");
    assert_eq!(first.metrics, MetricsPlace::default());
    assert_eq!(second.host, Host::Ip("fd00::1".parse().unwrap()));
    assert_eq!(second.metrics.port, Some(9000));
    assert_eq!(second.metrics.path.as_deref(), Some("/custom/metrics"));
    let name = "vllm-headless.default.svc.cluster.local".to_owned();
    assert_eq!((&third.host, third.port), (&Host::Name(name), 8000));

    let others = &config.pools[1].endpoints;
    let engines: Vec<&str> = others
        .iter()
        .map(|endpoint| &*endpoint.engine.name)
        .collect();
    assert_eq!(
        engines,
        ["sglang", "trtllm-serve", "triton-tensorrt-llm", "my-engine"]
    );
    assert!(others[3].engine.custom.is_some());
    let prices: Vec<f32> = others.iter().map(|endpoint| endpoint.price).collect();
    assert_eq!(
        prices,
        [3.0, 1.0, 3.0, 3.0],
        "the pool's, unless one has its own"
    );
    assert!(
        others
            .iter()
            .all(|e| e.metrics.path.as_deref() == Some("/stats")),
        "inherited"
    );
    assert_eq!(others[2].engine.metrics_port(), Some(8002));
}

#[test]
fn limits_on_numbers_are_enforced() {
    let pools: String = (0..65)
        .map(|index| format!("  - name: pool-{index}\n"))
        .collect();
    let mistakes = parse("a.yaml", &format!("pools:\n{pools}")).unwrap_err();
    assert_eq!(mistakes.list.len(), 1);
    assert_eq!(
        mistakes.list[0].message,
        "at most 64 entries are allowed, got 65"
    );

    let endpoints = |from: usize, to: usize| -> String {
        (from..to)
            .map(|index| format!("      - address: 10.{}.{}.1:80\n", index / 250, index % 250))
            .collect()
    };
    let good = format!(
        "pools:\n  - name: a\n    endpoints:\n{}",
        endpoints(0, 10_000)
    );
    assert_eq!(
        parse("a.yaml", &good).unwrap().pools[0].endpoints.len(),
        10_000
    );
    let split = format!(
        "pools:\n  - name: a\n    endpoints:\n{}  - name: b\n    endpoints:\n{}",
        endpoints(0, 6_000),
        endpoints(6_000, 10_001)
    );
    let mistakes = parse("a.yaml", &split).unwrap_err();
    assert_eq!(
        mistakes.list[0].message,
        "at most 10000 endpoints are allowed, got 10001"
    );

    let huge = format!("# {}\npools: [{{name: a}}]\n", "x".repeat(MAX_FILE_BYTES));
    assert!(
        parse("a.yaml", &huge)
            .unwrap_err()
            .to_string()
            .contains("at most 8388608")
    );
}

#[test]
fn mistakes_are_told_with_file_line_and_column_and_without_control_characters() {
    let text = "pools:\n  - name: \"a\\r\\nERROR forged line\\x1b[31m\"\n";
    let told = parse("agent.yaml", text).unwrap_err().to_string();
    assert!(
        told.starts_with("agent.yaml:2:11: pools[0].name: expected 1..=128 visible"),
        "{told}"
    );
    assert!(!told.chars().any(char::is_control), "{told:?}");
}

mod any_text {
    use proptest::prelude::*;

    proptest! {
        /// Whatever stands in the file: an answer, no panic, and no mistake without a message.
        #[test]
        fn gets_an_answer(text in "[ -~\n\t\u{e9}]{0,300}") {
            if let Err(mistakes) = super::parse("any.yaml", &text) {
                prop_assert!(!mistakes.list.is_empty());
                prop_assert!(mistakes.lines().all(|line| !line.is_empty() && !line.contains('\n')));
            }
        }

        /// The same for texts that are nearly right.
        #[test]
        fn that_is_nearly_right_gets_an_answer(
            at in 0usize..1_500,
            with in "[ -~\n]{0,4}",
            drop in 0usize..6,
        ) {
            let good = include_str!("../../../testdata/agent-config/good/everything.yaml");
            let mut bytes = good.as_bytes().to_vec();
            let from = at.min(bytes.len());
            let to = (from + drop).min(bytes.len());
            bytes.splice(from..to, with.bytes());
            if let Err(mistakes) = super::parse_bytes("near.yaml", &bytes) {
                prop_assert!(!mistakes.list.is_empty());
            }
        }
    }
}
