//! How a body is cut into chunks makes no difference.

#![allow(clippy::expect_used, reason = "test code fails by panicking")]

use filter::body::{BodyScanner, Learned, Progress, SCRATCH_BYTES, ScanConfig, ScanOutcome};
use proptest::prelude::*;

mod body_corpus;

/// Scans `body` in pieces of the given lengths, over and over.
fn learn(body: &[u8], lengths: &[usize], config: &ScanConfig) -> Learned {
    let mut scanner = BodyScanner::new(config);
    let mut rest = body;
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at((*length).min(rest.len()));
        rest = behind;
        if scanner.push(piece) == Progress::Decided {
            break;
        }
    }
    assert!(scanner.scratch_bytes() <= config.prefix_max_bytes + SCRATCH_BYTES);
    let mut learned = scanner.learn(true, Some(body.len() as u64));
    if learned.outcome == ScanOutcome::NotJson {
        // Where a text turns out to be no UTF-8 is found piece by piece.
        learned.scanned_bytes = 0;
    }
    learned
}

fn configs() -> Vec<ScanConfig> {
    let mut configs = Vec::new();
    for strict_model in [false, true] {
        for (cap_bytes, prefix_max_bytes, block_bytes) in [
            (65_536, 16_384, 256),
            (usize::MAX, 64, 16),
            (300, 40, 7),
            (65_536, 131, 1),
            (100, 0, 1),
        ] {
            configs.push(ScanConfig {
                cap_bytes,
                prefix_max_bytes,
                block_bytes,
                strict_model,
                note_models: strict_model,
            });
        }
    }
    configs
}

#[test]
fn every_single_cut_of_every_short_sample_gives_the_same_facts() {
    for sample in body_corpus::samples() {
        if sample.body.len() > 2_000 {
            continue;
        }
        for config in configs() {
            let whole = learn(&sample.body, &[usize::MAX], &config);
            for cut in 1..sample.body.len() {
                let mut scanner = BodyScanner::new(&config);
                let (head, tail) = sample.body.split_at(cut);
                if scanner.push(head) == Progress::NeedMore {
                    let _decided = scanner.push(tail);
                }
                let mut cut_in_two = scanner.learn(true, Some(sample.body.len() as u64));
                if cut_in_two.outcome == ScanOutcome::NotJson {
                    cut_in_two.scanned_bytes = 0;
                }
                assert_eq!(
                    cut_in_two, whole,
                    "{} cut at {cut}, {config:?}",
                    sample.name
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn any_chunks_of_any_body_give_the_same_facts(
        index in any::<u64>(),
        lengths in prop::collection::vec(prop_oneof![3 => 1..12_usize, 1 => 1..400_usize], 1..20),
    ) {
        let samples = body_corpus::samples();
        let body = body_corpus::body(index, &samples);
        for config in configs() {
            let whole = learn(&body, &[usize::MAX], &config);
            let bytes = learn(&body, &[1], &config);
            let pieces = learn(&body, &lengths, &config);
            prop_assert_eq!(&bytes, &whole, "byte by byte, {:?}, {}", config, body.escape_ascii());
            prop_assert_eq!(&pieces, &whole, "{:?}, {}", config, body.escape_ascii());
        }
    }
}
