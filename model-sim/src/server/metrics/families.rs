//! Families whose series depend on what happened: histograms, adapters, HTTP handlers.

use std::io::Write;

use super::number::push_number;
use super::template::escaped;
use crate::engine::Histogram;
use crate::server::http_stats::HttpStats;
use crate::server::lora::{LoraRegistry, LoraSeries};
use crate::server::overrides::MetricsOverride;

/// Appends one sample. Writing to a vector cannot fail.
fn sample(page: &mut Vec<u8>, name: &str, labels: &str, value: f64) {
    if labels.is_empty() {
        write!(page, "{name} ").ok();
    } else {
        write!(page, "{name}{{{labels}}} ").ok();
    }
    push_number(page, value);
    page.push(b'\n');
}

fn head(page: &mut Vec<u8>, name: &str, help: &str, kind: &str) {
    write!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n").ok();
}

/// Appends a histogram's samples. Labels stand before and after `le`, which is sorted among them.
pub(crate) fn push_histogram(
    page: &mut Vec<u8>,
    name: &str,
    before: &str,
    after: &str,
    histogram: &Histogram,
) {
    for (edge, count) in histogram.cumulative() {
        write!(page, "{name}_bucket{{{before}le=\"").ok();
        push_number(page, edge);
        write!(page, "\"{after}}} ").ok();
        push_number(page, count as f64);
        page.push(b'\n');
    }
    let count = histogram.count() as f64;
    sample(
        page,
        &format!("{name}_bucket"),
        &format!("{before}le=\"+Inf\"{after}"),
        count,
    );
    let labels = match (before.is_empty(), after.is_empty()) {
        (true, _) => after.trim_start_matches(',').to_owned(),
        (false, true) => before.trim_end_matches(',').to_owned(),
        (false, false) => format!("{before}{}", after.trim_start_matches(',')),
    };
    sample(page, &format!("{name}_count"), &labels, count);
    sample(page, &format!("{name}_sum"), &labels, histogram.sum());
}

/// Appends `vllm:lora_requests_info`: one series for every combination ever seen. The waiting
/// label repeats the running one, as vLLM does.
pub(crate) fn push_lora(page: &mut Vec<u8>, loras: &LoraRegistry, lies: &MetricsOverride) {
    let (history, current) = loras.history();
    let lie = lies
        .running_loras
        .as_ref()
        .map(|names| LoraRegistry::lie(names.join(",")));
    if history.is_empty() && lie.is_none() {
        return;
    }
    let name = "vllm:lora_requests_info";
    head(page, name, "Running stats on lora requests.", "gauge");
    let max_lora = lies.max_lora.unwrap_or(loras.max_loras());
    let mut push = |series: &LoraSeries, waiting: Option<String>| {
        let running = escaped(&series.adapters);
        let waiting = waiting.unwrap_or_else(|| running.clone());
        let labels = format!(
            r#"max_lora="{max_lora}",running_lora_adapters="{running}",waiting_lora_adapters="{waiting}""#
        );
        sample(page, name, &labels, series.last_true_unix);
    };
    let waiting = lies
        .waiting_loras
        .as_ref()
        .map(|names| escaped(&names.join(",")));
    for (position, series) in history.iter().enumerate() {
        let is_current = position == current && lie.is_none();
        push(series, waiting.clone().filter(|_| is_current));
    }
    if let Some(lie) = &lie {
        push(lie, waiting);
    }
}

const REQUEST_SIZE: &str = "Content length of incoming requests by handler. Only value of header \
    is respected. Otherwise ignored. No percentile calculated. ";
const RESPONSE_SIZE: &str = "Content length of outgoing responses by handler. Only value of header \
    is respected. Otherwise ignored. No percentile calculated. ";
const FINE_TIMES: &str = "Latency with many buckets but no API specific labels. Made for more \
    accurate percentile calculations. ";
const HANDLER_TIMES: &str = "Latency with only few buckets by handler. Made to be only used if \
    aggregation by handler is important. ";

/// Appends the `http_*` families.
pub(crate) fn push_http(page: &mut Vec<u8>, http: &HttpStats) {
    push_http_counts(page, http);
    push_http_sizes(page, http);
    let name = "http_request_duration_highr_seconds";
    head(page, name, FINE_TIMES, "histogram");
    push_histogram(page, name, "", "", &http.fine);
    head(page, &format!("{name}_created"), FINE_TIMES, "gauge");
    sample(page, &format!("{name}_created"), "", http.started_unix);
    let name = "http_request_duration_seconds";
    head(page, name, HANDLER_TIMES, "histogram");
    for times in &http.times {
        let before = format!("handler=\"{}\",", times.handler);
        let after = format!(",method=\"{}\"", escaped(&times.method));
        push_histogram(page, name, &before, &after, &times.seconds);
    }
    head(page, &format!("{name}_created"), HANDLER_TIMES, "gauge");
    for times in &http.times {
        let labels = format!(
            "handler=\"{}\",method=\"{}\"",
            times.handler,
            escaped(&times.method)
        );
        sample(page, &format!("{name}_created"), &labels, times.created);
    }
}

fn push_http_counts(page: &mut Vec<u8>, http: &HttpStats) {
    let help = "Total number of requests by method, status and handler.";
    for (name, kind) in [
        ("http_requests_total", "counter"),
        ("http_requests_created", "gauge"),
    ] {
        head(page, name, help, kind);
        for count in &http.statuses {
            let labels = format!(
                "handler=\"{}\",method=\"{}\",status=\"{}\"",
                count.handler,
                escaped(&count.method),
                count.status
            );
            let value = if kind == "counter" {
                count.count as f64
            } else {
                count.created
            };
            sample(page, name, &labels, value);
        }
    }
}

fn push_http_sizes(page: &mut Vec<u8>, http: &HttpStats) {
    for (name, help) in [
        ("http_request_size_bytes", REQUEST_SIZE),
        ("http_response_size_bytes", RESPONSE_SIZE),
    ] {
        head(page, name, help, "summary");
        for size in &http.sizes {
            let labels = format!("handler=\"{}\"", size.handler);
            let bytes = if name == "http_request_size_bytes" {
                size.request_bytes
            } else {
                size.response_bytes
            };
            sample(page, &format!("{name}_count"), &labels, size.count as f64);
            sample(page, &format!("{name}_sum"), &labels, bytes as f64);
        }
        head(page, &format!("{name}_created"), help, "gauge");
        for size in &http.sizes {
            let labels = format!("handler=\"{}\"", size.handler);
            sample(page, &format!("{name}_created"), &labels, size.created);
        }
    }
}
