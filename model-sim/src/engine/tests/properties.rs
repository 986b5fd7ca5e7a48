//! What must hold whatever happens, checked after every operation of random histories.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::{Engine, EngineConfig, Event, EventKind, LoraId, Request, RequestId, SimTime};
use crate::lengths::mix;

/// Follows requests from outside and knows what each may still do.
#[derive(Default)]
struct Witness {
    /// By request: tokens seen and whether it ended.
    requests: BTreeMap<RequestId, (u32, bool)>,
    last_at: SimTime,
}

impl Witness {
    fn see(&mut self, events: impl Iterator<Item = Event>, now: SimTime) {
        for event in events {
            assert!(
                event.at >= self.last_at && event.at <= now,
                "events in order of time"
            );
            self.last_at = event.at;
            let (tokens, ended) = self.requests.get_mut(&event.id).expect("it was submitted");
            assert!(!*ended, "nothing happens after the end");
            match event.kind {
                EventKind::FirstToken { .. } => {
                    assert_eq!(*tokens, 0, "one first token");
                    *tokens = 1;
                }
                EventKind::Token => {
                    assert!(*tokens > 0, "the first token comes first");
                    *tokens += 1;
                }
                EventKind::Finished(summary) => {
                    assert_eq!(*tokens, summary.output_tokens);
                    assert!(summary.submitted_at <= summary.scheduled_at);
                    assert!(summary.scheduled_at < summary.first_token_at);
                    assert!(summary.first_token_at <= summary.finished_at);
                    assert!(summary.cached_tokens < summary.prompt_tokens.max(1));
                    *ended = true;
                }
                EventKind::Rejected(_) => *ended = true,
                EventKind::Preempted => {}
            }
        }
    }

    fn unfinished(&self) -> impl Iterator<Item = RequestId> + '_ {
        self.requests
            .iter()
            .filter(|(_, (_, ended))| !ended)
            .map(|(id, _)| *id)
    }
}

fn check_limits(engine: &Engine) {
    engine.check();
    let (live, config) = (engine.live(), engine.config());
    assert!(live.running <= config.max_num_seqs);
    assert!(live.kv_blocks_used <= live.kv_blocks);
    assert!(live.waiting_deferred <= live.waiting);
    assert!(engine.running_loras().count() <= config.max_loras as usize);
    assert!(engine.resident_loras().count() <= config.max_loras as usize);
    if live.running + live.waiting > 0 {
        assert!(engine.next_event_at().is_some(), "no request is forgotten");
    }
}

fn check_at_rest(engine: &Engine, witness: &Witness) {
    assert_eq!(witness.unfinished().count(), 0, "every request ended");
    let (live, counters) = (engine.live(), engine.counters());
    assert_eq!(
        (live.running, live.waiting, live.kv_blocks_used),
        (0, 0, 0),
        "all is free"
    );
    assert_eq!(engine.gauges().running, 0);
    assert_eq!(engine.running_loras().count(), 0);
    assert_eq!(engine.pending_tokens(), 0);
    assert_eq!(
        counters.submitted,
        counters.finished + counters.aborted + counters.rejected,
        "every request ended exactly once"
    );
}

