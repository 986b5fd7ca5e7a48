#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use picker::{LoraState, Signal};

use super::*;

/// One engine, scraped every 50 ms.
struct Scraped {
    limits: SequenceLimits,
    endpoint: Endpoint,
    prefill_tokens: u64,
    now: Millis,
}

impl Scraped {
    fn new() -> Self {
        let id = EndpointId {
            address: ([10, 0, 0, 1], 8000).into(),
            generation: 0,
        };
        Self {
            limits: SequenceLimits::default(),
            endpoint: Endpoint::new(id),
            prefill_tokens: 0,
            now: Millis(1_000),
        }
    }

    /// The limit after another scrape.
    fn says(&mut self, running: f32, waiting: f32) -> Option<u32> {
        self.now = self.now.plus(50);
        self.endpoint.signals.running = Some(Signal::new(running, self.now));
        self.endpoint.signals.waiting = Some(Signal::new(waiting, self.now));
        self.look()
    }

    fn look(&mut self) -> Option<u32> {
        let endpoints = std::slice::from_ref(&self.endpoint);
        self.limits.observe(endpoints, |_| self.prefill_tokens);
        self.limits.known().first().map(|(_, limit)| *limit)
    }

    fn full(&mut self) -> Option<u32> {
        for _ in 0..4 {
            self.says(8.0, 2.0);
        }
        self.look()
    }
}

#[test]
fn what_runs_while_others_keep_waiting_is_the_limit() {
    let mut engine = Scraped::new();
    for running in [6.0, 8.0, 8.0, 8.0] {
        assert_eq!(engine.says(running, 1.0), None);
    }
    assert_eq!(engine.look(), None, "the same scrape says nothing new");
    assert_eq!(engine.says(8.0, 3.0), Some(8));
    assert_eq!(engine.says(7.0, 0.0), Some(8));
}

#[test]
fn a_wait_for_the_next_step_is_no_limit() {
    let mut engine = Scraped::new();
    for running in [3.0, 4.0, 4.0, 5.0, 5.0, 6.0] {
        assert_eq!(engine.says(running, 1.0), None);
        assert_eq!(engine.says(running, 0.0), None);
    }
}

#[test]
fn what_something_else_explains_is_no_limit() {
    let mut engine = Scraped::new();
    engine.endpoint.signals.kv_usage = Some(Signal::new(0.95, engine.now));
    assert_eq!(engine.full(), None, "memory");
    engine.endpoint.signals.kv_usage = Some(Signal::new(f32::NAN, engine.now));
    assert_eq!(engine.full(), None, "no number");
    engine.endpoint.signals.kv_usage = Some(Signal::new(0.5, engine.now));
    engine.prefill_tokens = 5_000;
    assert_eq!(engine.full(), None, "prompts");
    engine.prefill_tokens = 0;
    let lora = LoraState {
        active: vec!["a".into()],
        max: 1,
        ..LoraState::default()
    };
    engine.endpoint.signals.lora = Some(Signal::new(lora, engine.now));
    assert_eq!(engine.full(), None, "adapters");
    engine.endpoint.signals.lora = None;
    assert_eq!(engine.full(), Some(8));
}

#[test]
fn an_engine_that_runs_more_has_another_limit() {
    let mut engine = Scraped::new();
    assert_eq!(engine.full(), Some(8));
    assert_eq!(engine.says(9.0, 0.0), None);
    assert_eq!(engine.full(), Some(8));
    assert_eq!(engine.says(9.0, 1.0), Some(9), "still too few");
    for _ in 0..19 {
        assert_eq!(engine.says(5.0, 1.0), Some(9));
    }
    assert_eq!(engine.says(5.0, 1.0), Some(5), "what was proven was wrong");
}

#[test]
fn a_limit_that_nothing_confirms_rises() {
    let mut engine = Scraped::new();
    engine.full();
    engine.now = engine.now.plus(PROBE_MS - 100);
    assert_eq!(engine.says(8.0, 1.0), Some(8), "confirmed");
    engine.now = engine.now.plus(PROBE_MS - 100);
    assert_eq!(engine.says(8.0, 0.0), Some(8));
    assert_eq!(engine.says(8.0, 0.0), Some(9));
    assert_eq!(engine.says(8.0, 0.0), Some(9), "one step at a time");
    assert_eq!(engine.says(8.0, 1.0), Some(8), "it is what it was");
    engine.now = engine.now.plus(PROBE_MS);
    assert_eq!(engine.says(8.0, 0.0), Some(8), "less often than before");
    for limit in [9, 11, 15, 23] {
        engine.now = engine.now.plus(2 * PROBE_MS);
        assert_eq!(engine.says(7.0, 0.0), Some(limit));
    }
}

#[test]
fn endpoints_that_are_gone_are_forgotten() {
    let mut engine = Scraped::new();
    for last in 2..200 {
        engine.endpoint.id.address = ([10, 0, 0, last], 8000).into();
        engine.says(1.0, 0.0);
        assert!(engine.limits.0.len() == 1);
    }
}

#[test]
fn who_leads_next_begins_with_what_was_known() {
    let mut engine = Scraped::new();
    engine.full();
    let mut next = Scraped::new();
    next.limits = SequenceLimits::resume(&engine.limits.known());
    next.now = next.now.plus(50);
    assert_eq!(next.limits.known(), engine.limits.known());
    assert_eq!(next.says(7.0, 0.0), Some(8));
}
