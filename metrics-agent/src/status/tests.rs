//! What is remembered, and what viewers are told.

use std::{collections::BTreeMap, sync::Arc};

use picker::{Health, InFlight, Millis, Signal, Signals};
use pool_state::convert::Sheds;

use super::*;
use crate::{
    clock::Clock,
    hub::Hub,
    index::{
        Attempt, EndpointView, Index, Membership, Observation, PoolMembers, PoolView, ShedsView,
        Tallies, TargetId,
    },
    telemetry::Telemetry,
};

const SECOND: u64 = 1_000;

fn endpoint(target: u64, at: Millis, waiting: f32, tallies: Tallies) -> EndpointView {
    EndpointView {
        target: TargetId(target),
        address: ([10, 0, 0, target as u8], 8000).into(),
        name: None,
        labels: Arc::new(BTreeMap::new()),
        weight: 1.0,
        price: 1.0,
        generation: 0,
        latest: Some(Observation {
            at,
            attempt: Attempt::Scraped,
            signals: Signals {
                waiting: Some(Signal::new(waiting, at)),
                kv_usage: Some(Signal::new(0.0, at)),
                ..Signals::default()
            },
            health: Health::Ready,
            reason: "scraped".into(),
            life: 1,
            tallies,
        }),
        attempts: 1,
        failures: 0,
        in_flight: InFlight::default(),
        held: false,
    }
}

fn pool(endpoints: Vec<EndpointView>) -> Vec<PoolView> {
    vec![PoolView {
        name: Arc::from("default"),
        version: None,
        endpoints,
        gateways: Vec::new(),
        sheds: ShedsView::default(),
    }]
}

fn tallies(finished: f64, prompt: f64, cached: f64) -> Tallies {
    Tallies {
        finished: Some(finished),
        prompt_tokens: Some(prompt),
        cached_tokens: Some(cached),
    }
}

#[test]
fn a_column_holds_the_most_that_was_seen_in_it() {
    let mut memory = Memory::default();
    // 100,000 ms begins a column.
    for (second, waiting) in [(0, 1.0), (1, 5.0), (2, 0.0), (5, 2.5)] {
        let now = Millis(100 * SECOND + second * SECOND);
        let endpoint = endpoint(1, now, waiting, Tallies::default());
        memory.observe(&pool(vec![endpoint]), now);
    }
    let load = memory.load(TargetId(1), BUCKETS);
    assert!(load.ends_with("ka"), "{load}");
    assert_eq!(memory.load(TargetId(1), 1), "a");
    assert!(load.len() <= BUCKETS);
}

#[test]
fn what_was_not_seen_is_unknown_and_old_columns_go() {
    let mut memory = Memory::default();
    let see = |memory: &mut Memory, second: u64| {
        let now = Millis(second * SECOND);
        let endpoint = endpoint(1, now, 5.0, Tallies::default());
        memory.observe(&pool(vec![endpoint]), now);
    };
    see(&mut memory, 5_000);
    see(&mut memory, 5_015);
    assert!(memory.load(TargetId(1), BUCKETS).ends_with("k--k"));
    see(&mut memory, 50_000);
    let load = memory.load(TargetId(1), BUCKETS);
    assert_eq!(load.len(), BUCKETS);
    assert_eq!(load.trim_start_matches('-'), "k");
    // Stale signals say nothing, and an extreme load stays one character.
    let now = Millis(50_010 * SECOND);
    let stale = endpoint(1, now.minus(3 * SECOND), 5.0, Tallies::default());
    memory.observe(&pool(vec![stale]), now);
    assert_eq!(memory.load(TargetId(1), 1), "-");
    let flood = endpoint(1, now, 1e30, Tallies::default());
    memory.observe(&pool(vec![flood]), now);
    assert_eq!(memory.load(TargetId(1), 1), "z");
    memory.observe(&pool(Vec::new()), now);
    assert_eq!(memory.load(TargetId(1), BUCKETS), "");
}

