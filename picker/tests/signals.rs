//! What decides: each signal on its own, their order, and what takes over as they age.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

mod pool;

use picker::{
    Decision, Health, InFlight, Picker, PickerConfig, Reason, RequestFacts, Signal, SplitMix64,
    policy::PolicyName,
};
use pool::{Pool, for_model, picker_of, with_prefix};

fn decide(pool: &Pool, facts: &RequestFacts) -> Decision {
    let mut picker = picker_of(PolicyName::Scored);
    pool.decide(&mut picker, facts, &mut SplitMix64::new(1))
}

fn order(pool: &Pool) -> Vec<usize> {
    decide(pool, &RequestFacts::default()).choices().collect()
}

#[test]
fn each_signal_decides_on_its_own() {
    let mut queue = Pool::idle(4);
    let mut running = Pool::idle(4);
    let mut kv_cache = Pool::idle(4);
    let mut in_flight = Pool::idle(4);
    let mut others = Pool::idle(4);
    for (at, rank) in [2u8, 0, 3, 1].into_iter().enumerate() {
        let rank = f32::from(rank);
        queue.scrape(at, rank, 0.0, 0.0);
        running.scrape(at, 0.0, 3.0 * rank, 0.0);
        kv_cache.scrape(at, 0.0, 0.0, 0.2 * rank);
        in_flight.begin(at, rank as u32);
        let load = InFlight {
            requests: rank as u32,
            ..InFlight::default()
        };
        others.endpoints[at].signals.others_in_flight = Some(Signal::new(load, others.now));
    }
    for (name, pool) in [
        ("queue", queue),
        ("running", running),
        ("KV cache", kv_cache),
        ("in flight", in_flight),
        ("in flight of others", others),
    ] {
        assert_eq!(order(&pool), [1, 3, 0], "{name}");
        let reason = decide(&pool, &RequestFacts::default()).reason();
        assert_eq!(reason, Reason::BestScore, "{name}");
    }
}

#[test]
fn the_adapter_is_followed_while_the_load_allows() {
    let mut pool = Pool::idle(3);
    pool.set_lora(0, &["x", "y"], &["sql", "x", "y"], 2);
    pool.set_lora(1, &["sql"], &["sql", "x", "y"], 2);
    pool.set_lora(2, &["x"], &["sql", "x", "y"], 2);
    let decision = decide(&pool, &for_model("sql"));
    assert_eq!(decision.choices().collect::<Vec<_>>(), [1, 2, 0]);
    assert_eq!(decision.reason(), Reason::LoraAffinity);
    let base = decide(&pool, &for_model("base"));
    assert_eq!(base.reason(), Reason::BestScore, "no adapter of anybody");
}

