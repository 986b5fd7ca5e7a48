//! Thirty-odd pages that lie, break or exhaust, each with the outcome it must have. Every page is
//! built around an honest engine (3 waiting, 2 running, a quarter of the cache), so that a case
//! shows both what its poison costs and what it must not cost.

#![allow(missing_docs, reason = "a test has no interface")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

use metrics_agent::scrape::{Dialect, Scraped, exposition::PageLimits};

const WAITING: &str = "vllm:num_requests_waiting{engine=\"0\"} 3.0\n";
const RUNNING: &str = "vllm:num_requests_running{engine=\"0\"} 2.0\n";
const USAGE: &str = "vllm:kv_cache_usage_perc{engine=\"0\"} 0.25\n";

/// What must come of a page: the three signals and the complaints.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Outcome {
    waiting: Option<f32>,
    running: Option<f32>,
    kv_usage: Option<f32>,
    bad_lines: u32,
    bad_values: u32,
    truncated: bool,
    nothing_known: bool,
}

const HONEST: Outcome = Outcome {
    waiting: Some(3.0),
    running: Some(2.0),
    kv_usage: Some(0.25),
    bad_lines: 0,
    bad_values: 0,
    truncated: false,
    nothing_known: false,
};

impl Outcome {
    fn of(scraped: &Scraped) -> Self {
        Self {
            waiting: scraped.waiting,
            running: scraped.running,
            kv_usage: scraped.kv_usage,
            bad_lines: scraped.problems.bad_lines,
            bad_values: scraped.problems.bad_values,
            truncated: scraped.problems.truncated,
            nothing_known: scraped.problems.nothing_known,
        }
    }

    const fn without_waiting(self) -> Self {
        Self {
            waiting: None,
            ..self
        }
    }

    const fn bad_lines(self, bad_lines: u32) -> Self {
        Self { bad_lines, ..self }
    }

    const fn bad_values(self, bad_values: u32) -> Self {
        Self { bad_values, ..self }
    }
}

/// The honest page with `waiting` in place of the line that names the queue.
fn with_waiting(waiting: &str) -> Vec<u8> {
    [waiting, RUNNING, USAGE].concat().into_bytes()
}

fn with_value(value: &str) -> Vec<u8> {
    with_waiting(&format!(
        "vllm:num_requests_waiting{{engine=\"0\"}} {value}\n"
    ))
}

/// The honest page with something before it.
fn after(poison: impl AsRef<[u8]>) -> Vec<u8> {
    let honest = [WAITING, RUNNING, USAGE].concat();
    [poison.as_ref(), honest.as_bytes()].concat()
}