#[test]
fn a_minute_is_counted_from_counters_and_starts_anew_with_the_engine() {
    let mut memory = Memory::default();
    for second in 0..200 {
        let now = Millis((1_000 + second) * SECOND);
        let counted = tallies(
            second as f64 * 2.0,
            second as f64 * 100.0,
            second as f64 * 25.0,
        );
        memory.observe(&pool(vec![endpoint(1, now, 0.0, counted)]), now);
    }
    let minute = memory.minute(TargetId(1));
    let rate = minute.finished.unwrap() / minute.seconds;
    assert!((rate - 2.0).abs() < 1e-6, "{minute:?}");
    assert!((50.0..=65.0).contains(&minute.seconds), "{minute:?}");
    assert_eq!(minute.prefix_hits, Some(0.25));

    let now = Millis(1_200 * SECOND);
    let mut restarted = endpoint(1, now, 0.0, tallies(3.0, 50.0, 0.0));
    restarted.latest.as_mut().unwrap().life = 2;
    memory.observe(&pool(vec![restarted]), now);
    assert_eq!(memory.minute(TargetId(1)), Minute::default());
}

#[test]
fn refusals_are_counted_over_a_minute_and_from_zero_when_a_pool_came_back() {
    let mut memory = Memory::default();
    let mut see = |second: u64, total: u64| {
        let now = Millis((1_000 + second) * SECOND);
        let mut pools = pool(Vec::new());
        pools[0].sheds.total = total;
        memory.observe(&pools, now);
        memory.sheds(&pools[0])
    };
    assert_eq!(see(0, 0), 0);
    assert_eq!(see(1, 3), 3, "at once");
    for second in 2..200 {
        see(second, 3 + second);
    }
    let minute = see(200, 203);
    assert!((50..=60).contains(&minute), "{minute} at one a second");
    for second in 201..262 {
        see(second, 203);
    }
    assert_eq!(see(262, 203), 0, "a minute later they are forgotten");
    assert_eq!(see(263, u64::MAX), u64::MAX - 203, "lies do not overflow");
    assert_eq!(see(264, 1), 0, "another pool of the same name");
    assert_eq!(see(265, 4), 3);
    assert_eq!(Memory::default().sheds(&pool(Vec::new())[0]), 0);
}

#[test]
fn what_connected_gateways_refused_is_added_up_and_unknown_while_none_reports() {
    let index = Index::new(1, 1, 0);
    let hub = Hub::new(Clock::start(), index, Arc::new(Telemetry::new()));
    let members = PoolMembers {
        name: Arc::from("default"),
        members: Vec::new(),
        unresolved: 0,
    };
    hub.set_membership(&Membership {
        pools: vec![members],
    });
    let mut memory = Memory::default();
    let now = hub.clock.now();
    memory.observe(&hub.index().view(now), now);
    let shown = || report(&hub, &memory, Vec::new(), 1).pools[0].sheds;
    let tell = |stream, pool: &str, total| {
        let report = Sheds {
            pool: pool.to_owned(),
            total,
        };
        hub.sheds("gateway", stream, &report);
    };
    hub.gateway_came(&Arc::from("gateway"), 1, vec![Arc::from("default")]);
    assert_eq!(shown(), None, "a gateway of before does not report");
    tell(1, "default", 500);
    assert_eq!(shown(), Some(0), "where counting starts");
    tell(1, "default", 503);
    tell(2, "default", 7);
    tell(2, "default", 9);
    tell(2, "elsewhere", 1_000);
    assert_eq!(shown(), Some(5), "of both");
    hub.gateway_gone("gateway", 1);
    tell(3, "default", 2);
    tell(3, "default", 4);
    assert_eq!(shown(), Some(7), "an Envoy that was started anew");
    hub.gateway_gone("gateway", 2);
    hub.gateway_gone("gateway", 3);
    assert_eq!(shown(), None, "nobody is connected");
}

#[test]
fn what_an_engine_does_not_count_is_unknown() {
    let mut memory = Memory::default();
    for second in 0..30 {
        let now = Millis((1_000 + second) * SECOND);
        memory.observe(&pool(vec![endpoint(1, now, 0.0, Tallies::default())]), now);
    }
    let minute = memory.minute(TargetId(1));
    assert_eq!((minute.finished, minute.prefix_hits), (None, None));
}
