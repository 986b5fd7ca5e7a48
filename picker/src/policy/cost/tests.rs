//! The formula against vectors that were worked out by hand, the state and the adapters in tables, and
//! what the whole decides.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use crate::{
    endpoint::{Endpoint, EndpointId},
    freshness::Ladder,
    policy::{
        PolicyName,
        fixture::{NOW, Pool},
    },
    signal::{LoraState, Signal},
    step_model::StepModel,
    time::Millis,
    view::{InFlight, LocalState},
};

fn assert_near(value: f32, expected: f32, what: &str) {
    let error = (value - expected).abs();
    assert!(
        error <= 1e-5 * expected.abs().max(1e-3),
        "{what}: {value} instead of {expected}"
    );
}

fn relaxed() -> (Demand, State) {
    let demand = Demand {
        prompt: 200.0,
        output: 225.0,
        mean_output: 225.0,
        least_uncached: 100.0,
    };
    let state = State {
        decoding: 30.0,
        waiting: 2.0,
        prefill_tokens: 400.0,
        kv_tokens: 12_000.0,
        attended_tokens: 12_000.0,
        kv_capacity: 112_000.0,
        slots: 256.0,
        step: StepModel::default(),
    };
    (demand, state)
}

#[test]
fn the_formula_without_pressure() {
    let (demand, state) = relaxed();
    let predicted = predict(&CostConfig::default(), &demand, &state, 1.0, 150.0);
    // step = 5500 + 20 * 30 + 0.15 * 12000 = 7900 us; T = 550; room = 2048 - 30
    // ttft = (550 / 2018 + 0.5) * 7.9 ms + 20 us * 550
    assert_near(predicted.ttft, 0.017_103_1, "ttft");
    // 225 * (5500 + 20 * 33 + 0.15 * (12000 + 400 + 200 + 112.5)) us
    assert_near(predicted.decode, 1.815_046_9, "decode");
    // + 20 us * 32 * (0.15 * 150 + 50) = 46.4 ms
    assert_near(predicted.cost, 2.032_478, "cost");
}

#[test]
fn the_formula_under_pressure_and_at_twice_the_speed() {
    let config = CostConfig::default();
    let demand = Demand {
        prompt: 700.0,
        output: 80.0,
        mean_output: 100.0,
        least_uncached: 200.0,
    };
    let state = State {
        decoding: 50.0,
        waiting: 10.0,
        prefill_tokens: 1_000.0,
        kv_tokens: 106_000.0,
        attended_tokens: 110_000.0,
        slots: 50.0,
        ..relaxed().1
    };
    // step = 23 ms; W = 100 * 23 ms * (1100 / 112000 + 11 / 50) = 0.528589 s
    // ttft = (1500 / 1998 + 0.5) * 23 ms + 30 ms + W
    // decode = 80 * 23481 us; delay = 20 us * 60 * 375; pressure = 20 s, the cap
    let one = predict(&config, &demand, &state, 1.0, 500.0);
    assert_near(one.ttft, 0.587_356_6, "ttft");
    assert_near(one.decode, 1.878_48, "decode");
    assert_near(one.cost, 28.202_045, "cost");
    let two = predict(&config, &demand, &state, 2.0, 500.0);
    assert_near(two.ttft, 0.293_678_3, "ttft at speed 2");
    assert_near(two.cost, 4.101_023 + 20.0, "cost at speed 2");
}

#[test]
fn more_of_anything_costs_more() {
    let (demand, state) = relaxed();
    let config = CostConfig::default();
    let cost = |state: State, uncached| predict(&config, &demand, &state, 1.0, uncached).cost;
    let least = cost(state, 150.0);
    let more = |change: fn(&mut State)| {
        let mut state = state;
        change(&mut state);
        cost(state, 150.0)
    };
    let changed = [
        more(|state| state.decoding += 1.0),
        more(|state| {
            state.waiting += 1.0;
            state.prefill_tokens += 100.0;
        }),
        more(|state| state.prefill_tokens += 1.0),
        more(|state| state.kv_tokens = 107_000.0),
        more(|state| state.attended_tokens += 100.0),
        more(|state| state.kv_capacity = 12_000.0),
        cost(state, 151.0),
    ];
    for (at, cost) in changed.into_iter().enumerate() {
        assert!(cost > least, "change {at}: {cost} against {least}");
    }
}

