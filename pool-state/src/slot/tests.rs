//! Round trips and hostile bytes of every layout.

use std::sync::Arc;

use picker::{EndpointId, InFlight, Millis, PoolSnapshot, Priority, SplitMix64};
use xxhash_rust::xxh64::xxh64;

use super::{
    SlotError, board, board::Row, in_flight, in_flight::InFlightTable, lease, lease::Lease, pool,
    sequences, version,
};
use crate::testing::{clock, id, random_pool, sample};

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

mod hostile;
#[cfg(not(target_arch = "wasm32"))]
mod properties;

fn table() -> InFlightTable {
    let load = |requests, tokens| InFlight {
        requests,
        tokens,
        prefilling: requests - 1,
        prefill_tokens: tokens / 2,
    };
    InFlightTable {
        owner: 0xfeed,
        beat: Millis(77),
        loads: vec![
            (id("10.0.0.1:8000", 1), load(3, 12_000)),
            (id("[2001:db8::1]:443", u64::MAX), load(u32::MAX, u64::MAX)),
        ],
    }
}

fn rows() -> [Row; 2] {
    let row = |owner, priority, waiting| Row {
        owner,
        beat: Millis(1_234),
        queue: 7,
        priority: Priority(priority),
        waiting,
        bytes: 0x0102,
    };
    [row(3, -5, 1), row(u64::MAX, i32::MAX, u32::MAX)]
}

fn limits() -> [(EndpointId, u32); 2] {
    let id = |last| EndpointId {
        address: ([10, 0, 0, last], 8000).into(),
        generation: 7,
    };
    [(id(1), 1), (id(2), 256)]
}

/// One value of each kind.
fn samples() -> [Vec<u8>; 6] {
    let lease = Lease {
        owner: 5,
        expires: Millis(10_600),
    };
    [
        pool::encode(&sample()),
        in_flight::encode(&table()),
        lease::encode(&lease),
        version::encode(42),
        board::encode(&rows()),
        sequences::encode(&limits()),
    ]
}

/// What each decoder says of a value.
fn verdicts(value: &[u8]) -> [Result<(), SlotError>; 6] {
    [
        pool::decode(value).map(drop),
        in_flight::decode(value).map(drop),
        lease::decode(value).map(drop),
        version::decode(value).map(drop),
        board::decode(value).map(drop),
        sequences::decode(value).map(drop),
    ]
}

/// Makes length and checksum right again, as a hostile writer would.
pub(super) fn reseal(value: &mut Vec<u8>) {
    let body = value.len() - 8;
    value.truncate(body);
    let length = u32::try_from(body + 8).expect("a small value");
    value[8..12].copy_from_slice(&length.to_le_bytes());
    let checksum = xxh64(value, 2);
    value.extend_from_slice(&checksum.to_le_bytes());
}

#[test]
fn every_kind_survives_the_round_trip() {
    let [pool, in_flight, lease, version, board, learned] = samples();
    assert_eq!(pool::decode(&pool), Ok(sample()));
    assert_eq!(in_flight::decode(&in_flight), Ok(table()));
    assert_eq!(
        lease::decode(&lease),
        Ok(Lease {
            owner: 5,
            expires: Millis(10_600)
        })
    );
    assert_eq!(version::decode(&version), Ok(42));
    assert_eq!(board::decode(&board), Ok(rows().to_vec()));
    assert_eq!(board::decode(&board::encode(&[])), Ok(vec![]));
    assert_eq!(sequences::decode(&learned), Ok(limits().to_vec()));
    let empty = PoolSnapshot {
        pool: "p".to_owned(),
        ..PoolSnapshot::default()
    };
    assert_eq!(pool::decode(&pool::encode(&empty)), Ok(empty));
    let idle = InFlightTable::default();
    assert_eq!(in_flight::decode(&in_flight::encode(&idle)), Ok(idle));
}

#[test]
fn pools_of_every_size_survive_the_round_trip() {
    let mut random = SplitMix64::new(1);
    for count in [0, 1, 2, 3, 10, 100, 1_000] {
        let pool = random_pool(count, Millis(5_000_000_000), &mut random);
        assert_eq!(
            pool::decode(&pool::encode(&pool)),
            Ok(pool),
            "{count} endpoints"
        );
    }
}

#[test]
fn the_layout_of_a_version_is_as_documented() {
    let value = version::encode(0x0102_0304_0506_0708);
    let expected = [
        b'z', b'h', b'p', b's', 4, 2, 0, 0, 28, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1,
    ];
    assert_eq!(value[..20], expected);
    assert_eq!(value[20..], xxh64(&expected, 2).to_le_bytes());
}

