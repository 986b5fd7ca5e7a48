#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use picker::{InFlight, Signal};

use super::*;

const NOW: Millis = Millis(10_000);

fn endpoint() -> Endpoint {
    Endpoint::new(EndpointId {
        address: ([10, 0, 0, 1], 8000).into(),
        generation: 0,
    })
}

fn local(prefilling: u32, prefill_tokens: u64) -> LocalState {
    LocalState {
        in_flight: InFlight {
            requests: prefilling,
            tokens: prefill_tokens,
            prefilling,
            prefill_tokens,
        },
        ..LocalState::default()
    }
}

fn room(endpoint: &Endpoint, local: LocalState) -> Room {
    Room::of(endpoint, local, NOW, &Ladder::default())
}

#[test]
fn the_ledger_is_never_doubted_and_signals_only_add() {
    let mut endpoint = endpoint();
    assert_eq!(room(&endpoint, local(3, 500)).waiting, 3.0);
    endpoint.signals.waiting = Some(Signal::new(1.0, NOW));
    assert_eq!(room(&endpoint, local(3, 500)).waiting, 3.0);
    endpoint.signals.waiting = Some(Signal::new(9.0, NOW));
    assert_eq!(room(&endpoint, local(3, 500)).waiting, 9.0);
    endpoint.signals.waiting = Some(Signal::new(9.0, NOW.minus(3_000)));
    assert_eq!(room(&endpoint, local(3, 500)).waiting, 4.5);
    endpoint.signals.waiting = Some(Signal::new(f32::NAN, NOW));
    assert_eq!(room(&endpoint, local(3, 500)).waiting, 3.0);
}

#[test]
fn prompts_that_are_not_computed_yet_take_their_part_of_the_cache() {
    let mut endpoint = endpoint();
    endpoint.signals.kv_usage = Some(Signal::new(0.9, NOW));
    endpoint.signals.kv_blocks = Some(1_000);
    endpoint.signals.kv_block_size = Some(16);
    let room = room(&endpoint, local(1, 1_600));
    assert!((room.kv_usage - 1.0).abs() < 1e-6);
    assert!(!room.is_within(&Limits::default()));
}

#[test]
fn what_other_gateways_sent_counts_while_it_is_known() {
    let mut endpoint = endpoint();
    let others = local(4, 100).in_flight;
    endpoint.signals.others_in_flight = Some(Signal::new(others, NOW.minus(100)));
    assert_eq!(room(&endpoint, local(3, 500)).waiting, 7.0);
    endpoint.signals.others_in_flight = Some(Signal::new(others, NOW.minus(5_000)));
    assert_eq!(room(&endpoint, local(3, 500)).waiting, 3.0);
}

#[test]
fn each_limit_alone_makes_an_endpoint_full() {
    let limits = Limits::default();
    let below = Room {
        waiting: 7.0,
        prefill_tokens: 4_095.0,
        kv_usage: 0.96,
        ..Room::default()
    };
    assert!(below.is_within(&limits));
    for full in [
        Room {
            waiting: 8.0,
            ..below
        },
        Room {
            prefill_tokens: 4_096.0,
            ..below
        },
        Room {
            kv_usage: 0.97,
            ..below
        },
    ] {
        assert!(!full.is_within(&limits), "{full:?}");
    }
}

#[test]
fn the_sheddable_leave_sequences_free_where_it_is_known_how_many_there_are() {
    let sheddable = Limits {
        spare: Some(0.1),
        ..Limits::default()
    };
    let table = [
        // requests, limit, whether another sheddable one may go
        (500.0, None, true),
        (6.0, Some(8), true),
        (7.0, Some(8), false),
        (229.0, Some(256), true),
        (231.0, Some(256), false),
        (0.0, Some(1), true),
        (1.0, Some(1), false),
        (0.0, Some(0), true),
    ];
    for (requests, sequence_limit, goes) in table {
        let room = Room {
            requests,
            sequence_limit,
            ..Room::default()
        };
        assert_eq!(room.is_within(&sheddable), goes, "{room:?}");
        assert!(room.is_within(&Limits::default()), "others may: {room:?}");
    }
}
