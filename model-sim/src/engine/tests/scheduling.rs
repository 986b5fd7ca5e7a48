//! Scheduling, step by step, against times worked out by hand.

use super::super::{Engine, EngineConfig, EventKind, LoraId, Rejection, Request, SimTime, Summary};
use super::{drain, finish, first_token, request, small};

const A: f64 = 0.0055;
const B: f64 = 20e-6;
const C: f64 = 0.15e-6;

fn close(left: f64, right: f64) {
    assert!((left - right).abs() < 1e-7, "{left} is not {right}");
}

#[test]
fn a_lone_request_takes_one_prefill_step_and_one_step_a_token() {
    let mut engine = Engine::new(EngineConfig::default());
    let id = engine.submit(request(100, 3), SimTime::from_seconds(1.0));
    let events = drain(&mut engine);
    let prefill = A + 100.0 * B + 100.0 * C;
    let decode = 2.0 * (A + B) + (101.0 + 102.0) * C;
    close(first_token(&events, id), 1.0 + prefill);
    close(finish(&events, id), 1.0 + prefill + decode);
    assert_eq!(engine.counters().steps, 3);
    assert_eq!(engine.counters().generation_tokens, 3);
    assert_eq!(engine.live().kv_blocks_used, 0);
}

#[test]
fn a_long_prompt_is_computed_in_chunks_of_the_budget_beside_decodes() {
    let mut engine = Engine::new(EngineConfig::default());
    let short = engine.submit(request(10, 4), SimTime::ZERO);
    let long = engine.submit(request(5_000, 1), SimTime::ZERO);
    let events = drain(&mut engine);
    // 10 + 2038, 1 + 2047, 1 + 915 tokens: the long prompt ends in the third step.
    let first = A + 2_048.0 * B + (10.0 + 2_038.0) * C;
    let second = A + 2_048.0 * B + (11.0 + 4_085.0) * C;
    let third = A + 916.0 * B + (12.0 + 5_000.0) * C;
    close(first_token(&events, short), first);
    close(first_token(&events, long), first + second + third);
    let fourth = A + B + 13.0 * C;
    close(finish(&events, short), first + second + third + fourth);
}

#[test]
fn requests_of_the_same_instant_share_a_step_and_later_ones_wait_for_its_end() {
    let mut engine = Engine::new(EngineConfig::default());
    let one = engine.submit(request(100, 1), SimTime::ZERO);
    let two = engine.submit(request(100, 1), SimTime::ZERO);
    assert_eq!(engine.advance(SimTime::ZERO).count(), 0);
    let late = engine.submit(request(100, 1), SimTime::from_seconds(0.001));
    let together = A + 200.0 * B + 200.0 * C;
    let events = drain(&mut engine);
    close(finish(&events, one), together);
    close(finish(&events, two), together);
    close(
        first_token(&events, late),
        together + A + 100.0 * B + 100.0 * C,
    );
}

#[test]
fn speed_scales_steps_and_can_change_between_them() {
    let mut engine = Engine::new(EngineConfig {
        speed: 0.5,
        ..EngineConfig::default()
    });
    let id = engine.submit(request(100, 2), SimTime::ZERO);
    engine.advance(SimTime::ZERO).for_each(drop);
    engine.set_speed(1.0);
    engine.set_speed(f64::NAN);
    let events = drain(&mut engine);
    close(first_token(&events, id), 2.0 * (A + 100.0 * B + 100.0 * C));
    close(
        finish(&events, id) - first_token(&events, id),
        A + B + 101.0 * C,
    );
}

#[test]
fn the_newest_request_is_preempted_and_computed_again() {
    // Ten blocks of 16: both prompts take four, and both want a fifth and a sixth later.
    let mut engine = Engine::new(small(10));
    let old = engine.submit(request(64, 40), SimTime::ZERO);
    let new = engine.submit(request(64, 40), SimTime::ZERO);
    let events = drain(&mut engine);
    let preempted: Vec<_> = events
        .iter()
        .filter(|event| event.kind == EventKind::Preempted)
        .collect();
    assert_eq!(
        preempted.iter().map(|event| event.id).collect::<Vec<_>>(),
        [new]
    );
    assert!(finish(&events, old) < finish(&events, new));
    assert_eq!(engine.counters().preemptions, 1);
    let generated: Vec<u32> = events
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::Finished(Summary { output_tokens, .. }) => Some(output_tokens),
            _ => None,
        })
        .collect();
    assert_eq!(
        generated,
        [40, 40],
        "what was generated before a preemption counts"
    );
    assert_eq!(engine.counters().generation_tokens, 80);
}