#[test]
fn the_layout_of_a_board_is_as_documented() {
    let [row, _] = rows();
    let value = board::encode(&[row]);
    let expected = [
        b'z', b'h', b'p', b's', 7, 2, 0, 0, 60, 0, 0, 0, // frame
        1, 0, 0, 0, // rows
        3, 0, 0, 0, 0, 0, 0, 0, // owner
        0xd2, 4, 0, 0, 0, 0, 0, 0, // beat
        7, 0, 0, 0, // queue
        0xfb, 0xff, 0xff, 0xff, // priority
        1, 0, 0, 0, // waiting
        2, 1, 0, 0, 0, 0, 0, 0, // bytes
    ];
    assert_eq!(value[..52], expected);
    assert_eq!(value[52..], xxh64(&expected, 2).to_le_bytes());
}

#[test]
fn a_board_has_no_empty_row_no_owner_twice_and_no_more_rows_than_workers() {
    let [row, _] = rows();
    let refused = |rows: &[Row]| board::decode(&board::encode(rows)).expect_err("a bad board");
    let empty = Row { waiting: 0, ..row };
    let field = |field, index| SlotError::Field { field, index };
    assert_eq!(refused(&[empty]), field("waiting", 0));
    assert_eq!(refused(&[row, row]), field("owner", 1));
    let rows = |count| -> Vec<Row> { (0..count).map(|owner| Row { owner, ..row }).collect() };
    assert!(board::decode(&board::encode(&rows(64))).is_ok());
    assert_eq!(refused(&rows(65)), field("number of rows", 0));
}

#[test]
fn the_layout_of_a_pool_is_as_documented() {
    let value = pool::encode(&sample());
    let at = |offset: usize, bytes: &[u8]| {
        assert_eq!(
            &value[offset..offset + bytes.len()],
            bytes,
            "at offset {offset}"
        );
    };
    at(12, &1u64.to_le_bytes());
    at(12 + 32, &9_100u64.to_le_bytes());
    at(12 + 40, b"\x07\0default");
    let names = 12 + 49;
    at(names, &3u32.to_le_bytes());
    at(names + 4, b"\x03\0sql\x04\0chat\x06\0");
    let records = names + 4 + 5 + 6 + 8;
    at(records, &3u32.to_le_bytes());
    let first = records + 4;
    at(first, &[10, 0, 0, 1]);
    at(first + 16, &8_000u16.to_le_bytes());
    at(first + 18, &[4, 0]);
    at(first + 20, &7u64.to_le_bytes());
    at(first + 28, &[1, 0, 0xff, 0x03]);
    at(first + 32, &2.5f32.to_le_bytes());
    at(first + 36, &0.5f32.to_le_bytes());
    at(first + 40, &3.0f32.to_le_bytes());
    at(first + 44, &100u32.to_le_bytes());
    at(first + 64, &225.5f32.to_le_bytes());
    at(first + 72, &0u32.to_le_bytes());
    at(first + 76, &[4, 0, 0, 0, 3, 0, 0, 0]);
    at(first + 84, &5_000_000_000u64.to_le_bytes());
    at(first + 92, &700u64.to_le_bytes());
    at(first + 100, &1_100u32.to_le_bytes());
    at(first + 104, &5_500f32.to_le_bytes());
    at(first + 112, &0.15f32.to_le_bytes());
    at(first + 116, &[100, 0, 0, 0, 2, 0, 0, 0]);
    at(first + 132, &4_096u32.to_le_bytes());
    let lists = first + 3 * 136;
    at(
        lists,
        &[2, 0, 1, 0, 3, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0],
    );
    assert_eq!(value.len(), lists + 6 + 6 * 4 + 6 + 4 + 8);
}

#[test]
fn equal_adapter_names_share_one_allocation() {
    let pool = pool::decode(&pool::encode(&sample())).expect("a sample");
    let lora = |index: usize| pool.endpoints[index].signals.lora.as_ref().expect("lora");
    assert!(Arc::ptr_eq(
        &lora(0).value.active[0],
        &lora(2).value.registered[0]
    ));
}

#[test]
fn signals_older_than_49_days_are_remembered_as_49_days_old() {
    let mut pool = sample();
    let now = Millis(1 << 40);
    pool.endpoints[0]
        .signals
        .waiting
        .as_mut()
        .expect("waiting")
        .taken_at = now;
    let decoded = pool::decode(&pool::encode(&pool)).expect("a sample");
    let signals = &decoded.endpoints[0].signals;
    assert_eq!(signals.waiting.expect("waiting").taken_at, now);
    for taken_at in [
        signals.mean_output_tokens.expect("mean").taken_at,
        signals.step_model.expect("model").taken_at,
        signals.others_in_flight.expect("others").taken_at,
    ] {
        assert_eq!(taken_at, now.minus(u64::from(u32::MAX)));
    }
}

