//! Whatever arrives: no panic, the same result for every way to cut a page into chunks, and no
//! signal that cannot be true.

#![allow(missing_docs, reason = "a test has no interface")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod scrape_support;

use std::sync::LazyLock;

use metrics_agent::scrape::{
    Dialect, Scraped,
    exposition::{PageLimits, SampleLine},
};
use proptest::prelude::*;
use scrape_support::captures;

static AUTO: LazyLock<Dialect> = LazyLock::new(|| Dialect::builtin("auto").unwrap());
static PAGES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    captures()
        .values()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
});

/// Small limits, so that short pages meet them too.
const TIGHT: PageLimits = PageLimits {
    body_bytes: 4096,
    line_bytes: 90,
    lines: 40,
    labels: 3,
};

fn read_in_chunks(page: &[u8], cuts: &[usize], limits: PageLimits, complete: bool) -> Scraped {
    let mut reader = AUTO.reader(limits);
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (page.len() + 1)).collect();
    cuts.extend([0, page.len()]);
    cuts.sort_unstable();
    for pair in cuts.windows(2) {
        reader.push(&page[pair[0]..pair[1]]);
    }
    reader.finish(complete)
}

/// What a page may never make us believe.
fn assert_plausible(scraped: &Scraped) {
    for count in [scraped.waiting, scraped.running].into_iter().flatten() {
        assert!((0.0..=1e7 * 256.0).contains(&count), "{count}");
    }
    assert!(
        scraped
            .kv_usage
            .is_none_or(|usage| (0.0..=1.0).contains(&usage))
    );
    assert!(scraped.kv_block_size != Some(0) && scraped.kv_blocks != Some(0));
    for counter in [
        scraped.generation_tokens_total,
        scraped.prompt_tokens_total,
        scraped.success_total,
        scraped.process_start_time_seconds,
    ] {
        assert!(counter.is_none_or(|counter| counter.is_finite() && counter >= 0.0));
    }
    if let Some(lora) = &scraped.lora {
        assert!(lora.active.len() <= 256 && lora.waiting.len() <= 256);
    }
    assert!(scraped.models.len() <= 8);
}

/// Lines made of the pieces that matter, so that random pages reach the parser's corners.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(b"vllm:num_requests_waiting".to_vec()),
        Just(b"vllm:num_requests_running".to_vec()),
        Just(b"vllm:kv_cache_usage_perc".to_vec()),
        Just(b"vllm:lora_requests_info".to_vec()),
        Just(b"vllm:cache_config_info".to_vec()),
        Just(b"process_start_time_seconds".to_vec()),
        Just(b"{engine=\"0\"}".to_vec()),
        Just(b"{block_size=\"16\",num_gpu_blocks=\"".to_vec()),
        Just(b"{max_lora=\"2\",running_lora_adapters=\"a,b".to_vec()),
        prop::sample::select(vec![
            "{", "}", "\"", "\\", "=", ",", " ", "\t", "\n", "\r\n", "#", "\\n", "\\\"", "\u{0}",
            "NaN", "+Inf", "-1", "1e400", "0x1p3", "7", "0.5", "1.7e9", "é", "# EOF", "\u{feff}",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 1..4),
    ]
}

fn page_of_pieces() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(piece(), 0..120).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_survived(page in prop::collection::vec(any::<u8>(), 0..2000)) {
        assert_plausible(&AUTO.read(&page, PageLimits::default()));
        assert_plausible(&AUTO.read(&page, TIGHT));
    }

    #[test]
    fn pages_of_telling_pieces_are_survived_and_chunks_change_nothing(
        page in page_of_pieces(),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
        complete in any::<bool>(),
    ) {
        for limits in [PageLimits::default(), TIGHT] {
            let whole = read_in_chunks(&page, &[], limits, complete);
            assert_plausible(&whole);
            prop_assert_eq!(&read_in_chunks(&page, &cuts, limits, complete), &whole);
        }
    }

    /// A parsed line is a line: writing its parts again gives the same sample.
    #[test]
    fn a_sample_survives_being_written_again(
        name in "[a-zA-Z_:][a-zA-Z0-9_:]{0,20}",
        labels in prop::collection::vec(("[a-zA-Z_][a-zA-Z0-9_]{0,8}", any::<String>()), 0..5),
        value in any::<f64>(),
    ) {
        let escape = |text: &str| {
            text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
        };
        let block: Vec<String> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
        let line = format!("{name}{{{}}} {value}", block.join(","));
        let sample = SampleLine::split(line.as_bytes()).unwrap().unwrap().parse(128).unwrap();
        prop_assert_eq!(sample.name, name.as_bytes());
        prop_assert!(sample.value == value || (sample.value.is_nan() && value.is_nan()));
        let read: Vec<(String, String)> = sample
            .labels
            .iter()
            .map(|label| (label.name.to_owned(), label.value().into_owned()))
            .collect();
        prop_assert_eq!(read, labels);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Real pages with some bytes overwritten, cut out or repeated.
    #[test]
    fn mutated_captures_are_survived_and_chunks_change_nothing(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<usize>(), piece(), 0..40usize), 1..30),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let mut page = which.get(&PAGES).clone();
        for (place, put, removed) in edits {
            let from = place % (page.len() + 1);
            let to = (from + removed).min(page.len());
            page.splice(from..to, put);
        }
        let whole = AUTO.read(&page, PageLimits::default());
        assert_plausible(&whole);
        prop_assert_eq!(&read_in_chunks(&page, &cuts, PageLimits::default(), true), &whole);
    }
}
