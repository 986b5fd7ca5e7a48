//! Each rule in one table, and how they stand to one another.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::{
    endpoint::{Endpoint, EndpointId},
    request::SubsetEntry,
    signal::{LoraState, Signal},
    time::Millis,
    view::LocalState,
};

const NOW: Millis = Millis(100_000);

/// Endpoints at 10.0.0.1:1, 10.0.0.1:2 and so on.
fn endpoints(count: u16) -> Vec<Endpoint> {
    let id = |port| EndpointId {
        address: ([10, 0, 0, 1], port).into(),
        generation: 0,
    };
    (1..=count).map(id).map(Endpoint::new).collect()
}

fn selected(endpoints: &[Endpoint], local: &[LocalState], facts: &RequestFacts) -> Vec<u32> {
    let mut candidates = vec![7];
    let view = PoolView {
        endpoints,
        local,
        now: NOW,
    };
    select(&view, facts, &Ladder::default(), &mut candidates);
    candidates
}

/// `r`eady, `d`raining, `s`uspect to the agent, `l`ocally suspect.
fn healths(pool: &str) -> (Vec<Endpoint>, Vec<LocalState>) {
    let mut endpoints = endpoints(u16::try_from(pool.len()).unwrap());
    let mut local = Vec::new();
    for (endpoint, letter) in endpoints.iter_mut().zip(pool.chars()) {
        endpoint.health = match letter {
            'd' => Health::Draining,
            's' => Health::Suspect,
            _ => Health::Ready,
        };
        local.push(LocalState {
            suspect: letter == 'l',
            ..LocalState::default()
        });
    }
    (endpoints, local)
}

#[test]
fn health_in_one_table() {
    let table: [(&str, &[u32]); 12] = [
        ("", &[]),
        ("rrr", &[0, 1, 2]),
        ("rdr", &[0, 2]),
        ("rsr", &[0, 2]),
        ("lrr", &[1, 2]),
        ("rs", &[0]),
        ("rsl", &[0, 1, 2]),
        ("rsld", &[0, 1, 2]),
        ("ddd", &[0, 1, 2]),
        ("dds", &[2]),
        ("ddl", &[2]),
        ("rrssdd", &[0, 1]),
    ];
    for (pool, expected) in table {
        let (endpoints, local) = healths(pool);
        let facts = RequestFacts::default();
        assert_eq!(
            selected(&endpoints, &local, &facts),
            expected,
            "pool {pool:?}"
        );
    }
}

fn subset(entries: &[(&str, Option<u16>)]) -> RequestFacts {
    let entry = |(ip, port): &(&str, Option<u16>)| SubsetEntry {
        ip: ip.parse().unwrap(),
        port: *port,
    };
    RequestFacts {
        subset: Some(entries.iter().map(entry).collect()),
        ..RequestFacts::default()
    }
}

