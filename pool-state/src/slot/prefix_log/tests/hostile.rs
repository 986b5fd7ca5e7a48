//! Bytes that nobody of ours wrote.

use picker::{Entropy, SplitMix64};

use super::{super::*, sample};
use crate::slot::tests::reseal;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn a_log_cut_anywhere_or_changed_in_any_bit_is_refused() {
    let value = encode(&sample());
    for length in 0..value.len() {
        assert!(decode(&value[..length]).is_err(), "{length} bytes");
        if (12..value.len() - 8).contains(&length) {
            let mut cut = value[..length].to_vec();
            cut.extend_from_slice(&[0; 8]);
            reseal(&mut cut);
            assert!(decode(&cut).is_err(), "{length} bytes, sealed again");
        }
    }
    for bit in 0..value.len() * 8 {
        let mut flipped = value.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&flipped).is_err(), "bit {bit}");
    }
}

/// No two byte strings mean the same.
#[test]
fn each_flipped_bit_under_a_right_checksum_is_canonical_or_refused() {
    let value = encode(&sample());
    let mut read = 0;
    for bit in 12 * 8..(value.len() - 8) * 8 {
        let mut flipped = value.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        reseal(&mut flipped);
        if let Ok(log) = decode(&flipped) {
            read += 1;
            assert_eq!(encode(&log), flipped, "bit {bit}");
        }
    }
    assert!(
        read > 500,
        "most bits of hashes make other hashes, {read} did"
    );
}

#[test]
fn hostile_counts_are_refused() {
    let value = encode(&sample());
    for count in [5, 187, 65_535, 1 << 20, u32::MAX / 44, u32::MAX] {
        let mut value = value.clone();
        value[28..32].copy_from_slice(&count.to_le_bytes());
        reseal(&mut value);
        assert!(decode(&value).is_err(), "{count} notes");
    }
    for blocks in [1u16, 512, 513, u16::MAX] {
        let mut value = value.clone();
        value[60..62].copy_from_slice(&blocks.to_le_bytes());
        reseal(&mut value);
        assert!(decode(&value).is_err(), "{blocks} blocks");
    }
}

#[test]
fn each_lie_has_its_name() {
    let lie = |change: &dyn Fn(&mut PrefixLog)| {
        let mut log = sample();
        change(&mut log);
        match decode(&encode(&log)) {
            Err(SlotError::Field { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(lie(&|log| log.notes[1].cached_blocks = 2), "cached blocks");
    assert_eq!(
        lie(&|log| log.first_sequence = u64::MAX - 3),
        "first sequence"
    );
    assert_eq!(
        lie(&|log| log.notes[0].endpoint.address.set_port(0)),
        "endpoint id"
    );
    assert_eq!(lie(&|log| log.notes[0].prefix = vec![1; 513]), "blocks");
    assert_eq!(
        lie(&|log| log.notes = vec![super::note(1, 0); MAX_NOTES + 1]),
        "notes"
    );
    assert_eq!(
        lie(&|log| log.notes = vec![super::note(1, 500); 3]),
        "notes"
    );
    let mut value = encode(&sample());
    value[32 + 32] = 0;
    reseal(&mut value);
    assert!(matches!(
        decode(&value),
        Err(SlotError::Field {
            field: "turn",
            index: 0
        })
    ));
}

#[test]
fn a_refused_log_changes_nothing() {
    let mut reader = LogReader::default();
    let mut log = sample();
    log.notes[3].cached_blocks = 9;
    let broken = encode(&log);
    let mut applied = 0;
    assert!(reader.news(&broken, &mut |_| applied += 1).is_err());
    assert_eq!(applied, 0, "not even the notes before the broken one");
    let news = reader.news(&encode(&sample()), &mut |_| applied += 1);
    assert_eq!(
        news,
        Ok(News {
            applied: 4,
            missed: 0
        })
    );
}

#[test]
fn sequences_at_the_end_of_numbers_do_no_harm() {
    let mut reader = LogReader::default();
    let at = |first_sequence| {
        encode(&PrefixLog {
            first_sequence,
            ..sample()
        })
    };
    assert!(reader.news(&at(0), &mut |_| ()).is_ok());
    let far = reader.news(&at(u64::MAX - 4), &mut |_| ());
    assert_eq!(
        far,
        Ok(News {
            applied: 4,
            missed: u64::MAX - 8
        })
    );
    assert_eq!(reader.news(&at(5), &mut |_| ()), Ok(News::default()));
}

/// Random edits under a right checksum never panic, and what is read keeps the bounds.
#[test]
fn random_edits_keep_the_bounds() {
    let mut random = SplitMix64::new(12);
    let sample = encode(&sample());
    let (mut refused, mut read) = (0, 0);
    let mut reader = LogReader::default();
    for _ in 0..30_000 {
        let mut value = sample.clone();
        for _ in 0..=random.below(3) {
            let at = 12 + random.below(value.len() - 12);
            match random.below(5) {
                0 => value[at] = random.next_u64() as u8,
                1 => value[at] ^= 1 << random.below(8),
                2 => value.insert(at, [0, 0xff, 1][random.below(3)]),
                3 if value.len() > 40 => {
                    value.remove(at);
                }
                _ => value.truncate(20.max(at)),
            }
        }
        reseal(&mut value);
        // Only must not panic: what brings no news is not read to its end.
        let _any = reader.news(&value, &mut |_| ());
        let news = LogReader::default().news(&value, &mut |_| ());
        match decode(&value) {
            Ok(log) => {
                read += 1;
                assert!(news.is_ok());
                assert!(log.notes.len() <= MAX_NOTES);
                for note in &log.notes {
                    assert!(note.cached_blocks as usize <= note.prefix.len());
                    assert_ne!(note.endpoint.address.port(), 0);
                }
                assert_eq!(encode(&log), value);
            }
            Err(error) => {
                refused += 1;
                assert_eq!(news, Err(error));
            }
        }
    }
    assert!(
        read > 1_000 && refused > 10_000,
        "read {read}, refused {refused}"
    );
    assert!(reader.owners.len() <= MAX_OWNERS);
}