#[test]
fn what_breaks_the_contract_is_not_read_back() {
    type Breakage = fn(&mut PoolSnapshot);
    let broken: [(&str, Breakage); 14] = [
        ("pool name", |pool| pool.pool.clear()),
        ("weight", |pool| pool.endpoints[0].weight = f32::NAN),
        ("weight", |pool| pool.endpoints[0].weight = 0.0),
        ("order by endpoint id", |pool| pool.endpoints.swap(0, 1)),
        ("order by endpoint id", |pool| {
            let twin = pool.endpoints[0].clone();
            pool.endpoints.insert(0, twin);
        }),
        ("kv_usage", |pool| {
            pool.endpoints[0]
                .signals
                .kv_usage
                .as_mut()
                .expect("usage")
                .value = 1.005;
        }),
        ("others_in_flight", |pool| {
            let others = &mut pool.endpoints[0].signals.others_in_flight;
            others.as_mut().expect("others").value.requests = u32::MAX;
        }),
        ("others_in_flight", |pool| {
            let others = &mut pool.endpoints[0].signals.others_in_flight;
            others.as_mut().expect("others").value.prefilling = 5;
        }),
        ("step_model", |pool| {
            let model = &mut pool.endpoints[0].signals.step_model;
            model.as_mut().expect("model").value.kv_token_us = -0.0;
        }),
        ("mean_output_tokens", |pool| {
            let mean = &mut pool.endpoints[0].signals.mean_output_tokens;
            mean.as_mut().expect("mean").value = 0.5;
        }),
        ("max_model_len", |pool| {
            pool.endpoints[0].signals.max_model_len = Some(u32::MAX);
        }),
        ("price", |pool| pool.endpoints[0].price = f32::INFINITY),
        ("adapter name", |pool| {
            let lora = &mut pool.endpoints[0].signals.lora;
            lora.as_mut()
                .expect("lora")
                .value
                .active
                .push(Arc::from("a b"));
        }),
        ("lora lists", |pool| {
            let lora = &mut pool.endpoints[0].signals.lora;
            lora.as_mut().expect("lora").value.active = vec![Arc::from("sql"); 513];
        }),
    ];
    for (name, breakage) in broken {
        let mut pool = sample();
        breakage(&mut pool);
        match pool::decode(&pool::encode(&pool)) {
            Err(SlotError::Field { field, .. }) => assert_eq!(field, name),
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// The figures are for people: the filter does this twice a request.
#[test]
fn a_table_is_written_and_read_quickly() {
    const ROUNDS: u32 = if cfg!(debug_assertions) { 50 } else { 50_000 };
    for count in [1, 8, 100] {
        let loads = random_pool(count, Millis(0), &mut SplitMix64::new(3))
            .endpoints
            .iter()
            .map(|endpoint| (endpoint.id, table().loads[0].1))
            .collect();
        let table = InFlightTable { loads, ..table() };
        let value = in_flight::encode(&table);
        let written = micros(ROUNDS, || {
            drop(std::hint::black_box(in_flight::encode(&table)))
        });
        let read = micros(ROUNDS, || assert!(in_flight::decode(&value).is_ok()));
        clock::report(&format!(
            "table of {count}: written in {written:.3} us, read in {read:.3} us"
        ));
        assert!(
            written + read < 10_000.0,
            "{count} took {written} and {read} us"
        );
    }
}

/// The best of three means.
fn micros(rounds: u32, mut work: impl FnMut()) -> f64 {
    let mut round = || {
        clock::micros(|| {
            for _ in 0..rounds {
                work();
            }
        })
    };
    round().min(round()).min(round()) / f64::from(rounds)
}

/// Only a quadratic or worse decoder is slow enough to fail; the figures are for people. The adapter
/// lists of `random_pool` are long, so the pool is timed without them too.
#[test]
fn decoding_100_endpoints_is_quick() {
    const ROUNDS: u32 = if cfg!(debug_assertions) { 20 } else { 1_000 };
    let with = random_pool(100, Millis(5_000_000_000), &mut SplitMix64::new(2));
    let mut without = with.clone();
    for endpoint in &mut without.endpoints {
        endpoint.signals.lora = None;
    }
    for (name, pool) in [("with adapters", with), ("without adapters", without)] {
        let value = pool::encode(&pool);
        let micros = micros(ROUNDS, || assert!(pool::decode(&value).is_ok()));
        let length = value.len();
        clock::report(&format!(
            "decode, 100 endpoints {name}, {length} bytes: {micros:.1} us"
        ));
        assert!(micros < 10_000.0, "decoding took {micros} us");
    }
}

#[test]
fn the_layout_of_sequence_limits_is_as_documented() {
    let value = sequences::encode(&limits());
    assert_eq!(value.len(), 12 + 4 + 2 * 32 + 8);
    assert_eq!(value[12..16], [2, 0, 0, 0]);
    assert_eq!(value[44..48], [1, 0, 0, 0]);
    let none = sequences::encode(&[(limits()[0].0, 0)]);
    let refused = SlotError::Field {
        field: "limit",
        index: 0,
    };
    assert_eq!(sequences::decode(&none), Err(refused));
}
