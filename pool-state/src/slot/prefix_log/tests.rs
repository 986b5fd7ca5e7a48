//! Round trips, the writer's bounds and what a reader makes of gaps and restarts.

use picker::{Entropy, PrefixNote, SplitMix64};

use super::*;
use crate::testing::{clock, id};

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

mod hostile;
#[cfg(not(target_arch = "wasm32"))]
mod properties;

/// A note of so many blocks that all differ, told apart by `number`.
pub(super) fn note(number: u64, blocks: usize) -> PrefixNote {
    let mut entropy = SplitMix64::new(number);
    let address = match number % 2 {
        0 => "10.0.0.1:8000",
        _ => "[2001:db8::1]:443",
    };
    PrefixNote {
        endpoint: id(address, number),
        prefix: (0..blocks).map(|_| entropy.next_u64()).collect(),
        turn: (!number.is_multiple_of(3)).then_some(number),
        cached_blocks: u32::try_from(blocks).expect("few"),
    }
}

pub(super) fn sample() -> PrefixLog {
    let mut corrected = note(5, 6);
    corrected.cached_blocks = 2;
    PrefixLog {
        owner: 0xfeed,
        first_sequence: 41,
        notes: vec![note(2, 0), note(3, 1), corrected, note(4, 3)],
    }
}

/// A log of the notes that were pushed.
fn written(owner: u64, notes: impl IntoIterator<Item = PrefixNote>) -> LogWriter {
    let mut writer = LogWriter::new(owner);
    notes.into_iter().for_each(|note| writer.push(&note));
    writer
}

fn read(reader: &mut LogReader, value: &[u8]) -> (Vec<PrefixNote>, u64) {
    let mut notes = Vec::new();
    let news = reader
        .news(value, &mut |note| notes.push(note.clone()))
        .expect("a log");
    assert_eq!(news.applied, notes.len() as u64);
    (notes, news.missed)
}

#[test]
fn a_log_survives_the_round_trip() {
    assert_eq!(decode(&encode(&sample())), Ok(sample()));
    assert_eq!(
        decode(&encode(&PrefixLog::default())),
        Ok(PrefixLog::default())
    );
}

#[test]
fn the_layout_is_as_documented() {
    let value = encode(&PrefixLog {
        owner: 7,
        first_sequence: 9,
        notes: vec![PrefixNote {
            endpoint: id("10.0.0.1:8000", 3),
            prefix: vec![0x0102_0304_0506_0708, 5],
            turn: Some(11),
            cached_blocks: 1,
        }],
    });
    let at = |offset: usize, bytes: &[u8]| {
        assert_eq!(&value[offset..offset + bytes.len()], bytes, "at {offset}");
    };
    at(4, &[5]);
    at(12, &7u64.to_le_bytes());
    at(20, &9u64.to_le_bytes());
    at(28, &1u32.to_le_bytes());
    at(32, &[10, 0, 0, 1]);
    at(32 + 28, &[2, 0, 1, 0, 1, 0, 0, 0]);
    at(32 + 36, &11u64.to_le_bytes());
    at(32 + 44, &[8, 7, 6, 5, 4, 3, 2, 1, 5]);
    assert_eq!(value.len(), 32 + 44 + 16 + 8);
}

#[test]
fn the_writer_writes_what_the_encoder_does() {
    let mut notes = sample().notes;
    let log = PrefixLog {
        owner: 8,
        first_sequence: 0,
        notes: notes.clone(),
    };
    notes.insert(2, note(6, 0));
    assert_eq!(
        written(8, notes).encode(),
        encode(&log),
        "the third note says nothing and is left out"
    );
    assert_eq!(
        LogWriter::new(8).encode(),
        encode(&PrefixLog {
            owner: 8,
            ..PrefixLog::default()
        })
    );
}

#[test]
fn the_oldest_notes_make_room() {
    let mut writer = LogWriter::new(1);
    for number in 0..1_000 {
        writer.push(&note(number, (number % 65) as usize + 1));
        let value = writer.encode();
        assert!(value.len() <= MAX_VALUE_BYTES);
        let log = decode(&value).expect("a log");
        assert_eq!(log.first_sequence + log.notes.len() as u64, number + 1);
        assert_eq!(
            log.notes.last().map(|last| last.endpoint.generation),
            Some(number)
        );
        let next_older = note(log.first_sequence.wrapping_sub(1), 0);
        let blocks = next_older.endpoint.generation % 65 + 1;
        assert!(
            log.first_sequence == 0
                || value.len() + NOTE_BYTES + blocks as usize * 8 > MAX_VALUE_BYTES,
            "one more would have fitted"
        );
    }
    let log = decode(&written(1, (0..1_000).map(|n| note(3 * n + 1, 0))).encode()).expect("a log");
    assert_eq!(log.notes.len(), MAX_NOTES);
}

