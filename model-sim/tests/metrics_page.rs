//! `/metrics` against captures of vLLM 0.32, and what moves on it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on panics"
)]

mod common;

use std::collections::BTreeSet;

use common::{fast, get, post, start};
use model_sim::server::{Dialect, InstanceConfig, MetricsOverride};

const NO_LORA: &str = include_str!("../../testdata/metrics/vllm-0.32.0-nolora-idle.prom");
const LORA: &str = include_str!("../../testdata/metrics/vllm-0.32.0-lora-idle.prom");

fn like_the_captured_server(max_loras: u32) -> InstanceConfig {
    let mut config = fast();
    config.model = "tiny".to_owned();
    config.engine.kv_blocks = 64;
    config.engine.block_tokens = 32;
    config.engine.max_model_len = 1_024;
    config.engine.max_loras = max_loras;
    if max_loras > 0 {
        config.loras = vec!["sql".to_owned(), "chat".to_owned()];
    }
    config
}

fn is_http(line: &str) -> bool {
    line.trim_start_matches("# HELP ")
        .trim_start_matches("# TYPE ")
        .starts_with("http_")
}

/// The page without its values: a sample's value becomes `#`.
fn masked(page: &str) -> Vec<String> {
    page.lines()
        .map(|line| match line.rsplit_once(' ') {
            Some((sample, _)) if !line.starts_with('#') => format!("{sample} #"),
            _ => line.to_owned(),
        })
        .collect()
}

/// Family, type and label names of every sample.
fn shapes(page: &str) -> BTreeSet<(String, String, Vec<String>)> {
    let mut shapes = BTreeSet::new();
    let (mut family, mut kind) = (String::new(), String::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, type_name) = rest.split_once(' ').unwrap();
            (family, kind) = (name.to_owned(), type_name.to_owned());
        } else if !line.starts_with('#') {
            let labels = line
                .split_once('{')
                .map_or("", |(_, rest)| rest.split_once('}').unwrap().0);
            let names = labels.split("\",").filter(|label| !label.is_empty());
            let names = names
                .map(|label| label.split_once('=').unwrap().0.to_owned())
                .collect();
            shapes.insert((family.clone(), kind.clone(), names));
        }
    }
    shapes
}

