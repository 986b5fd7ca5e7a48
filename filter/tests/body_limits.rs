//! Bodies without end: memory stays bounded and time linear.

use std::time::{Duration, Instant};

use filter::body::{BodyScanner, Learned, Progress, SCRATCH_BYTES, ScanConfig, ScanOutcome};

const CHUNK_BYTES: usize = 64 * 1024;

/// Every byte is read and nothing is decided early.
fn unlimited() -> ScanConfig {
    ScanConfig {
        cap_bytes: usize::MAX,
        strict_model: true,
        ..ScanConfig::default()
    }
}

/// Pushes `head`, then `body` until `bytes` have been pushed, then `tail`.
fn stream(
    head: &[u8],
    body: &[u8],
    bytes: usize,
    tail: &[u8],
    config: &ScanConfig,
) -> (Learned, usize) {
    let block: Vec<u8> = body
        .iter()
        .copied()
        .cycle()
        .take(CHUNK_BYTES / body.len() * body.len())
        .collect();
    let mut scanner = BodyScanner::new(config);
    let mut pushed = head.len();
    let mut scratch = 0;
    let mut progress = scanner.push(head);
    while pushed < bytes && progress == Progress::NeedMore {
        progress = scanner.push(&block);
        pushed += block.len();
        scratch = scratch.max(scanner.scratch_bytes());
    }
    let _progress = scanner.push(tail);
    (scanner.learn(true, None), scratch)
}

/// Head, what repeats, and tail of an endless body, with a name.
type Shape = (&'static str, &'static [u8], &'static [u8], &'static [u8]);

/// Kinds of content that might make a reader keep or repeat something.
const SHAPES: [Shape; 9] = [
    (
        "plain text",
        b"{\"model\":\"m\",\"prompt\":\"",
        b"lorem ipsum dolor sit amet ",
        b"\"}",
    ),
    (
        "escapes",
        b"{\"model\":\"m\",\"prompt\":\"",
        b"\\n\\\"\\\\\\u00e9\\ud83d\\ude00\\ud83d",
        b"\"}",
    ),
    (
        "chinese",
        b"{\"model\":\"m\",\"prompt\":\"",
        "\u{6a21}\u{578b}".as_bytes(),
        b"\"}",
    ),
    (
        "token ids",
        b"{\"model\":\"m\",\"prompt\":[",
        b"1,22,333,0,",
        b"4]}",
    ),
    (
        "spaced numbers",
        b"{\"model\":\"m\",\"x\":[",
        b" 1.5e3 , -0 , ",
        b"4]}",
    ),
    (
        "objects",
        b"{\"model\":\"m\",\"messages\":[",
        b"{\"role\":\"user\",\"cache_control\":{\"a\":[1]},\"content\":\"x\"},",
        b"1]}",
    ),
    (
        "members",
        b"{\"model\":\"m\",",
        b"\"k\":null,\"model\":\"m\",\"cache_salt\":\"s\",\"messages\":[],",
        b"\"z\":1}",
    ),
    ("one key", b"{\"model\":\"m\",\"", b"k\\u006b\\n", b"\":1}"),
    ("white space", b"{\"model\":\"m\"", b" \n\t\r", b"}"),
];

#[test]
fn memory_does_not_grow_with_the_body() {
    for (name, head, body, tail) in SHAPES {
        let (learned, scratch) = stream(head, body, 8 << 20, tail, &unlimited());
        assert_eq!(learned.outcome, ScanOutcome::Complete, "{name}");
        assert_eq!(learned.facts.model.as_deref(), Some("m"), "{name}");
        assert!(scratch <= 16_384 + SCRATCH_BYTES, "{name}: {scratch} bytes");
        assert!(learned.facts.prefix.len() <= 64, "{name}");
    }
    assert!(
        size_of::<BodyScanner>() <= 1_024,
        "{} bytes",
        size_of::<BodyScanner>()
    );
}