fn endpoint(waiting: f32, running: f32, kv_usage: f32) -> Endpoint {
    let mut endpoint = Endpoint::new(EndpointId {
        address: ([10, 0, 0, 1], 1).into(),
        generation: 0,
    });
    let gauge = |value| Some(Signal::new(value, NOW));
    endpoint.signals.waiting = gauge(waiting);
    endpoint.signals.running = gauge(running);
    endpoint.signals.kv_usage = gauge(kv_usage);
    endpoint
}

fn local(requests: u32, prefilling: u32) -> LocalState {
    LocalState {
        in_flight: InFlight {
            requests,
            tokens: u64::from(requests) * 100,
            prefilling,
            prefill_tokens: u64::from(prefilling) * 100,
        },
        ..LocalState::default()
    }
}

/// The state `age_ms` after a scrape that was first seen with `then` in flight.
fn state(endpoint: &Endpoint, then: LocalState, now: LocalState, age_ms: u64) -> State {
    let config = CostConfig::default();
    let ladder = Ladder::default();
    let mut track = Track::default();
    let mut moment = Moment {
        config: &config,
        ladder: &ladder,
        now: NOW,
    };
    Sighting::take(&moment, endpoint, then, &mut track);
    moment.now = NOW.plus(age_ms);
    let sighting = Sighting::take(&moment, endpoint, now, &mut track);
    let mut means = Means::default();
    means.add(&sighting);
    sighting.state(means.silent(1.3), 200.0, 50.0)
}

#[test]
fn what_came_and_ended_since_the_scrape_counts() {
    // Waiting, running, in flight then and now, and expected: waiting, decoding, prefill tokens.
    let table = [
        // What runs is ours: the ledger says it all.
        ((0.0, 10.0), (10, 0), (10, 0), (0.0, 10.0, 0.0)),
        ((0.0, 10.0), (10, 0), (14, 4), (4.0, 10.0, 400.0)),
        ((0.0, 10.0), (10, 0), (3, 0), (0.0, 3.0, 0.0)),
        // Seven more run there than we know of, and go on doing so.
        ((0.0, 10.0), (3, 0), (3, 0), (0.0, 10.0, 0.0)),
        ((0.0, 10.0), (3, 0), (5, 2), (2.0, 10.0, 200.0)),
        // Four wait of whom we do not know; a mean prompt of 50 uncached tokens each.
        ((4.0, 10.0), (0, 0), (0, 0), (4.0, 10.0, 200.0)),
        ((4.0, 10.0), (14, 0), (14, 0), (4.0, 10.0, 200.0)),
        ((4.0, 10.0), (14, 4), (14, 4), (4.0, 10.0, 400.0)),
        // It denies what we sent.
        ((0.0, 0.0), (10, 2), (10, 2), (2.0, 8.0, 200.0)),
        // It claims to run more than can be, and what comes counts all the same.
        ((0.0, 1e9), (0, 0), (1, 1), (1.0, 1e6, 100.0)),
    ];
    for (number, (scraped, then, now, expected)) in table.into_iter().enumerate() {
        let endpoint = endpoint(scraped.0, scraped.1, 0.0);
        let state = state(&endpoint, local(then.0, then.1), local(now.0, now.1), 900);
        let found = (state.waiting, state.decoding, state.prefill_tokens);
        assert_eq!(found, expected, "row {number}");
    }
}

