//! Times the body scan: `cargo run --release -p filter --example body_scan_bench`.
//!
//! Prints, for each shape and size, the best time of a whole scan with its prefix hashes, in
//! microseconds: with the default limits, with none (every byte read), and what `serde_json` takes
//! to find the model alone.

use std::{borrow::Cow, hint::black_box, time::Instant};

use filter::body::{BodyScanner, Progress, ScanConfig};

/// Rounds of several scans; the best round counts.
const ROUNDS: usize = 40;
/// What Envoy hands over at once.
const CHUNK_BYTES: usize = 16 * 1024;

fn main() {
    let unlimited = ScanConfig {
        cap_bytes: usize::MAX,
        strict_model: true,
        ..ScanConfig::default()
    };
    println!(
        "{:<22} {:>8} {:>12} {:>12} {:>12}",
        "shape", "bytes", "default us", "all bytes us", "serde us"
    );
    for bytes in [1_000, 20_000, 70_000, 400_000] {
        for (name, body) in shapes(bytes) {
            println!(
                "{name:<22} {:>8} {:>12.2} {:>12.2} {:>12.2}",
                body.len(),
                best_us(&body, |body| scan(body, &ScanConfig::default())),
                best_us(&body, |body| scan(body, &unlimited)),
                best_us(&body, serde_model),
            );
        }
    }
}

fn scan(body: &[u8], config: &ScanConfig) {
    let mut scanner = BodyScanner::new(config);
    for chunk in body.chunks(CHUNK_BYTES) {
        if scanner.push(chunk) == Progress::Decided {
            break;
        }
    }
    black_box(scanner.finish(true, Some(body.len() as u64)));
}

/// What a typed `serde_json` reader costs that learns the model alone.
fn serde_model(body: &[u8]) {
    #[derive(serde::Deserialize)]
    struct Model<'a> {
        #[serde(borrow)]
        model: Option<Cow<'a, str>>,
    }
    let parsed: Option<Model<'_>> = serde_json::from_slice(body).ok();
    black_box(parsed.and_then(|parsed| parsed.model).is_some());
}

fn best_us(body: &[u8], work: impl Fn(&[u8])) -> f64 {
    let per_round = (400_000 / body.len()).clamp(3, 200);
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..per_round {
                work(black_box(body));
            }
            start.elapsed().as_secs_f64() * 1e6 / per_round as f64
        })
        .fold(f64::INFINITY, f64::min)
}

/// Bodies of about `bytes`: prose with a line break every 80 characters, the same in Chinese, and
/// token ids.
fn shapes(bytes: usize) -> [(&'static str, Vec<u8>); 6] {
    let line =
        "The quick brown fox said \\\"jump\\\" to the lazy dog, who had heard it all before.\\n";
    let chinese =
        "\u{6a21}\u{578b}\u{670d}\u{52a1}\u{5668}\u{7684}\u{8bf7}\u{6c42}\u{8def}\u{7531}\\n";
    [
        ("chat, model first", chat(line, bytes, true)),
        ("chat, model last", chat(line, bytes, false)),
        (
            "chat, no line breaks",
            chat(&line.replace("\\n", " ").replace("\\\"", "'"), bytes, false),
        ),
        (
            "one plain text",
            format!(
                "{{\"prompt\":\"{}\",\"model\":\"m\"}}",
                "plain text ".repeat(bytes / 11)
            )
            .into_bytes(),
        ),
        ("chat, chinese", chat(chinese, bytes, false)),
        ("token ids", token_ids(bytes)),
    ]
}

fn chat(line: &str, bytes: usize, model_first: bool) -> Vec<u8> {
    let model = "\"model\":\"meta-llama/Llama-3.1-8B-Instruct\"";
    let mut body = String::from("{");
    if model_first {
        body.push_str(model);
        body.push(',');
    }
    body.push_str("\"messages\":[");
    let mut turn = 0;
    while body.len() < bytes {
        let role = if turn % 2 == 0 { "user" } else { "assistant" };
        let text = line.repeat(1 + turn % 6);
        body.push_str(&format!("{{\"role\":\"{role}\",\"content\":\"{text}\"}},"));
        turn += 1;
    }
    body.push_str("{\"role\":\"user\",\"content\":\"Go on.\"}]");
    if !model_first {
        body.push(',');
        body.push_str(model);
    }
    body.push_str(",\"max_tokens\":128,\"stream\":true}");
    body.into_bytes()
}

fn token_ids(bytes: usize) -> Vec<u8> {
    let mut body = String::from("{\"prompt\":[1");
    let mut id = 7_u64;
    while body.len() < bytes {
        id = id * 48_271 % 128_001;
        body.push_str(&format!(",{id}"));
    }
    body.push_str("],\"model\":\"m\",\"max_tokens\":128}");
    body.into_bytes()
}