#[derive(Clone, Debug)]
enum Operation {
    Submit {
        prompt: u32,
        output: u32,
        family: u64,
        lora: Option<u32>,
    },
    Advance {
        nanos: u64,
    },
    AdvanceToEvent,
    Abort {
        which: usize,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    let lora = prop_oneof![3 => Just(None), 2 => (0..5u32).prop_map(Some)];
    prop_oneof![
        4 => (0..300u32, 0..40u32, 0..4u64, lora)
            .prop_map(|(prompt, output, family, lora)| Operation::Submit { prompt, output, family, lora }),
        2 => (0..50_000_000u64).prop_map(|nanos| Operation::Advance { nanos }),
        4 => Just(Operation::AdvanceToEvent),
        1 => any::<usize>().prop_map(|which| Operation::Abort { which }),
    ]
}

fn chain(family: u64, blocks: u32) -> std::sync::Arc<[u64]> {
    // Families share their first blocks in pairs, so that prefixes overlap in part.
    (0..u64::from(blocks))
        .map(|block| mix(block << 8 | if block < 4 { family / 2 } else { family + 16 }))
        .collect()
}

fn run(config: EngineConfig, operations: &[Operation]) -> (Engine, Witness, Vec<Event>) {
    let mut engine = Engine::new(config);
    let mut witness = Witness::default();
    let mut all = Vec::new();
    let mut now = SimTime::ZERO;
    for operation in operations {
        match *operation {
            Operation::Submit {
                prompt,
                output,
                family,
                lora,
            } => {
                let request = Request {
                    prompt_tokens: prompt,
                    output_tokens: output,
                    block_hashes: chain(family, (prompt + output) / 16),
                    lora: lora.map(LoraId),
                    token_events: true,
                };
                let id = engine.submit(request, now);
                assert!(
                    witness.requests.insert(id, (0, false)).is_none(),
                    "a new name"
                );
            }
            Operation::Advance { nanos } => now = SimTime::from_nanos(now.as_nanos() + nanos),
            Operation::AdvanceToEvent => now = engine.next_event_at().unwrap_or(now).max(now),
            Operation::Abort { which } => {
                let unfinished: Vec<RequestId> = witness.unfinished().collect();
                if let Some(id) = unfinished.get(which % unfinished.len().max(1))
                    && engine.abort(*id, now)
                {
                    // Events before the abort may still come, none after it.
                    witness.see(engine.advance(now), now);
                    witness.requests.get_mut(id).unwrap().1 = true;
                }
            }
        }
        let events: Vec<Event> = engine.advance(now).collect();
        witness.see(events.iter().copied(), now);
        all.extend(events);
        check_limits(&engine);
    }
    for _ in 0..1_000_000 {
        let Some(at) = engine.next_event_at() else {
            break;
        };
        now = at.max(now);
        let events: Vec<Event> = engine.advance(now).collect();
        witness.see(events.iter().copied(), now);
        all.extend(events);
    }
    check_limits(&engine);
    (engine, witness, all)
}

fn tight() -> impl Strategy<Value = EngineConfig> {
    (5..40u32, 1..8u32, 16..300u32, 0..4u32, any::<bool>()).prop_map(
        |(kv_blocks, max_num_seqs, token_budget, max_loras, prefix_caching)| EngineConfig {
            kv_blocks,
            max_num_seqs,
            token_budget,
            max_loras,
            prefix_caching,
            max_model_len: 320,
            ..EngineConfig::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_request_ends_once_and_nothing_leaks(
        config in tight(),
        operations in prop::collection::vec(operation(), 1..120),
    ) {
        let (engine, witness, _) = run(config, &operations);
        check_at_rest(&engine, &witness);
    }

    #[test]
    fn equal_histories_give_equal_events(
        config in tight(),
        operations in prop::collection::vec(operation(), 1..60),
    ) {
        let (first, _, events) = run(config.clone(), &operations);
        let (second, _, again) = run(config, &operations);
        prop_assert_eq!(events, again);
        prop_assert_eq!(first.counters(), second.counters());
    }

    #[test]
    fn without_adapters_requests_are_first_scheduled_in_order_of_submission(
        config in tight(),
        lengths in prop::collection::vec((1..200u32, 1..30u32, 0..20_000_000u64), 1..60),
    ) {
        let mut engine = Engine::new(config);
        let mut now = SimTime::ZERO;
        let mut submitted = Vec::new();
        let mut scheduled = BTreeMap::new();
        let note = |event: Event, scheduled: &mut BTreeMap<RequestId, SimTime>| {
            if let EventKind::Finished(summary) = event.kind {
                scheduled.insert(event.id, summary.scheduled_at);
            }
        };
        for (prompt_tokens, output_tokens, pause) in lengths {
            now = SimTime::from_nanos(now.as_nanos() + pause);
            let request = Request { prompt_tokens, output_tokens, ..Request::default() };
            submitted.push(engine.submit(request, now));
            engine.advance(now).for_each(|event| note(event, &mut scheduled));
        }
        while let Some(at) = engine.next_event_at() {
            engine.advance(at).for_each(|event| note(event, &mut scheduled));
        }
        let times: Vec<SimTime> =
            submitted.iter().filter_map(|id| scheduled.get(id).copied()).collect();
        prop_assert!(times.is_sorted(), "{:?}", times);
    }
}

#[test]
fn a_hundred_thousand_steps_of_everything_keep_every_invariant() {
    let config = EngineConfig {
        kv_blocks: 200,
        max_num_seqs: 24,
        token_budget: 256,
        max_loras: 3,
        max_model_len: 600,
        ..EngineConfig::default()
    };
    let mut engine = Engine::new(config);
    let mut witness = Witness::default();
    let mut now = SimTime::ZERO;
    let mut draw = 0u64;
    let mut next = |limit: u64| {
        draw += 1;
        mix(draw) % limit
    };
    while engine.counters().steps < 100_000 {
        // Bursts and lulls, so that the engine is overloaded, busy and idle by turns.
        let arrivals = if next(1_000) < 20 {
            40
        } else {
            u64::from(next(5) == 0)
        };
        for _ in 0..arrivals {
            let (prompt, output) = (next(500) as u32, next(90) as u32);
            let family = if next(3) == 0 {
                next(6)
            } else {
                next(1_000_000)
            };
            let request = Request {
                prompt_tokens: prompt,
                output_tokens: output,
                block_hashes: chain(family, (prompt + output) / 16),
                lora: (next(4) == 0).then(|| LoraId(next(6) as u32)),
                token_events: true,
            };
            let id = engine.submit(request, now);
            witness.requests.insert(id, (0, false));
        }
        let oldest = witness.unfinished().next();
        if next(20) == 0
            && let Some(id) = oldest
            && engine.abort(id, now)
        {
            witness.see(engine.advance(now), now);
            witness.requests.get_mut(&id).unwrap().1 = true;
        }
        now = match engine.next_event_at() {
            Some(at) => at.max(now),
            None => SimTime::from_nanos(now.as_nanos() + next(30_000_000)),
        };
        witness.see(engine.advance(now), now);
        if engine.counters().steps.is_multiple_of(32) {
            check_limits(&engine);
            witness.requests.retain(|_, (_, ended)| !*ended);
        }
    }
    let seen = engine.counters().clone();
    while let Some(at) = engine.next_event_at() {
        now = at.max(now);
        witness.see(engine.advance(now), now);
    }
    check_at_rest(&engine, &witness);
    // The test is worth something only if everything happened often.
    for (what, count) in [
        ("preemptions", seen.preemptions),
        ("aborts", seen.aborted),
        ("adapter loads", seen.lora_loads),
        ("prefix hits", seen.prefix_hits),
        ("finished", seen.finished),
    ] {
        assert!(count > 500, "{what}: {count}");
    }
}