#[test]
fn kv_tokens_are_the_scrape_and_what_changed_since() {
    let endpoint = endpoint(0.0, 10.0, 0.5);
    // 56,000 scraped; three more requests of 100 tokens and half of 200 more.
    let state = state(&endpoint, local(10, 0), local(13, 0), 0);
    assert_eq!(state.kv_tokens, 56_600.0);
    assert_eq!(state.attended_tokens, 56_600.0);
    let mut empty = endpoint.clone();
    empty.signals.kv_usage = Some(Signal::new(0.0, NOW));
    let state = self::state(&empty, local(10, 0), local(10, 0), 0);
    assert_eq!(state.kv_tokens, 0.0);
    assert_eq!(
        state.attended_tokens, 2_000.0,
        "what was sent cannot be denied"
    );
}

#[test]
fn accounts_fade_towards_the_ledger() {
    let endpoint = endpoint(8.0, 20.0, 0.5);
    let mut previous = f32::INFINITY;
    for age_ms in (0..=6_000).step_by(100) {
        let state = state(&endpoint, local(10, 0), local(10, 0), age_ms);
        let there = state.waiting + state.decoding;
        assert!(there <= previous, "{age_ms} ms: {there} after {previous}");
        assert!(
            previous - there <= 1.0 || previous.is_infinite(),
            "a jump at {age_ms} ms"
        );
        previous = there;
        if age_ms <= 1_000 {
            assert_eq!(there, 28.0, "{age_ms} ms");
        }
        if age_ms >= 5_000 {
            assert_eq!(there, 10.0, "{age_ms} ms");
            assert_eq!(state.kv_tokens, 2_000.0, "{age_ms} ms");
        }
    }
}

#[test]
fn others_count_like_our_own_and_a_learned_step_fades_slowly() {
    let mut endpoint = endpoint(0.0, 0.0, 0.0);
    endpoint.signals.others_in_flight = Some(Signal::new(local(6, 2).in_flight, NOW));
    let learned = StepModel {
        base_us: 11_000.0,
        token_us: 1e9,
        kv_token_us: f32::NAN,
    };
    endpoint.signals.step_model = Some(Signal::new(learned, NOW));
    let base = |age_ms| {
        state(&endpoint, local(1, 0), local(1, 0), age_ms)
            .step
            .base_us
    };
    // It fades towards the pool's mean, which is its own here, until nothing is left to have a mean of.
    for age_ms in [0, 30_000, 45_000, 59_000] {
        assert_near(base(age_ms), 11_000.0, "alone in the pool");
    }
    assert_eq!(base(60_000), 5_500.0);
    let now = state(&endpoint, local(1, 0), local(1, 0), 0);
    assert_eq!(
        (now.waiting, now.decoding, now.prefill_tokens),
        (2.0, 5.0, 200.0)
    );
    assert_eq!(
        now.step.token_us, 160.0,
        "no more than eight times the configured"
    );
    assert_eq!(now.step.kv_token_us, 0.15);
}

#[test]
fn engines_that_hardly_differ_count_as_equal_and_others_as_they_are() {
    let seen = |factor: f32| {
        let mut endpoint = endpoint(0.0, 0.0, 0.0);
        let step = StepModel {
            base_us: 5_500.0 * factor,
            token_us: 20.0 * factor,
            kv_token_us: 0.15 * factor,
        };
        endpoint.signals.step_model = (factor > 0.0).then(|| Signal::new(step, NOW));
        endpoint
    };
    // Four that are alike, one twice as slow, one of which nothing was learned.
    let factors = [1.0, 1.0, 1.05, 1.2, 2.0, 0.0];
    let config = CostConfig::default();
    let ladder = Ladder::default();
    let moment = Moment {
        config: &config,
        ladder: &ladder,
        now: NOW,
    };
    let sightings = factors.map(|factor| {
        let mut track = Track::default();
        Sighting::take(&moment, &seen(factor), LocalState::default(), &mut track)
    });
    let mut means = Means::default();
    for sighting in &sightings {
        means.add(sighting);
    }
    let bases = sightings.map(|sighting| {
        let state = sighting.state(means.silent(1.3), 200.0, 50.0);
        state.step.base_us / 5_500.0
    });
    let mean = (1.0 + 1.0 + 1.05 + 1.2 + 2.0) / 5.0;
    for (at, expected) in [mean, mean, mean, mean, 2.0, mean].into_iter().enumerate() {
        assert_near(
            bases[at],
            expected,
            "endpoint by the pool's mean or its own",
        );
    }
    assert_near(sightings[4].speed(3.0), 1.0, "the agent's knowledge leads");
    assert_near(
        sightings[5].speed(3.0),
        3.0,
        "the gateway's own where it has none",
    );
}