#[test]
fn the_cached_prefix_is_followed() {
    let mut pool = Pool::idle(4);
    let mut picker = picker_of(PolicyName::Scored);
    let mut entropy = SplitMix64::new(1);
    let facts = with_prefix(&[1, 2, 3, 4]);
    pool.decide(&mut picker, &facts, &mut entropy);
    picker.dispatched(&facts, pool.endpoints[2].id);
    picker.dispatched(&with_prefix(&[1, 2]), pool.endpoints[3].id);
    let decision = pool.decide(&mut picker, &facts, &mut entropy);
    assert_eq!(decision.choices().take(2).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(decision.reason(), Reason::PrefixHit);

    pool.endpoints[2].id.generation = 77;
    pool.endpoints.sort_by_key(|endpoint| endpoint.id);
    picker.retain(&pool.endpoints);
    let decision = pool.decide(&mut picker, &facts, &mut entropy);
    assert_eq!(
        decision.first(),
        Some(3),
        "a new life of the address holds nothing"
    );
    picker.retain(&pool.endpoints[..3]);
    let decision = pool.decide(&mut picker, &facts, &mut entropy);
    assert_eq!(
        decision.reason(),
        Reason::BestScore,
        "those that left are forgotten"
    );
}

#[test]
fn a_cache_size_that_is_learned_late_bounds_what_is_remembered() {
    let mut pool = Pool::idle(1);
    let mut picker = picker_of(PolicyName::Scored);
    let mut entropy = SplitMix64::new(1);
    let facts = with_prefix(&[1, 2, 3, 4]);
    pool.dispatch(&mut picker, &facts, &mut entropy);
    let reason = |pool: &Pool, picker: &mut Picker, facts: &RequestFacts| {
        pool.decide(picker, facts, &mut SplitMix64::new(1)).reason()
    };
    assert_eq!(reason(&pool, &mut picker, &facts), Reason::PrefixHit);
    // 64 blocks of 64 tokens are 16 KiB of prompt, 64 blocks of ours.
    pool.endpoints[0].signals.kv_blocks = Some(64);
    pool.endpoints[0].signals.kv_block_size = Some(64);
    for other in (1_000..4_000).map(|block| with_prefix(&[block])) {
        pool.decide(&mut picker, &other, &mut entropy);
        picker.dispatched(&other, pool.endpoints[0].id);
    }
    assert_eq!(
        reason(&pool, &mut picker, &facts),
        Reason::BestScore,
        "pushed out"
    );
    assert_eq!(
        reason(&pool, &mut picker, &with_prefix(&[3_999])),
        Reason::PrefixHit
    );
}

#[test]
fn a_shared_prefix_does_not_hold_all_traffic() {
    for seed in 0..5 {
        let counts = Pool::idle(8).spread(1_000, &with_prefix(&[1, 2, 3]), seed);
        let most = counts.iter().max().unwrap();
        assert!(
            *most <= 1_000 / 8 * 2,
            "one endpoint took too much: {counts:?}"
        );
    }
}

#[test]
fn the_operators_weight_divides_the_load() {
    let mut pool = Pool::idle(3);
    pool.policy = PolicyName::Scored;
    pool.endpoints[1].weight = 2.0;
    let counts = pool.spread(400, &RequestFacts::default(), 3);
    assert!(counts[0].abs_diff(100) <= 5, "{counts:?}");
    assert!(counts[1].abs_diff(200) <= 5, "{counts:?}");
}

/// Three endpoints: the signals prefer the first, the ledger prefers the second.
fn disputed() -> Pool {
    let mut pool = Pool::silent(3);
    pool.scrape(0, 0.0, 4.0, 0.1);
    pool.scrape(1, 4.0, 8.0, 0.6);
    pool.scrape(2, 4.0, 8.0, 0.7);
    pool.begin(0, 3);
    pool.begin(1, 1);
    pool.begin(2, 2);
    pool
}

#[test]
fn the_ladder_leads_from_signals_to_the_ledger() {
    let mut pool = disputed();
    for (age_ms, order, reason) in [
        (0, vec![0, 1, 2], Reason::BestScore),
        (1_000, vec![0, 1, 2], Reason::BestScore),
        (4_900, vec![1, 2, 0], Reason::AgeingSignals),
        (5_000, vec![1, 2, 0], Reason::LeastInFlight),
        (u64::MAX / 2, vec![1, 2, 0], Reason::LeastInFlight),
    ] {
        pool.now = pool::START.plus(age_ms);
        let decision = decide(&pool, &RequestFacts::default());
        assert_eq!(
            decision.choices().collect::<Vec<_>>(),
            order,
            "age {age_ms} ms"
        );
        assert_eq!(decision.reason(), reason, "age {age_ms} ms");
    }
}

#[test]
fn the_ledger_gains_what_the_signals_lose() {
    let mut pool = Pool::silent(3);
    for (at, kv_usage) in [0.0, 1.0, 1.0].into_iter().enumerate() {
        let signal = Signal::new(kv_usage, pool.now);
        pool.endpoints[at].signals.kv_usage = Some(signal);
    }
    pool.begin(0, 2);
    pool.begin(2, 4);
    assert_eq!(
        order(&pool)[0],
        0,
        "fresh: an empty cache outweighs two requests"
    );
    pool.now = pool.now.plus(3_000);
    assert_eq!(
        order(&pool)[0],
        1,
        "half faded: two requests outweigh the cache"
    );
}

#[test]
fn prefix_affinity_fades_with_the_signals() {
    let mut pool = Pool::idle(3);
    let facts = with_prefix(&[1, 2]);
    let mut picker = picker_of(PolicyName::Scored);
    let mut entropy = SplitMix64::new(1);
    pool.decide(&mut picker, &facts, &mut entropy);
    picker.dispatched(&facts, pool.endpoints[0].id);
    pool.begin(0, 6);
    pool.begin(1, 5);
    pool.begin(2, 10);
    let mut first = |pool: &Pool| pool.decide(&mut picker, &facts, &mut entropy).first();
    assert_eq!(first(&pool), Some(0));
    pool.now = pool.now.plus(4_900);
    assert_eq!(
        first(&pool),
        Some(1),
        "one request less outweighs what is left of it"
    );
}

#[test]
fn the_count_since_an_old_scrape_fades_too() {
    let mut pool = Pool::silent(3);
    for (at, running) in [20, 0, 40].into_iter().enumerate() {
        pool.scrape(at, 0.0, running as f32, 0.5);
        pool.begin(at, running);
    }
    let mut picker = picker_of(PolicyName::Scored);
    let mut entropy = SplitMix64::new(1);
    let facts = RequestFacts::default();
    assert_eq!(
        pool.decide(&mut picker, &facts, &mut entropy).first(),
        Some(1)
    );
    pool.begin(1, 11);
    for _ in 0..8 {
        pool.ledger.end(pool.endpoints[0].id, 100, Some(100));
    }
    let decision = pool.decide(&mut picker, &facts, &mut entropy);
    assert_eq!(decision.first(), Some(0), "fresh: 11 came since the scrape");
    pool.now = pool.now.plus(4_900);
    let decision = pool.decide(&mut picker, &facts, &mut entropy);
    assert_eq!(
        decision.first(),
        Some(1),
        "ageing: 11 in flight are less than 12"
    );
}

#[test]
fn the_change_over_happens_once() {
    let mut pool = disputed();
    let mut firsts = Vec::new();
    for age_ms in (0..6_000).step_by(10) {
        pool.now = pool::START.plus(age_ms);
        firsts.push(order(&pool)[0]);
    }
    firsts.dedup();
    assert_eq!(
        firsts,
        [0, 1],
        "signals first, then the ledger, no back and forth"
    );
}

#[test]
fn a_clock_that_steps_back_leaves_signals_fresh() {
    let mut pool = disputed();
    pool.now = pool::START.minus(3_600_000);
    let decision = decide(&pool, &RequestFacts::default());
    assert_eq!(decision.first(), Some(0));
    assert_eq!(decision.reason(), Reason::BestScore);
}

#[test]
fn an_agent_never_seen_means_least_in_flight() {
    let mut pool = Pool::silent(4);
    pool.begin(0, 2);
    pool.begin(1, 3);
    pool.begin(3, 1);
    let decision = decide(&pool, &with_prefix(&[1]));
    assert_eq!(decision.choices().collect::<Vec<_>>(), [2, 3, 0]);
    assert_eq!(decision.reason(), Reason::LeastInFlight);
}

#[test]
fn expired_signals_leave_nothing_but_the_ledger() {
    let facts = RequestFacts {
        prefix: vec![1, 2],
        ..for_model("sql")
    };
    let mut pool = Pool::idle(3);
    pool.set_lora(0, &["sql"], &[], 4);
    let mut picker = picker_of(PolicyName::Scored);
    let mut entropy = SplitMix64::new(1);
    pool.decide(&mut picker, &facts, &mut entropy);
    picker.dispatched(&facts, pool.endpoints[0].id);
    pool.begin(0, 1);
    pool.now = pool.now.plus(60_000);
    for _ in 0..50 {
        let decision = pool.decide(&mut picker, &facts, &mut entropy);
        assert_ne!(
            decision.first(),
            Some(0),
            "neither prefix nor adapter count any more"
        );
        assert_eq!(decision.choices().last(), Some(0));
    }
}

#[test]
fn every_policy_spares_draining_and_suspect_endpoints() {
    for policy in PolicyName::ALL {
        let mut pool = Pool::idle(4);
        pool.endpoints[0].health = Health::Draining;
        pool.endpoints[2].health = Health::Suspect;
        let mut picker = Picker::new(PickerConfig {
            policy,
            ..PickerConfig::default()
        });
        let mut entropy = SplitMix64::new(4);
        for _ in 0..100 {
            let decision = pool.decide(&mut picker, &RequestFacts::default(), &mut entropy);
            let mut choices: Vec<_> = decision.choices().collect();
            choices.sort_unstable();
            assert_eq!(choices, [1, 3], "{policy:?}");
        }
    }
}

#[test]
fn the_blind_policies_are_even() {
    for policy in [PolicyName::RoundRobin, PolicyName::Random] {
        let pool = Pool::idle(5);
        let mut picker = Picker::new(PickerConfig {
            policy,
            ..PickerConfig::default()
        });
        let mut entropy = SplitMix64::new(4);
        let mut counts = [0u32; 5];
        for _ in 0..5_000 {
            let decision = pool.decide(&mut picker, &RequestFacts::default(), &mut entropy);
            assert_eq!(decision.reason(), Reason::Blind);
            counts[decision.first().unwrap()] += 1;
        }
        let tolerance = if policy == PolicyName::RoundRobin {
            0
        } else {
            150
        };
        for count in counts {
            assert!(count.abs_diff(1_000) <= tolerance, "{policy:?}: {counts:?}");
        }
    }
}

#[test]
fn no_endpoint_is_no_choice() {
    let decision = decide(&Pool::silent(0), &RequestFacts::default());
    assert_eq!(decision, Decision::none(Reason::NoEndpoints));
}

#[test]
fn the_list_is_as_long_as_configured() {
    for choices in 1..=3 {
        for policy in PolicyName::ALL {
            let mut picker = Picker::new(PickerConfig {
                policy,
                choices,
                ..PickerConfig::default()
            });
            let decision = Pool::idle(9).decide(
                &mut picker,
                &RequestFacts::default(),
                &mut SplitMix64::new(1),
            );
            assert_eq!(decision.choices().count(), choices, "{policy:?}");
        }
    }
}