#[test]
fn first_come_first_served_even_if_a_later_one_would_fit() {
    let mut engine = Engine::new(small(10));
    let first = engine.submit(request(100, 20), SimTime::ZERO);
    let large = engine.submit(request(100, 2), SimTime::ZERO);
    let small = engine.submit(request(10, 2), SimTime::ZERO);
    let events = drain(&mut engine);
    assert!(first_token(&events, large) > finish(&events, first) - 1e-9);
    assert!(first_token(&events, small) >= first_token(&events, large));
}

#[test]
fn a_repeated_prefix_is_found_except_for_its_last_token() {
    let hashes: Vec<u64> = (1..=10).collect();
    let with_prefix = |prompt_tokens, output_tokens| Request {
        block_hashes: hashes.clone().into(),
        ..request(prompt_tokens, output_tokens)
    };
    let mut engine = Engine::new(EngineConfig::default());
    let summary = |engine: &mut Engine, request: Request| {
        let at = engine.next_event_at().unwrap_or(SimTime::from_seconds(1.0));
        engine.submit(request, at);
        match drain(engine).last().map(|event| event.kind) {
            Some(EventKind::Finished(summary)) => summary,
            other => panic!("not finished but {other:?}"),
        }
    };
    assert_eq!(summary(&mut engine, with_prefix(100, 70)).cached_tokens, 0);
    // 96 of 100 tokens are whole blocks; the output's blocks are findable too.
    assert_eq!(summary(&mut engine, with_prefix(100, 1)).cached_tokens, 96);
    assert_eq!(summary(&mut engine, with_prefix(165, 1)).cached_tokens, 160);
    // A prompt of whole blocks computes its last block again.
    assert_eq!(summary(&mut engine, with_prefix(96, 1)).cached_tokens, 80);
    assert_eq!(engine.counters().prefix_queries, 100 + 100 + 165 + 96);
    assert_eq!(engine.counters().prefix_hits, 96 + 160 + 80);
    assert_eq!(engine.cached_tokens(&hashes), 160);
    assert_eq!(
        engine.gauges().kv_usage(),
        0.0,
        "cached blocks count as free"
    );
    let mut cold = Engine::new(EngineConfig {
        prefix_caching: false,
        ..EngineConfig::default()
    });
    summary(&mut cold, with_prefix(100, 1));
    assert_eq!(summary(&mut cold, with_prefix(100, 1)).cached_tokens, 0);
}

#[test]
fn running_requests_share_the_blocks_of_a_common_prefix() {
    let shared = |prompt_tokens| Request {
        block_hashes: (1..=6).collect(),
        ..request(prompt_tokens, 5)
    };
    let mut engine = Engine::new(EngineConfig::default());
    engine.submit(shared(100), SimTime::ZERO);
    engine.submit(shared(100), SimTime::ZERO);
    engine.advance(SimTime::ZERO).for_each(drop);
    assert_eq!(engine.live().running, 2);
    assert_eq!(
        engine.live().kv_blocks_used,
        8,
        "six shared, one of its own for each"
    );
    drain(&mut engine);
}

#[test]
fn a_request_whose_adapter_has_no_slot_is_deferred_and_passed_by_others() {
    let adapted = |adapter| Request {
        lora: Some(LoraId(adapter)),
        ..request(10, 50)
    };
    let mut engine = Engine::new(EngineConfig {
        max_loras: 1,
        ..EngineConfig::default()
    });
    let first = engine.submit(adapted(1), SimTime::ZERO);
    let deferred = engine.submit(adapted(2), SimTime::ZERO);
    let same = engine.submit(adapted(1), SimTime::ZERO);
    let base = engine.submit(request(10, 50), SimTime::ZERO);
    let mut events: Vec<_> = engine.advance(SimTime::from_seconds(0.2)).collect();
    let gauges = engine.gauges();
    assert_eq!(
        (gauges.running, gauges.waiting, gauges.waiting_deferred),
        (3, 1, 1)
    );
    assert_eq!(engine.running_loras().collect::<Vec<_>>(), [LoraId(1)]);
    events.extend(drain(&mut engine));
    // The first step waits for the load.
    close(first_token(&events, first), 0.1 + A + 30.0 * B + 30.0 * C);
    for other in [same, base] {
        close(first_token(&events, other), first_token(&events, first));
    }
    assert!(first_token(&events, deferred) > finish(&events, same));
    assert_eq!(engine.counters().lora_loads, 2);
    assert_eq!(engine.resident_loras().collect::<Vec<_>>(), [LoraId(2)]);
}