fn lora(active: &[&str], max: u32) -> Signal<LoraState> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    let state = LoraState {
        active: names(active),
        registered: names(&["sql", "x", "y", "z"]),
        max,
        ..LoraState::default()
    };
    Signal::new(state, NOW)
}

#[test]
fn adapters_in_one_table() {
    use Standing::{Full, Loaded, Room};
    let ladder = Ladder::default();
    // What was sent, and when before the scrape; the scrape, and its age.
    let before = |ms| NOW.minus(ms);
    type Row<'a> = (
        &'a [(&'a str, Millis)],
        Option<Signal<LoraState>>,
        u64,
        Standing,
    );
    let table: [Row<'_>; 14] = [
        (&[], Some(lora(&["sql"], 1)), 0, Loaded),
        (&[], Some(lora(&["x"], 2)), 0, Room),
        (&[], Some(lora(&["x", "y"], 2)), 0, Full(1.0)),
        (&[], Some(lora(&["x", "y"], 0)), 0, Room),
        (&[], Some(lora(&["x", "y"], 2)), 3_000, Full(0.5)),
        (&[], Some(lora(&["x", "y"], 2)), 5_000, Room),
        (&[], None, 0, Room),
        // Sent since the scrape: there, whatever the scrape says.
        (&[("sql", NOW)], Some(lora(&["x", "y"], 2)), 0, Loaded),
        // And what else was sent has taken the room.
        (&[("y", NOW)], Some(lora(&["x"], 2)), 0, Full(1.0)),
        (&[("x", NOW)], Some(lora(&["x"], 2)), 0, Room),
        // Sent long before: in memory unless others have taken its place.
        (&[("sql", before(9_000))], Some(lora(&["x"], 2)), 0, Loaded),
        (
            &[
                ("sql", before(9_000)),
                ("x", before(8_000)),
                ("y", before(7_000)),
            ],
            Some(lora(&[], 2)),
            0,
            Room,
        ),
        (
            &[("sql", before(9_000))],
            Some(lora(&["x", "y"], 2)),
            0,
            Full(1.0),
        ),
        (&[("sql", before(9_000))], None, 0, Loaded),
    ];
    for (number, (sent, lora, age_ms, expected)) in table.into_iter().enumerate() {
        let mut recent = Recent::default();
        for (name, at) in sent {
            recent.note(Adapter::new(name).fingerprint, *at);
        }
        let mut adapter = Adapter::new("sql");
        let known = adapter.is_known_with(lora.as_ref());
        assert_eq!(known, lora.is_some(), "row {number}");
        let found = adapter.standing(lora.as_ref(), &recent, &ladder, NOW.plus(age_ms));
        assert_eq!(found, expected, "row {number}");
    }
}

/// The first endpoints, which do not know the adapter, have no advantage by that.
#[test]
fn an_adapter_that_only_the_last_knows_counts_for_all() {
    let mut pool = Pool::scraped(&[(0.0, 0.1, &["x"]), (0.0, 0.1, &["y"]), (0.0, 0.1, &["sql"])]);
    pool.facts.model = Some("sql".to_owned());
    assert_eq!(pool.firsts(PolicyName::Cost, 100), [0, 0, 100]);
    pool.facts.model = Some("base".to_owned());
    assert!(
        pool.firsts(PolicyName::Cost, 100)
            .iter()
            .all(|count| *count > 10)
    );
}

#[test]
fn only_the_last_adapters_are_remembered() {
    let mut recent = Recent::default();
    for number in 0..100u64 {
        recent.note(number, Millis(number));
        assert!(recent.iter().count() <= 8);
        assert_eq!(recent.last(number), Some((Millis(number), 0)));
        assert_eq!(recent.last(number.wrapping_sub(8)), None);
    }
    assert_eq!(recent.last(93), Some((Millis(93), 6)));
}