#[test]
fn a_body_of_64_mb_is_read_to_its_end_or_decided_at_the_cap() {
    let (_, head, body, tail) = SHAPES[0];
    let (learned, scratch) = stream(head, body, 64 << 20, tail, &unlimited());
    assert_eq!(learned.outcome, ScanOutcome::Complete);
    assert!(learned.facts.prompt_bytes > 64 << 20);
    assert!(scratch <= 16_384 + SCRATCH_BYTES);

    let no_prefix_yet = ScanConfig {
        prefix_max_bytes: usize::MAX,
        ..ScanConfig::default()
    };
    let (learned, scratch) = stream(head, body, 64 << 20, tail, &no_prefix_yet);
    assert_eq!(learned.outcome, ScanOutcome::CapReached);
    assert_eq!(learned.scanned_bytes, 65_536);
    assert!(scratch <= 2 * 65_536 + SCRATCH_BYTES, "{scratch} bytes");
}

#[test]
fn time_is_linear_in_the_length_of_the_body() {
    for (name, head, body, tail) in SHAPES {
        let best = |bytes: usize| {
            (0..3)
                .map(|_| {
                    let start = Instant::now();
                    let _learned = stream(head, body, bytes, tail, &unlimited());
                    start.elapsed()
                })
                .min()
                .unwrap_or_default()
        };
        // 32 times the bytes: a quadratic reader needs 1,024 times the time, and a busy machine
        // hardly six times its share.
        let (short, long) = (best(128 << 10), best(4 << 20));
        let bound = 6 * 32 * short.max(Duration::from_micros(100));
        assert!(
            long < bound,
            "{name}: {short:?} for 128 KiB but {long:?} for 4 MiB"
        );
    }
}

#[test]
fn a_million_brackets_are_given_up_at_the_depth_limit() {
    for bracket in ["[", "{\"a\":", "[{\"a\":"] {
        let body = format!(
            "{{\"model\":\"m\",\"messages\":{}",
            bracket.repeat(1_000_000)
        );
        let mut scanner = BodyScanner::new(&ScanConfig::default());
        assert_eq!(scanner.push(body.as_bytes()), Progress::Decided);
        let learned = scanner.learn(true, None);
        assert_eq!(learned.outcome, ScanOutcome::TooDeep);
        assert_eq!(learned.facts, picker::RequestFacts::default());
        assert!(
            learned.scanned_bytes < 512 * 6 + 40,
            "{}",
            learned.scanned_bytes
        );
    }
}

#[test]
fn the_size_of_a_prompt_is_estimated_from_the_content_length() {
    let text = "word ".repeat(200_000);
    let chat = format!(
        "{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}],\"stream\":true}}"
    );
    let ids: Vec<String> = (0..100_000)
        .map(|id| (10_000 + id % 90_000).to_string())
        .collect();
    let ids = format!("{{\"model\":\"m\",\"prompt\":[{}]}}", ids.join(","));
    for (body, truth) in [(chat, text.len() as u64), (ids, 400_000)] {
        for prefix_max_bytes in [0, 1_000, 16_384, usize::MAX] {
            let config = ScanConfig {
                prefix_max_bytes,
                ..ScanConfig::default()
            };
            let mut scanner = BodyScanner::new(&config);
            assert_eq!(scanner.push(body.as_bytes()), Progress::Decided);
            let known = scanner.finish(false, Some(body.len() as u64)).prompt_bytes;
            let unknown = scanner.finish(false, None).prompt_bytes;
            let off = known.abs_diff(truth) as f64 / truth as f64;
            let allowed = if prefix_max_bytes == 0 { 0.6 } else { 0.05 };
            assert!(off < allowed, "{known} for {truth}");
            assert!(unknown <= 65_536);
            // A content-length that lies is no reason to overflow.
            let _absurd = scanner.finish(false, Some(u64::MAX));
        }
    }
}
