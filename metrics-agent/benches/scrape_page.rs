//! Microseconds to read one vLLM page: `cargo bench -p metrics-agent --bench scrape_page`.
//!
//! Best of many rounds, because the machine is shared; the figure is scaled to 50 KB so that pages
//! of different size can be compared. The goal is 40 us.

#![allow(missing_docs, reason = "a bench has no interface")]
#![allow(clippy::expect_used, reason = "a bench stops at the first mistake")]

use std::{hint::black_box, time::Instant};

use metrics_agent::scrape::{
    Dialect,
    exposition::{LineSplitter, PageLimits, PageLine, SampleLine},
};

const ROUNDS: usize = 300;
const PAGES_PER_ROUND: usize = 10;

fn main() {
    for capture in [
        "vllm-0.32.0-nolora-idle",
        "vllm-0.32.0-lora-peak-lora",
        "vllm-0.16.0-lora-after-load",
    ] {
        let path = format!(
            "{}/../testdata/metrics/{capture}.prom",
            env!("CARGO_MANIFEST_DIR")
        );
        let page = std::fs::read(&path).expect("the capture is in testdata/metrics");
        for name in ["vllm", "auto"] {
            let dialect = Dialect::builtin(name).expect("a built-in dialect");
            report(capture, name, &page, || {
                black_box(dialect.read(black_box(&page), PageLimits::default()));
            });
        }
        report(capture, "every sample", &page, || {
            every_sample(black_box(&page))
        });
    }
}

/// Parses all lines, wanted or not: the price without the rejection by name.
fn every_sample(page: &[u8]) {
    let limits = PageLimits::default();
    let mut splitter = LineSplitter::new(limits);
    splitter.push(page, |line| {
        if let PageLine::Whole(line) = line
            && let Ok(Some(line)) = SampleLine::split(line)
        {
            black_box(line.parse(limits.labels)).ok();
        }
    });
}

fn report(capture: &str, what: &str, page: &[u8], mut read: impl FnMut()) {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..PAGES_PER_ROUND {
            read();
        }
        best = best.min(start.elapsed().as_secs_f64() / PAGES_PER_ROUND as f64);
    }
    let micros = best * 1e6;
    let scaled = micros * 50_000.0 / page.len() as f64;
    println!(
        "{capture} ({} bytes), {what}: {micros:.1} us, {scaled:.1} us per 50 KB",
        page.len()
    );
}