#[test]
fn the_reason_is_the_plainest_one() {
    let mut pool = Pool::scraped(&[(0.0, 0.1, &["sql"]), (9.0, 0.9, &[])]);
    assert_eq!(pool.reason(PolicyName::Cost), Reason::LeastCost);
    pool.facts.model = Some("sql".to_owned());
    assert_eq!(pool.reason(PolicyName::Cost), Reason::LoraAffinity);
    pool.prompt_blocks(8);
    pool.holds(0, 8);
    assert_eq!(pool.reason(PolicyName::Cost), Reason::PrefixHit);
    for (age_ms, reason) in [
        (3_000, Reason::AgeingSignals),
        (5_000, Reason::LeastInFlight),
    ] {
        for endpoint in &mut pool.endpoints {
            let taken_at = NOW.minus(age_ms);
            endpoint.signals.waiting = Some(Signal::new(0.0, taken_at));
            endpoint.signals.kv_usage = Some(Signal::new(0.0, taken_at));
        }
        assert_eq!(pool.reason(PolicyName::Cost), reason, "{age_ms} ms");
    }
}

#[test]
fn the_estimate_is_honest_about_what_is_cached() {
    let mut pool = Pool::of(3);
    pool.prompt_blocks(16);
    // 16 blocks of 256 bytes, 1,024 tokens at four bytes each; the favourite's discount is none of it.
    let expected = pool.estimate(PolicyName::Cost);
    assert_eq!(
        (expected.prompt_tokens, expected.uncached_tokens),
        (1_024, 1_024)
    );
    pool.holds(1, 12);
    let expected = pool.estimate(PolicyName::Cost);
    assert_eq!(
        (expected.prompt_tokens, expected.uncached_tokens),
        (1_024, 256)
    );
    assert!(expected.ttft_ms > 0.0 && expected.total_ms > expected.ttft_ms);
    pool.holds(1, 16);
    assert_eq!(pool.estimate(PolicyName::Cost).uncached_tokens, 16);
    pool.facts = Default::default();
    pool.matched.clear();
    let expected = pool.estimate(PolicyName::Cost);
    assert_eq!(
        (expected.prompt_tokens, expected.uncached_tokens),
        (250, 250)
    );
}

#[test]
fn a_cold_prompt_and_a_session_have_a_favourite_each() {
    let mut pool = Pool::of(5);
    pool.prompt_blocks(8);
    let by_prompt = pool.firsts(PolicyName::Cost, 20);
    assert!(by_prompt.contains(&20), "{by_prompt:?}");
    // Where no prompt ever comes back, nothing is won by bringing them together.
    let never_back = pool.firsts(PolicyName::Cost, 2_000);
    assert!(
        never_back.iter().all(|count| *count > 100),
        "{never_back:?}"
    );
    pool.facts = Default::default();
    let by_nothing = pool.firsts(PolicyName::Cost, 1_000);
    assert!(
        by_nothing.iter().all(|count| *count > 100),
        "{by_nothing:?}"
    );
    let mut favourites = [0; 5];
    for session in 0..50 {
        pool.facts.session = Some(session);
        let firsts = pool.firsts(PolicyName::Cost, 20);
        let place = firsts.iter().position(|count| *count == 20);
        favourites[place.expect("always the same")] += 1;
    }
    assert!(favourites.iter().all(|count| *count > 2), "{favourites:?}");
    // Soft: a few requests more, and it goes elsewhere.
    let place = pool
        .firsts(PolicyName::Cost, 1)
        .iter()
        .position(|count| *count == 1);
    pool.local[place.unwrap()] = local(20, 10);
    assert_eq!(pool.firsts(PolicyName::Cost, 10)[place.unwrap()], 0);
}