#[test]
fn a_long_prompt_is_noted_by_its_head() {
    let long = note(1, 70_000);
    let log = decode(&written(1, [note(2, 5), long.clone()]).encode()).expect("a log");
    assert_eq!(log.notes.len(), 2);
    assert_eq!(log.notes[1].prefix, long.prefix[..MAX_NOTE_BLOCKS]);
    assert_eq!(log.notes[1].cached_blocks as usize, MAX_NOTE_BLOCKS);
    assert_eq!(log.notes[1].turn, None, "its blocks are not all there");
    let exact = note(1, MAX_NOTE_BLOCKS);
    let log = decode(&written(1, [exact.clone()]).encode()).expect("a log");
    assert_eq!(log.notes, [exact]);
}

#[test]
fn a_reader_gets_every_note_once() {
    let mut writer = LogWriter::new(1);
    let mut reader = LogReader::default();
    let mut number = 0;
    for look in 0..50 {
        let fresh: Vec<PrefixNote> = (0..look % 4)
            .map(|_| {
                number += 1;
                note(number, 10)
            })
            .collect();
        fresh.iter().for_each(|note| writer.push(note));
        assert_eq!(read(&mut reader, &writer.encode()), (fresh, 0));
    }
}

#[test]
fn a_gap_is_counted() {
    let mut writer = written(1, [note(1, 64)]);
    let mut reader = LogReader::default();
    assert_eq!(read(&mut reader, &writer.encode()).1, 0);
    (2..102).for_each(|number| writer.push(&note(number, 64)));
    let (notes, missed) = read(&mut reader, &writer.encode());
    assert_eq!(notes.len() as u64 + missed, 100);
    assert!(missed > 80, "{missed}");
    assert_eq!(notes.last(), Some(&note(101, 64)));
}

#[test]
fn a_new_owner_is_news_from_its_first_note_and_misses_nothing() {
    let mut reader = LogReader::default();
    let old = written(1, (0..100).map(|number| note(number, 64)));
    let (notes, missed) = read(&mut reader, &old.encode());
    assert!(!notes.is_empty());
    assert_eq!(missed, 0, "what fell out before was never ours to miss");
    let restarted = written(2, [note(1, 3)]);
    assert_eq!(
        read(&mut reader, &restarted.encode()),
        (vec![note(1, 3)], 0)
    );
    assert_eq!(
        read(&mut reader, &old.encode()),
        (vec![], 0),
        "both are known"
    );
}

#[test]
fn a_log_that_went_back_brings_nothing() {
    let mut reader = LogReader::default();
    let writer = written(1, (1..6).map(|number| note(number, 2)));
    read(&mut reader, &writer.encode());
    let younger = written(1, [note(1, 2)]);
    assert_eq!(read(&mut reader, &younger.encode()), (vec![], 0));
    assert_eq!(read(&mut reader, &writer.encode()), (vec![], 0));
}

#[test]
fn owners_are_forgotten_from_the_longest_unseen_on() {
    let mut reader = LogReader::default();
    let one = |owner: u64| written(owner, [note(1, 2)]).encode();
    for owner in 0..MAX_OWNERS as u64 {
        read(&mut reader, &one(owner));
    }
    assert_eq!(
        read(&mut reader, &one(0)).0.len(),
        0,
        "0 is known, and now seen again"
    );
    read(&mut reader, &one(1_000));
    assert_eq!(reader.owners.len(), MAX_OWNERS);
    assert_eq!(read(&mut reader, &one(0)).0.len(), 0);
    assert_eq!(
        read(&mut reader, &one(1)).0.len(),
        1,
        "1 was forgotten for 1,000"
    );
}

/// Only something absurd fails; the figures are for people.
#[test]
fn a_full_log_is_quick() {
    const ROUNDS: u32 = if cfg!(debug_assertions) { 100 } else { 10_000 };
    for blocks in [4, 64] {
        let mut writer = written(1, (0..400).map(|number| note(number, blocks)));
        let value = writer.encode();
        let extra = note(7, blocks);
        let mut reader = LogReader::default();
        read(&mut reader, &value);
        let time = |work: &mut dyn FnMut()| {
            let best = (0..5)
                .map(|_| clock::micros(|| (0..ROUNDS).for_each(|_| work())))
                .fold(f64::INFINITY, f64::min);
            best / f64::from(ROUNDS)
        };
        let length = value.len();
        let checksum = time(&mut || {
            std::hint::black_box(xxhash_rust::xxh64::xxh64(std::hint::black_box(&value), 1));
        });
        let publish = time(&mut || {
            writer.push(&extra);
            std::hint::black_box(writer.encode());
        });
        let nothing_new = time(&mut || {
            assert!(reader.news(&value, &mut |_| ()).is_ok());
        });
        let all_new = time(&mut || {
            assert!(LogReader::default().news(&value, &mut |_| ()).is_ok());
        });
        clock::report(&format!(
            "log of {length} bytes, {blocks} blocks a note: checksum {checksum:.2} us, push and \
             encode {publish:.2} us, read with nothing new {nothing_new:.2} us, all new {all_new:.2} us"
        ));
        assert!(publish < 10_000.0);
    }
}