fn cases() -> Vec<(&'static str, Vec<u8>, Outcome)> {
    let unknown = HONEST.without_waiting();
    let huge_cardinality: String = (0..15_000)
        .map(|at| format!("http_requests_total{{path=\"/{at}\"}} 1\n"))
        .collect();
    let many_engines: String = (0..5_000)
        .map(|at| format!("vllm:num_requests_waiting{{engine=\"{at}\"}} 1\n"))
        .collect();
    let many_labels: String = (0..5_000).map(|at| format!("l{at}=\"v\",")).collect();
    let many_lora: String = (0..5_000)
        .map(|at| {
            format!(
                "vllm:lora_requests_info{{max_lora=\"8\",running_lora_adapters=\"a{at}\",\
                 waiting_lora_adapters=\"\"}} {}\n",
                1_000_000 + at
            )
        })
        .collect();
    vec![
        ("honest", after(""), HONEST),
        ("NaN", with_value("NaN"), unknown.bad_values(1)),
        ("+Inf", with_value("+Inf"), unknown.bad_values(1)),
        ("-Inf", with_value("-Inf"), unknown.bad_values(1)),
        ("negative", with_value("-7"), unknown.bad_values(1)),
        ("1e400", with_value("1e400"), unknown.bad_values(1)),
        ("-1e400", with_value("-1e400"), unknown.bad_values(1)),
        ("more requests than there can be", with_value("1e15"), unknown.bad_values(1)),
        ("hexadecimal", with_value("0x10"), unknown.bad_lines(1)),
        ("grouped digits", with_value("1_000"), unknown.bad_lines(1)),
        ("decimal comma", with_value("3,0"), unknown.bad_lines(1)),
        ("no value", with_value(""), unknown.bad_lines(1)),
        ("words for a value", with_value("three"), unknown.bad_lines(1)),
        ("words after the value", with_value("3 now please"), unknown.bad_lines(1)),
        (
            "percentages for a share",
            [WAITING, RUNNING, "vllm:kv_cache_usage_perc 25\n"].concat().into_bytes(),
            Outcome { kv_usage: None, ..HONEST.bad_values(1) },
        ),
        (
            "open quote",
            with_waiting("vllm:num_requests_waiting{engine=\"0} 3\n"),
            unknown.bad_lines(1),
        ),
        ("open brace", with_waiting("vllm:num_requests_waiting{ 3\n"), unknown.bad_lines(1)),
        (
            "label without value",
            with_waiting("vllm:num_requests_waiting{engine} 3\n"),
            unknown.bad_lines(1),
        ),
        (
            "label name of digits",
            with_waiting("vllm:num_requests_waiting{0=\"x\"} 3\n"),
            unknown.bad_lines(1),
        ),
        (
            "thousands of labels",
            with_waiting(&format!("vllm:num_requests_waiting{{{many_labels}}} 3\n")),
            unknown.bad_lines(1),
        ),
        (
            "200 labels below the line limit",
            with_waiting(&format!(
                "vllm:num_requests_waiting{{{}}} 3\n",
                many_labels.split_inclusive(',').take(200).collect::<String>()
            )),
            unknown.bad_lines(1),
        ),
        (
            "a wanted line of 1 MB",
            with_waiting(&format!(
                "vllm:num_requests_waiting{{engine=\"{}\"}} 3\n",
                "x".repeat(1 << 20)
            )),
            unknown.bad_lines(1),
        ),
        ("an unwanted line of 1 MB", after(format!("x{{y=\"{}\"}} 1\n", "z".repeat(1 << 20))), HONEST.bad_lines(1)),
        ("a comment of 1 MB", after(format!("# {}\n", "z".repeat(1 << 20))), HONEST),
        (
            "label that is not UTF-8",
            [b"vllm:num_requests_waiting{engine=\"\xff\xfe\"} 3\n".as_slice(), RUNNING.as_bytes(), USAGE.as_bytes()].concat(),
            unknown.bad_lines(1),
        ),
        ("NUL bytes between", after(b"\0\0\0\n"), HONEST.bad_lines(1)),
        ("NUL byte in a wanted name", with_waiting("vllm:num_requests_waiting\0 3\n"), unknown),
        ("NUL byte in a wanted value", with_value("3\0"), unknown.bad_lines(1)),
        ("byte order mark costs its line", after("\u{feff}up 1\n"), HONEST.bad_lines(1)),
        ("CRLF", after("").iter().flat_map(|byte| {
            if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] }
        }).collect(), HONEST),
        ("no final line end", after("")[..after("").len() - 1].to_vec(), HONEST),
        ("lone carriage returns", after("\r\r\r\n\r\n"), HONEST),
        ("nothing but line ends", "\n".repeat(10_000).into_bytes(), Outcome { waiting: None, running: None, kv_usage: None, nothing_known: true, ..HONEST }),
        ("empty", Vec::new(), Outcome { waiting: None, running: None, kv_usage: None, nothing_known: true, ..HONEST }),
        (
            "HTML",
            b"<!DOCTYPE html>\n<html><body>404</body></html>\n".to_vec(),
            Outcome { waiting: None, running: None, kv_usage: None, nothing_known: true, ..HONEST.bad_lines(2) },
        ),
        (
            "JSON",
            b"[{\"numActiveRequests\": 0}]".to_vec(),
            Outcome { waiting: None, running: None, kv_usage: None, nothing_known: true, ..HONEST.bad_lines(1) },
        ),
        ("the same series again: the last counts", after(WAITING.replace("3.0", "9.0")), HONEST),
        ("15,000 foreign series", after(huge_cardinality.as_bytes()), HONEST),
        (
            "more lines than allowed, ours behind them",
            after("x 1\n".repeat(20_000)),
            Outcome { waiting: None, running: None, kv_usage: None, truncated: true, nothing_known: true, ..HONEST },
        ),
        (
            "more lines than allowed, cut within the series of the queue",
            [RUNNING, USAGE, &"x 1\n".repeat(19_990), &many_engines].concat().into_bytes(),
            Outcome { truncated: true, ..unknown },
        ),
        (
            "more engines than there can be",
            [RUNNING, USAGE, &many_engines].concat().into_bytes(),
            unknown,
        ),
        ("5,000 LoRA series", after(many_lora), HONEST),
        (
            "a queue of one good engine and one broken line",
            after("vllm:num_requests_waiting{engine=\"1\"} 0x10\n"),
            unknown.bad_lines(1),
        ),
        (
            "a queue of one good engine and one liar",
            after("vllm:num_requests_waiting{engine=\"1\"} NaN\n"),
            unknown.bad_values(1),
        ),
        (
            "names that only begin or end like ours",
            after("vllm:num_requests_waiting_by_reason{reason=\"capacity\"} 99\nxvllm:num_requests_waiting 99\nVLLM:num_requests_waiting 99\n"),
            HONEST,
        ),
        (
            "our names inside labels, comments and help",
            after("# HELP vllm:num_requests_waiting 99\nx{y=\"vllm:num_requests_waiting 99\"} 1\n#vllm:num_requests_waiting 99\n"),
            HONEST,
        ),
        (
            "a line end inside a label",
            after("x{y=\"a\nvllm:num_requests_waiting{engine=\"1\"} -1\n"),
            unknown.bad_values(1),
        ),
        ("OpenMetrics", [WAITING, RUNNING, "vllm:kv_cache_usage_perc{engine=\"0\"} 0.25 1.7e9 # {trace=\"a\"} 0.5 1.6e9\n# EOF\n"].concat().into_bytes(), HONEST),
    ]
}