#[test]
fn near_ties_are_drawn_and_lists_ordered_by_cost() {
    let mut pool = Pool::of(4);
    for (at, requests) in [60, 0, 0, 30].into_iter().enumerate() {
        pool.local[at] = local(requests, 0);
    }
    let firsts = pool.firsts(PolicyName::Cost, 2_000);
    assert!(firsts[1].abs_diff(1_000) < 150 && firsts[2].abs_diff(1_000) < 150);
    for list in pool.lists(PolicyName::Cost, 100) {
        assert_eq!(list[2], 3, "{list:?}");
    }
}

#[test]
fn price_counts_only_with_a_weight_and_the_operators_weight_always() {
    let mut pool = Pool::of(2);
    pool.endpoints[0].price = 2.0;
    let count = |pool: &Pool, price_weight: f32| {
        let config = PickerConfig {
            cost: CostConfig {
                price_weight,
                ..CostConfig::default()
            },
            ..PickerConfig::default()
        };
        let decisions = pool.decide_with(&mut Cost::new(&config), 1_000);
        let firsts = decisions
            .iter()
            .filter(|decision| decision.first() == Some(0));
        firsts.count()
    };
    assert!(count(&pool, 0.0).abs_diff(500) < 80);
    assert_eq!(count(&pool, 1.0), 0);
    pool.endpoints[0].price = f32::NAN;
    assert!(
        count(&pool, 1.0).abs_diff(500) < 80,
        "no price is the usual one"
    );
    pool.endpoints[0].weight = 2.0;
    assert_eq!(count(&pool, 0.0), 1_000);
}

#[test]
fn working_space_does_not_grow_after_the_first_pick() {
    let row: (f32, f32, &[&str]) = (1.0, 0.3, &["sql"]);
    let mut pool = Pool::scraped(&[row; 50]);
    pool.prompt_blocks(8);
    pool.holds(7, 3);
    pool.facts.model = Some("sql".to_owned());
    let mut cost = Cost::new(&PickerConfig::default());
    let space = |cost: &Cost| {
        [
            cost.memories.capacity(),
            cost.looks.capacity(),
            cost.gains.capacity(),
            cost.near.capacity(),
        ]
    };
    pool.decide_with(&mut cost, 1);
    let before = space(&cost);
    pool.decide_with(&mut cost, 1_000);
    assert_eq!(space(&cost), before);
}

#[test]
fn a_chat_that_went_through_another_gateway_is_sought_where_all_would_send_it() {
    let turn = |hash: u64, end_bytes: u32| crate::request::Turn { hash, end_bytes };
    let chat = |name: u64, turns: u64| {
        let ends = (0..turns).map(|at| turn(name * 100 + at, 600 * (at as u32 + 1)));
        ends.collect::<Vec<_>>()
    };
    let mut pool = Pool::of(5);
    pool.prompt_blocks(16);
    // Everybody holds the first block, the system prompt.
    for at in 0..5 {
        pool.holds(at, 1);
    }
    let mut favourites = [0; 5];
    for name in 1..=40 {
        pool.facts.turns = chat(name, 6);
        let spread = pool.firsts(PolicyName::Cost, 20);
        assert!(
            !spread.contains(&20),
            "one gateway knows where its chats are"
        );
        for endpoint in &mut pool.endpoints {
            let theirs = Signal::new(InFlight::default(), NOW);
            endpoint.signals.others_in_flight = Some(theirs);
        }
        let gathered = pool.firsts(PolicyName::Cost, 20);
        let place = gathered.iter().position(|count| *count == 20);
        favourites[place.expect("all go to one")] += 1;
        // A later turn has the same favourite, a first question none.
        pool.facts.turns = chat(name, 8);
        assert_eq!(pool.firsts(PolicyName::Cost, 20), gathered);
        pool.facts.turns = chat(name, 2);
        assert!(!pool.firsts(PolicyName::Cost, 20).contains(&20));
        for endpoint in &mut pool.endpoints {
            endpoint.signals.others_in_flight = None;
        }
    }
    assert!(favourites.iter().all(|count| *count > 1), "{favourites:?}");
}