fn value(page: &str, sample: &str) -> f64 {
    let line = page
        .lines()
        .find(|line| line.starts_with(sample) && line[sample.len()..].starts_with([' ', '{']))
        .unwrap_or_else(|| panic!("{sample} is on the page"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

const COMPLETION: &str = r#"{"prompt":"import os","max_tokens":8}"#;

#[tokio::test]
async fn the_page_is_the_captured_one_but_for_values() {
    let mut config = like_the_captured_server(0);
    config.engine.kv_blocks = 20;
    config.engine.max_model_len = 512;
    let instance = start(config).await;
    post(instance.address(), "/v1/completions", COMPLETION).await;
    let answer = get(instance.address(), "/metrics").await;
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=1.0.0; charset=utf-8")
    );
    let ours = masked(answer.text());
    let theirs = masked(NO_LORA);
    let engine_lines = |lines: &[String]| {
        lines
            .iter()
            .filter(|line| !is_http(line))
            .cloned()
            .collect::<Vec<_>>()
    };
    for (ours, theirs) in engine_lines(&ours).iter().zip(&engine_lines(&theirs)) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(engine_lines(&ours).len(), engine_lines(&theirs).len());
    let heads = |lines: &[String]| {
        lines
            .iter()
            .filter(|line| line.starts_with('#'))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        heads(&ours),
        heads(&theirs),
        "HELP and TYPE lines, http included"
    );
    assert_eq!(shapes(answer.text()), shapes(NO_LORA));
    assert!(
        (45_000..60_000).contains(&answer.body.len()),
        "{} bytes",
        answer.body.len()
    );
    instance.stop().await;
}

#[tokio::test]
async fn with_adapters_the_page_has_the_captured_shapes_and_keeps_old_combinations() {
    let instance = start(like_the_captured_server(2)).await;
    assert!(
        !instance.metrics_page().contains("lora_requests_info"),
        "absent before the first"
    );
    for model in ["tiny", "sql", "chat"] {
        let body = format!(r#"{{"model":"{model}","prompt":"import os","max_tokens":2000}}"#);
        post(
            instance.address(),
            "/v1/completions",
            &body.replace("2000", "20"),
        )
        .await;
    }
    let page = get(instance.address(), "/metrics").await;
    let time = |line: &str| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
    let loras = |page: &str| {
        let mut lines: Vec<String> = page
            .lines()
            .filter(|line| line.starts_with("vllm:lora"))
            .map(str::to_owned)
            .collect();
        lines.sort_by(|a, b| time(a).total_cmp(&time(b)));
        lines
    };
    let ours = loras(page.text());
    let newest = ours.last().unwrap();
    assert!(newest.starts_with(
        r#"vllm:lora_requests_info{max_lora="2",running_lora_adapters="",waiting_lora_adapters=""} 1."#
    ), "{newest}");
    assert!(newest.ends_with("e+09"), "{newest}");
    for stale in ["sql", "chat"] {
        let labels = format!(r#"running_lora_adapters="{stale}",waiting_lora_adapters="{stale}""#);
        assert!(
            ours.iter().any(|line| line.contains(&labels)),
            "{stale} stays: {ours:?}"
        );
    }
    // The capture saw more handlers, but no other shape.
    assert_eq!(shapes(page.text()), shapes(LORA));
    instance.stop().await;
}

#[tokio::test]
async fn numbers_follow_what_happens() {
    let instance = start(like_the_captured_server(0)).await;
    let prompt = "0123456789abcdef".repeat(64);
    for _ in 0..2 {
        let body = format!(r#"{{"prompt":"{prompt}","max_tokens":5}}"#);
        let answer = post(instance.address(), "/v1/completions", &body).await;
        assert_eq!(answer.json()["usage"]["prompt_tokens"], 256);
    }
    let page = get(instance.address(), "/metrics").await;
    let page = page.text();
    assert_eq!(value(page, "vllm:prompt_tokens_total"), 512.0);
    assert_eq!(value(page, "vllm:generation_tokens_total"), 10.0);
    assert_eq!(value(page, "vllm:prefix_cache_queries_total"), 512.0);
    assert_eq!(
        value(page, "vllm:prefix_cache_hits_total"),
        224.0,
        "7 of 8 blocks of 32"
    );
    assert_eq!(value(page, "vllm:time_to_first_token_seconds_count"), 2.0);
    assert_eq!(value(page, "vllm:inter_token_latency_seconds_count"), 8.0);
    assert_eq!(
        value(
            page,
            "vllm:request_success_total{engine=\"0\",finished_reason=\"length\",model_name=\"tiny\"}"
        ),
        2.0
    );
    assert_eq!(value(page, "vllm:num_requests_running"), 0.0);
    assert_eq!(value(page, "http_requests_total"), 2.0);
    instance.stop().await;
}

#[tokio::test]
async fn lies_replace_values_and_the_truth_returns() {
    let instance = start(like_the_captured_server(2)).await;
    instance.override_metrics(MetricsOverride {
        running: Some(7.0),
        waiting: Some(f64::NAN),
        kv_usage: Some(0.95),
        num_gpu_blocks: Some(1_000),
        running_loras: Some(vec!["sql".into(), "chat".into()]),
        waiting_loras: Some(vec!["x\"y".into()]),
        ..MetricsOverride::default()
    });
    let page = get(instance.address(), "/metrics").await;
    let page = page.text();
    assert_eq!(value(page, "vllm:num_requests_running"), 7.0);
    assert!(page.contains("vllm:num_requests_waiting{engine=\"0\",model_name=\"tiny\"} NaN\n"));
    assert_eq!(value(page, "vllm:kv_cache_usage_perc"), 0.95);
    assert!(page.contains("num_gpu_blocks=\"1000\""));
    assert!(page.contains(r#"running_lora_adapters="sql,chat",waiting_lora_adapters="x\"y"}"#));
    instance.override_metrics(MetricsOverride::default());
    let page = instance.metrics_page();
    assert_eq!(value(&page, "vllm:num_requests_running"), 0.0);
    assert!(!page.contains("lora_requests_info"));
    instance.stop().await;
}

#[tokio::test]
async fn older_versions_have_their_names() {
    let expected: [(Dialect, &[&str], &[&str]); 3] = [
        (
            Dialect::V0_6,
            &[
                "vllm:gpu_cache_usage_perc{model_name=\"sim\"}",
                "vllm:num_requests_swapped{",
                "vllm:time_per_output_token_seconds_count{model_name=",
            ],
            &[
                "engine=\"0\",model_name",
                "kv_cache_usage_perc",
                "prefix_cache_hits",
            ],
        ),
        (
            Dialect::V0_8,
            &[
                "vllm:gpu_cache_usage_perc{engine=\"0\",",
                "vllm:gpu_prefix_cache_hits_total{",
                "vllm:time_per_output_token_seconds_count{engine=",
            ],
            &[
                "kv_cache_usage_perc",
                "vllm:prefix_cache",
                "swapped",
                "waiting_by_reason",
                "inter_token",
            ],
        ),
        (
            Dialect::V0_12,
            &[
                "vllm:kv_cache_usage_perc{engine=\"0\",",
                "vllm:prefix_cache_hits_total{",
                "vllm:inter_token_latency_seconds_count{",
            ],
            &[
                "gpu_cache_usage_perc",
                "waiting_by_reason",
                "admission_rejections",
                "prompt_tokens_cached",
            ],
        ),
    ];
    for (dialect, present, absent) in expected {
        let instance = start(InstanceConfig { dialect, ..fast() }).await;
        post(instance.address(), "/v1/completions", COMPLETION).await;
        let page = instance.metrics_page();
        for text in present {
            assert!(page.contains(text), "{dialect:?} has {text}");
        }
        for text in absent {
            assert!(!page.contains(text), "{dialect:?} has no {text}");
        }
        assert_eq!(value(&page, "vllm:generation_tokens_total"), 8.0);
        let version = get(instance.address(), "/version").await;
        assert_eq!(version.json()["version"], dialect.version());
        instance.stop().await;
    }
}

#[tokio::test]
async fn head_says_the_older_type_and_every_accept_header_gets_the_whole_text() {
    let instance = start(fast()).await;
    let mut client = common::Client::connect(instance.address()).await;
    client
        .send(b"HEAD /metrics HTTP/1.1\r\nhost: sim\r\n\r\n")
        .await;
    let head = client.head().await.unwrap();
    assert_eq!(
        head.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let headers = [
        ("accept", "application/openmetrics-text"),
        ("accept-encoding", "gzip"),
    ];
    let page = client
        .request("GET", "/metrics?name[]=x", &headers, None)
        .await
        .unwrap();
    assert_eq!((page.status, page.header("content-encoding")), (200, None));
    assert!(
        page.text()
            .contains("vllm:cache_config_info{_block_size_resolved=\"True\",")
    );
    instance.stop().await;
}