#[test]
fn gauges_change_at_step_ends_and_the_live_state_at_once() {
    let mut engine = Engine::new(EngineConfig {
        max_num_seqs: 1,
        ..EngineConfig::default()
    });
    engine.submit(request(100, 3), SimTime::ZERO);
    engine.submit(request(100, 3), SimTime::ZERO);
    engine.advance(SimTime::ZERO).for_each(drop);
    assert_eq!(
        (engine.gauges().running, engine.gauges().waiting),
        (0, 0),
        "no step has ended"
    );
    assert_eq!((engine.live().running, engine.live().waiting), (1, 1));
    let end = engine.next_event_at().unwrap();
    engine.submit(request(100, 3), SimTime::from_seconds(0.001));
    assert_eq!(engine.pending_tokens(), 300);
    engine.submit(request(1, 1), end);
    assert_eq!(
        (engine.gauges().running, engine.gauges().waiting),
        (1, 1),
        "two not seen yet"
    );
    assert_eq!(engine.live().waiting, 3);
    drain(&mut engine);
    assert_eq!((engine.gauges().running, engine.gauges().waiting), (0, 0));
}

#[test]
fn an_abort_frees_memory_in_every_phase_and_an_ended_request_cannot_be_aborted() {
    let config = EngineConfig {
        max_num_seqs: 2,
        max_loras: 1,
        ..EngineConfig::default()
    };
    let mut engine = Engine::new(config);
    let adapted = |adapter| Request {
        lora: Some(LoraId(adapter)),
        ..request(100, 9)
    };
    let running = engine.submit(adapted(1), SimTime::ZERO);
    let deferred = engine.submit(adapted(2), SimTime::ZERO);
    let kept = engine.submit(request(100, 2), SimTime::ZERO);
    engine.advance(SimTime::from_seconds(0.15)).for_each(drop);
    let arriving = engine.submit(request(100, 9), SimTime::from_seconds(0.15));
    let waits = engine.live();
    assert_eq!(
        (waits.running, waits.waiting, waits.waiting_deferred),
        (1, 2, 1),
        "kept is done"
    );
    for id in [running, deferred, arriving] {
        assert!(engine.abort(id, SimTime::from_seconds(0.15)));
        assert!(!engine.abort(id, SimTime::from_seconds(0.15)));
        engine.check();
    }
    assert!(!engine.abort(kept, SimTime::from_seconds(0.15)));
    assert_eq!(engine.live().kv_blocks_used, 0);
    assert_eq!(engine.running_loras().count(), 0);
    drain(&mut engine);
    let counters = engine.counters();
    assert_eq!(
        (counters.submitted, counters.finished, counters.aborted),
        (4, 1, 3)
    );
}

#[test]
fn what_can_never_run_is_refused_at_once() {
    let config = EngineConfig {
        max_model_len: 100,
        max_loras: 0,
        ..EngineConfig::default()
    };
    let mut engine = Engine::new(config);
    engine.submit(request(99, 2), SimTime::ZERO);
    engine.submit(
        Request {
            lora: Some(LoraId(1)),
            ..request(1, 1)
        },
        SimTime::ZERO,
    );
    engine.submit(request(99, 1), SimTime::ZERO);
    let kinds: Vec<EventKind> = drain(&mut engine)
        .into_iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(kinds[0], EventKind::Rejected(Rejection::TooLong));
    assert_eq!(kinds[1], EventKind::Rejected(Rejection::NoLoraSlots));
    assert!(matches!(kinds[3], EventKind::Finished(_)));
    let mut engine = Engine::new(small(10));
    engine.submit(request(160, 1), SimTime::ZERO);
    assert_eq!(engine.counters().rejected, 1, "larger than the whole cache");
    engine.submit(request(u32::MAX, u32::MAX), SimTime::ZERO);
    assert_eq!(engine.counters().rejected, 2);
}

#[test]
fn token_events_come_for_every_token_only_where_wanted() {
    let mut engine = Engine::new(EngineConfig::default());
    let loud = engine.submit(
        Request {
            token_events: true,
            ..request(10, 20)
        },
        SimTime::ZERO,
    );
    let quiet = engine.submit(request(10, 20), SimTime::ZERO);
    let events = drain(&mut engine);
    let count = |id| events.iter().filter(|event| event.id == id).count();
    assert_eq!(count(loud), 21, "twenty tokens and the end");
    assert_eq!(count(quiet), 2);
    assert_eq!(engine.counters().inter_token.count(), 38);
}