#[test]
fn subsets_in_one_table() {
    // The pool, two ports of one address, then other addresses.
    let addresses = [
        "10.0.0.1:80",
        "10.0.0.1:81",
        "10.0.0.2:80",
        "[fd00::1]:80",
        "[::ffff:10.0.0.3]:80",
    ];
    type Row<'a> = (&'a [(&'a str, Option<u16>)], &'a str, &'a [u32]);
    let table: [Row<'_>; 13] = [
        (&[], "rrrrr", &[]),
        (&[("10.0.0.9", None)], "rrrrr", &[]),
        (&[("10.0.0.2", Some(81))], "rrrrr", &[]),
        (&[("10.0.0.1", None)], "rrrrr", &[0, 1]),
        (&[("10.0.0.1", Some(81))], "rrrrr", &[1]),
        (
            &[("10.0.0.2", None), ("10.0.0.1", Some(80))],
            "rrrrr",
            &[0, 2],
        ),
        (&[("10.0.0.9", None), ("fd00::1", Some(80))], "rrrrr", &[3]),
        (&[("10.0.0.3", None)], "rrrrr", &[4]),
        (&[("::ffff:10.0.0.2", None)], "rrrrr", &[2]),
        (&[("10.0.0.1", None)], "drrrr", &[1]),
        (&[("10.0.0.1", None)], "ddrrr", &[0, 1]),
        (&[("10.0.0.1", None)], "srrrr", &[1]),
        (&[("10.0.0.2", None)], "rrsrr", &[2]),
    ];
    for (entries, pool, expected) in table {
        let (mut endpoints, local) = healths(pool);
        for (endpoint, address) in endpoints.iter_mut().zip(addresses) {
            endpoint.id.address = address.parse().unwrap();
        }
        let facts = subset(entries);
        assert_eq!(
            selected(&endpoints, &local, &facts),
            expected,
            "{entries:?} of {pool:?}"
        );
    }
}

#[test]
fn a_subset_of_an_empty_pool_is_empty() {
    assert!(selected(&[], &[], &subset(&[("10.0.0.1", None)])).is_empty());
}

/// What an endpoint says: its length, its KV blocks of 16 tokens.
type Lengths = (Option<u32>, Option<u32>);

#[test]
fn context_lengths_in_one_table() {
    const LONG: Lengths = (Some(32_768), None);
    const SHORT: Lengths = (Some(8_192), None);
    const SILENT: Lengths = (None, None);
    type Row<'a> = (&'a str, &'a [Lengths], u64, Option<u64>, &'a [u32]);
    let table: [Row<'_>; 17] = [
        (
            "everybody is long enough",
            &[SHORT, LONG],
            24_576,
            None,
            &[0, 1],
        ),
        (
            "3 bytes a token do not fit",
            &[SHORT, LONG],
            24_579,
            None,
            &[1],
        ),
        (
            "6 bytes a token do not fit",
            &[SHORT, LONG],
            60_000,
            None,
            &[1],
        ),
        (
            "nobody is sure: who may",
            &[SHORT, (Some(4_096), None)],
            36_000,
            None,
            &[0],
        ),
        (
            "nobody is sure, all may",
            &[SHORT, SHORT],
            48_000,
            None,
            &[0, 1],
        ),
        (
            "nobody can: all stay",
            &[SHORT, SHORT],
            60_000,
            None,
            &[0, 1],
        ),
        (
            "nobody can, unequal: all stay",
            &[SHORT, LONG],
            600_000,
            None,
            &[0, 1],
        ),
        (
            "the answer counts",
            &[SHORT, LONG],
            2_400,
            Some(8_000),
            &[1],
        ),
        (
            "as long as it is bearable",
            &[SHORT, LONG],
            2_400,
            Some(7_392),
            &[0, 1],
        ),
        (
            "no answer is too long to add",
            &[SHORT, LONG],
            u64::MAX,
            Some(u64::MAX),
            &[0, 1],
        ),
        (
            "the KV cache is a length",
            &[(None, Some(512)), LONG],
            24_579,
            None,
            &[1],
        ),
        (
            "the lesser of both",
            &[(Some(32_768), Some(512)), LONG],
            24_579,
            None,
            &[1],
        ),
        (
            "half a KV cache is none",
            &[SILENT, LONG],
            24_579,
            None,
            &[0, 1],
        ),
        (
            "silence is no shortness",
            &[SHORT, SILENT],
            60_000,
            None,
            &[1],
        ),
        (
            "silence is no assurance",
            &[SHORT, SILENT],
            30_000,
            None,
            &[0, 1],
        ),
        (
            "nor beside one",
            &[SHORT, SILENT, LONG],
            30_000,
            None,
            &[1, 2],
        ),
        ("all are silent", &[SILENT, SILENT], u64::MAX, None, &[0, 1]),
    ];
    for (what, lengths, prompt_bytes, max_tokens, expected) in table {
        let mut endpoints = endpoints(u16::try_from(lengths.len()).unwrap());
        for (endpoint, (length, blocks)) in endpoints.iter_mut().zip(lengths) {
            endpoint.signals.max_model_len = *length;
            endpoint.signals.kv_blocks = *blocks;
            endpoint.signals.kv_block_size = Some(16);
        }
        let facts = RequestFacts {
            prompt_bytes,
            max_tokens,
            ..RequestFacts::default()
        };
        assert_eq!(selected(&endpoints, &[], &facts), expected, "{what}");
    }
}

/// `h`as the adapter registered, has it only `a`ctive or `w`aiting, lists `o`thers, `s`ays nothing,
/// has an `e`mpty list; capitals are signals that have begun to age, `x` is an expired one that has
/// it.
fn adapters(letters: &str) -> Vec<Endpoint> {
    let mut endpoints = endpoints(u16::try_from(letters.len()).unwrap());
    for (endpoint, letter) in endpoints.iter_mut().zip(letters.chars()) {
        let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
        let (active, waiting, registered): (&[&str], &[&str], &[&str]) =
            match letter.to_ascii_lowercase() {
                'h' | 'x' => (&[], &[], &["lqs", "sql"]),
                'a' => (&["sql"], &[], &["lqs"]),
                'w' => (&[], &["sql"], &["lqs"]),
                'o' => (&["lqs"], &[], &["lqs"]),
                'e' => (&["lqs"], &[], &[]),
                _ => continue,
            };
        let lora = LoraState {
            active: names(active),
            waiting: names(waiting),
            registered: names(registered),
            max: 4,
        };
        let age_ms = match letter {
            'x' => 5_000,
            letter if letter.is_ascii_uppercase() => 3_000,
            _ => 1_000,
        };
        endpoint.signals.lora = Some(Signal::new(lora, NOW.minus(age_ms)));
    }
    endpoints
}

#[test]
fn adapters_in_one_table() {
    let table: [(&str, &[u32]); 14] = [
        ("hoh", &[0, 2]),
        ("haow", &[0, 1, 3]),
        ("aow", &[0, 1, 2]),
        ("ooo", &[0, 1, 2]),
        ("hse", &[0, 1, 2]),
        ("oes", &[0, 1, 2]),
        ("aeh", &[0, 1, 2]),
        ("hO", &[0, 1]),
        ("Ho", &[0]),
        ("xo", &[0, 1]),
        ("xoh", &[0, 2]),
        ("eo", &[0, 1]),
        ("ss", &[0, 1]),
        ("h", &[0]),
    ];
    for (letters, expected) in table {
        let endpoints = adapters(letters);
        let facts = |model: Option<&str>| RequestFacts {
            model: model.map(str::to_owned),
            ..RequestFacts::default()
        };
        let got = selected(&endpoints, &[], &facts(Some("sql")));
        assert_eq!(got, expected, "{letters:?}");
        let all: Vec<u32> = (0..).take(letters.len()).collect();
        for base in [None, Some("base")] {
            assert_eq!(
                selected(&endpoints, &[], &facts(base)),
                all,
                "{letters:?}, {base:?}"
            );
        }
    }
}

#[test]
fn a_suspect_that_can_serve_comes_before_a_sound_one_that_cannot() {
    // Whose health, who can hold it: short or long.
    let table: [(&str, &str, &[u32]); 6] = [
        ("rrs", "SSL", &[2]),
        ("rrl", "SSL", &[2]),
        ("rrd", "SSL", &[0, 1]),
        ("srr", "LLS", &[1]),
        ("ssr", "LLL", &[0, 1, 2]),
        ("ddd", "SLS", &[1]),
    ];
    for (health, lengths, expected) in table {
        let (mut endpoints, local) = healths(health);
        for (endpoint, letter) in endpoints.iter_mut().zip(lengths.chars()) {
            endpoint.signals.max_model_len = Some(if letter == 'L' { 32_768 } else { 4_096 });
        }
        let facts = RequestFacts {
            prompt_bytes: 60_000,
            ..RequestFacts::default()
        };
        assert_eq!(
            selected(&endpoints, &local, &facts),
            expected,
            "{health} {lengths}"
        );
    }
}