#[test]
fn every_hostile_page_has_its_expected_outcome() {
    let cases = cases();
    assert!(cases.len() > 30);
    for dialect in ["vllm", "auto"] {
        let dialect = Dialect::builtin(dialect).unwrap();
        for (name, page, expected) in &cases {
            let scraped = dialect.read(page, PageLimits::default());
            assert_eq!(Outcome::of(&scraped), *expected, "{name}");
        }
    }
}

/// The newest of thousands of LoRA series wins, and only its adapters are kept.
#[test]
fn thousands_of_lora_series_leave_one_adapter() {
    let (_, page, _) = cases()
        .into_iter()
        .find(|case| case.0 == "5,000 LoRA series")
        .unwrap();
    let scraped = Dialect::builtin("vllm")
        .unwrap()
        .read(&page, PageLimits::default());
    let lora = scraped.lora.unwrap();
    assert_eq!((lora.active.len(), lora.max), (1, 8));
    assert_eq!(&*lora.active[0], "a4999");
}

/// A page cut in the middle of a number would show a smaller number.
#[test]
fn the_last_line_of_a_body_without_an_end_mark_is_dropped() {
    let dialect = Dialect::builtin("vllm").unwrap();
    let mut reader = dialect.reader(PageLimits::default());
    reader.push(RUNNING.as_bytes());
    reader.push(WAITING.as_bytes());
    reader.push(b"vllm:num_requests_waiting{engine=\"1\"} 1");
    let scraped = reader.finish(false);
    assert_eq!(
        (scraped.running, scraped.waiting),
        (Some(2.0), None),
        "half a sum is no sum"
    );
    assert!(scraped.problems.truncated);
}
