//! Sessions: a soft preference where the prompt says nothing.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

mod pool;

use picker::{Picker, PickerConfig, RequestFacts, SplitMix64};
use pool::{Pool, with_prefix};

const ENDPOINTS: usize = 6;

fn of_session(session: u64) -> RequestFacts {
    RequestFacts {
        session: Some(session.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        ..RequestFacts::default()
    }
}

/// Where requests of a session go, asked of several workers; they must agree.
fn home(pool: &Pool, facts: &RequestFacts) -> usize {
    let picks = (0..8).map(|worker| {
        let mut picker = Picker::new(PickerConfig::default());
        let decision = pool.decide(&mut picker, facts, &mut SplitMix64::new(worker));
        decision.first().unwrap()
    });
    let picks: Vec<usize> = picks.collect();
    assert!(picks.iter().all(|at| *at == picks[0]), "{picks:?}");
    picks[0]
}

fn busy(at: usize, requests: u32) -> Pool {
    let mut pool = Pool::idle(ENDPOINTS);
    pool.begin(at, requests);
    pool
}

#[test]
fn every_worker_sends_a_session_to_the_same_endpoint() {
    for pool in [Pool::idle(ENDPOINTS), Pool::silent(ENDPOINTS)] {
        let mut homes = [0; ENDPOINTS];
        for session in 1..=300 {
            homes[home(&pool, &of_session(session))] += 1;
        }
        assert!(
            homes.iter().all(|count| (25..=80).contains(count)),
            "{homes:?}"
        );
    }
}

#[test]
fn a_session_stays_under_little_load_and_leaves_under_much() {
    for session in 1..=20 {
        let facts = of_session(session);
        let first = home(&Pool::idle(ENDPOINTS), &facts);
        assert_eq!(home(&busy(first, 2), &facts), first, "session {session}");
        let pool = busy(first, 64);
        let mut picker = Picker::new(PickerConfig::default());
        let decision = pool.decide(&mut picker, &facts, &mut SplitMix64::new(1));
        assert_ne!(decision.first(), Some(first), "session {session}");
    }
}

#[test]
fn a_prompt_says_more_than_a_session() {
    let pool = Pool::idle(ENDPOINTS);
    let mut picker = Picker::new(PickerConfig::default());
    let mut entropy = SplitMix64::new(3);
    let blocks: Vec<u64> = (1..=32).collect();
    let mut facts = with_prefix(&blocks);
    facts.prompt_bytes = 32 * 256;
    let first = pool.decide(&mut picker, &facts, &mut entropy).first();
    picker.dispatched(&facts, pool.endpoints[first.unwrap()].id);
    for session in 1..=20 {
        facts.session = of_session(session).session;
        let decision = pool.decide(&mut picker, &facts, &mut entropy);
        assert_eq!(decision.first(), first, "session {session}");
    }
}
