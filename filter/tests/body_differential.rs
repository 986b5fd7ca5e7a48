//! The scan's reading against Python's own: 0 disagreements over samples and mutations.
//!
//! `ZEROHOP_DIFFERENTIAL_CASES` sets the number of bodies; the long tier runs a million.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "test code fails by panicking"
)]

use std::{
    env,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use filter::body::{BodyScanner, Learned, Progress, ScanConfig};
use picker::{Entropy, SplitMix64};

mod body_corpus;

const DEFAULT_CASES: u64 = 20_000;

/// What the oracle says of one body.
#[derive(Debug)]
enum Reading {
    /// Refused, or no object: no request.
    NoRequest,
    Object {
        /// Whether every careful reader must agree.
        sure: bool,
        stream: bool,
        max_tokens: Option<u64>,
        model: Option<Vec<u8>>,
    },
}

impl Reading {
    fn parse(line: &str) -> Self {
        let mut words = line.split(' ');
        if words.next() != Some("D") {
            return Self::NoRequest;
        }
        let sure = words.next() == Some("1");
        let limits: Vec<Option<u64>> = words
            .next()
            .expect("limits")
            .split(',')
            .map(|limit| limit.parse().ok())
            .collect();
        let model = match words.next().expect("a model") {
            "-" => None,
            "\"\"" => Some(Vec::new()),
            hex => Some(
                (0..hex.len() / 2)
                    .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex"))
                    .collect(),
            ),
        };
        let choices = limits[4].or(limits[6]).unwrap_or(1).max(1);
        let prompts = limits[7].unwrap_or(1).max(1);
        Self::Object {
            sure,
            stream: limits[0] == Some(1),
            max_tokens: limits[2]
                .or(limits[1])
                .or(limits[3])
                .or(limits[5])
                .map(|limit| limit.saturating_mul(choices.saturating_mul(prompts))),
            model,
        }
    }
}

/// Scans a body in pieces of random length, to its end.
fn learn(body: &[u8], config: &ScanConfig, random: &mut SplitMix64) -> Learned {
    let mut scanner = BodyScanner::new(config);
    let mut rest = body;
    let longest = [1, 3, 17, 300, usize::MAX][random.below(5)];
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at((1 + random.below(longest)).min(rest.len()));
        rest = behind;
        if scanner.push(piece) == Progress::Decided {
            break;
        }
    }
    scanner.learn(true, Some(body.len() as u64))
}

/// Why the two readings of `body` must not stand side by side, if so.
fn disagreement(reading: &Reading, learned: &Learned) -> Option<&'static str> {
    let facts = &learned.facts;
    let ours = facts.model.as_deref().map(str::as_bytes);
    match reading {
        Reading::NoRequest if ours.is_some() => Some("a model where Python reads no request"),
        Reading::NoRequest => None,
        Reading::Object { model, .. } if ours.is_some() && ours != model.as_deref() => {
            Some("another model")
        }
        Reading::Object { sure: false, .. } => None,
        Reading::Object {
            model,
            stream,
            max_tokens,
            ..
        } => {
            let plain = model.as_ref().is_some_and(|model| {
                (1..=256).contains(&model.len()) && model.iter().all(u8::is_ascii_graphic)
            });
            if plain && !learned.model_certain {
                Some("no certain model of a plain request")
            } else if facts.stream != *stream {
                Some("another stream")
            } else if facts.max_tokens != *max_tokens {
                Some("another limit")
            } else {
                None
            }
        }
    }
}

#[test]
fn no_body_is_read_otherwise_than_by_python() {
    let cases = env::var("ZEROHOP_DIFFERENTIAL_CASES").map_or(DEFAULT_CASES, |cases| {
        cases.parse().expect("a number of cases")
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/body-differential.py");
    let mut python = Command::new("python3")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is the oracle of this test and must be installed");
    let sink = python.stdin.take().expect("piped");
    let source = BufReader::new(python.stdout.take().expect("piped"));
    let writer = thread::spawn(move || {
        let samples = body_corpus::samples();
        let mut sink = BufWriter::new(sink);
        for index in 0..cases {
            let body = body_corpus::body(index, &samples);
            let length = u32::try_from(body.len()).expect("short bodies");
            sink.write_all(&length.to_le_bytes())
                .expect("the oracle reads");
            sink.write_all(&body).expect("the oracle reads");
        }
        sink.flush().expect("the oracle reads");
    });

    let strict = ScanConfig {
        cap_bytes: usize::MAX,
        strict_model: true,
        ..ScanConfig::default()
    };
    let samples = body_corpus::samples();
    let (mut answered, mut agreed, mut refused) = (0, 0, 0);
    for (index, line) in (0..cases).zip(source.lines()) {
        let body = body_corpus::body(index, &samples);
        let line = line.expect("the oracle answers");
        let reading = Reading::parse(&line);
        let mut random = SplitMix64::new(index);
        let strictly = learn(&body, &strict, &mut random);
        let normally = learn(&body, &ScanConfig::default(), &mut random);
        let wrong = disagreement(&reading, &strictly).or_else(|| {
            (normally.model_certain && normally.facts.model != strictly.facts.model)
                .then_some("certain of another model by default")
        });
        if let Some(wrong) = wrong {
            panic!(
                "case {index}: {wrong}\nPython: {line}\nours: {strictly:?}\nby default: {normally:?}\nbody: {}",
                body.escape_ascii()
            );
        }
        answered += 1;
        match reading {
            Reading::NoRequest => refused += 1,
            Reading::Object { .. } => agreed += u64::from(strictly.facts.model.is_some()),
        }
    }
    writer.join().expect("the writer ends");
    let status = python.wait().expect("the oracle ends");
    assert!(status.success(), "the oracle failed: {status}");
    assert_eq!(answered, cases, "the oracle answered every case");
    println!("{cases} bodies: {agreed} models agreed upon, {refused} bodies refused by Python");
    assert!(
        agreed > cases / 4,
        "only {agreed} of {cases} bodies had a model"
    );
    assert!(
        refused > cases / 10,
        "only {refused} of {cases} bodies were refused"
    );
}
