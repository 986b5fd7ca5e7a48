//! What must hold for every view, every request and every clock.

#![cfg(not(target_arch = "wasm32"))]

mod pool;

use picker::{
    Endpoint, EndpointId, Health, InFlight, LocalState, LoraState, Millis, Picker, PickerConfig,
    PoolView, PrefixHasher, Reason, RequestFacts, Signal, SplitMix64, StepModel, freshness::Ladder,
    policy::PolicyName,
};
use proptest::{collection::vec, option, prelude::*, sample::select};

const WEIRD: [f32; 8] = [
    0.0,
    1.0,
    -1.0,
    1e9,
    f32::MAX,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

fn number() -> impl Strategy<Value = f32> {
    prop_oneof![3 => 0.0f32..50.0, 1 => select(WEIRD.as_slice())]
}

fn moment() -> impl Strategy<Value = Millis> {
    prop_oneof![
        4 => 990_000u64..1_000_000,
        1 => any::<u64>(),
        1 => select([0, u64::MAX].as_slice()),
    ]
    .prop_map(Millis)
}

fn gauge() -> impl Strategy<Value = Option<Signal<f32>>> {
    option::of((number(), moment()).prop_map(|(value, at)| Signal::new(value, at)))
}

fn names() -> impl Strategy<Value = Vec<std::sync::Arc<str>>> {
    vec(
        select(["sql", "lqs", "x", ""].as_slice()).prop_map(Into::into),
        0..4,
    )
}

fn lora() -> impl Strategy<Value = Option<Signal<LoraState>>> {
    let state = (names(), names(), names(), 0u32..4, moment());
    option::of(state.prop_map(|(active, waiting, registered, max, at)| {
        let state = LoraState {
            active,
            waiting,
            registered,
            max,
        };
        Signal::new(state, at)
    }))
}

/// Whatever a slot in shared data or an agent may say, sane or not.
fn in_flight() -> impl Strategy<Value = InFlight> {
    let tokens = prop_oneof![0u64..50_000, Just(u64::MAX)];
    let requests = prop_oneof![3 => 0u32..50, 1 => Just(u32::MAX)];
    (requests, tokens.clone(), any::<u32>(), tokens).prop_map(
        |(requests, tokens, prefilling, prefill_tokens)| InFlight {
            requests,
            tokens,
            prefilling: prefilling % 64,
            prefill_tokens,
        },
    )
}

fn endpoint() -> impl Strategy<Value = (Endpoint, LocalState)> {
    let identity = (0u8..20, 0u64..3);
    let health = select(
        [
            Health::Ready,
            Health::Ready,
            Health::Draining,
            Health::Suspect,
        ]
        .as_slice(),
    );
    let signals = (
        gauge(),
        gauge(),
        gauge(),
        lora(),
        option::of((in_flight(), moment())),
        option::of((number(), number(), number(), moment())),
        gauge(),
    );
    let local = (in_flight(), any::<bool>());
    let kv_blocks = option::of(any::<u32>());
    (identity, health, number(), signals, local, kv_blocks).prop_map(
        |((host, generation), health, weight, signals, (in_flight, suspect), kv_blocks)| {
            let mut endpoint = Endpoint::new(EndpointId {
                address: ([10, 0, 0, host], 8000).into(),
                generation,
            });
            let (waiting, running, kv_usage, lora, others, model, output) = signals;
            endpoint.health = health;
            endpoint.weight = weight;
            endpoint.signals.waiting = waiting;
            endpoint.signals.running = running;
            endpoint.signals.kv_usage = kv_usage;
            endpoint.signals.lora = lora;
            endpoint.price = -weight;
            endpoint.signals.others_in_flight = others.map(|(load, at)| Signal::new(load, at));
            endpoint.signals.step_model = model.map(|(base_us, token_us, kv_token_us, at)| {
                let model = StepModel {
                    base_us,
                    token_us,
                    kv_token_us,
                };
                Signal::new(model, at)
            });
            endpoint.signals.mean_output_tokens = output;
            endpoint.signals.kv_blocks = kv_blocks;
            endpoint.signals.kv_block_size = kv_blocks;
            let local = LocalState {
                in_flight,
                suspect,
                ..LocalState::default()
            };
            (endpoint, local)
        },
    )
}

/// Sorted by identity and without duplicates, as a snapshot's endpoints are.
fn members() -> impl Strategy<Value = Vec<(Endpoint, LocalState)>> {
    vec(endpoint(), 0..30).prop_map(|mut members| {
        members.sort_by_key(|(endpoint, _)| endpoint.id);
        members.dedup_by_key(|(endpoint, _)| endpoint.id);
        members
    })
}

fn facts() -> impl Strategy<Value = RequestFacts> {
    let model = option::of(select(["sql", "base", ""].as_slice()).prop_map(str::to_owned));
    let bytes = prop_oneof![Just(0), 0u64..100_000, any::<u64>()];
    let session = option::of(0u64..3);
    let most = option::of(any::<u64>());
    (model, vec(0u64..5, 0..6), bytes, session, most).prop_map(
        |(model, prefix, prompt_bytes, session, max_tokens)| RequestFacts {
            model,
            prefix,
            prompt_bytes,
            session,
            max_tokens,
            ..RequestFacts::default()
        },
    )
}

fn policy() -> impl Strategy<Value = PolicyName> {
    select(PolicyName::ALL.as_slice())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Several picks of one picker over changing views, with the clock going anywhere.
    #[test]
    fn a_decision_is_valid_whatever_is_shown(
        policy in policy(),
        steps in vec((members(), facts(), moment(), any::<bool>(), 0usize..40), 1..6),
        seed: u64,
    ) {
        let mut picker = Picker::new(PickerConfig { policy, ..PickerConfig::default() });
        let mut entropy = SplitMix64::new(seed);
        for (members, facts, now, retain, known) in steps {
            let (endpoints, mut local): (Vec<_>, Vec<_>) = members.into_iter().unzip();
            local.truncate(known);
            let view = PoolView { endpoints: &endpoints, local: &local, now };
            let decision = picker.pick(&facts, &view, &mut entropy);
            let choices: Vec<usize> = decision.choices().collect();

            let mut distinct = choices.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), choices.len(), "a choice is named twice");
            prop_assert!(choices.iter().all(|at| *at < endpoints.len()), "no member");

            let empty = endpoints.is_empty();
            prop_assert_eq!(decision.reason() == Reason::NoEndpoints, empty);
            let refused = decision.reason() == Reason::Saturated;
            prop_assert_eq!(choices.is_empty(), empty || refused);
            let is_tree = matches!(policy, PolicyName::GieV03 | PolicyName::Gie0605);
            prop_assert!(is_tree || !refused, "only the trees refuse");

            let draining = |at: &usize| endpoints[*at].health == Health::Draining;
            let all_drain = (0..endpoints.len()).all(|at| draining(&at));
            prop_assert!(all_drain || !choices.iter().any(draining), "a draining one was named");

            let suspect = |at: &usize| !draining(at) && (endpoints[*at].health == Health::Suspect
                || local.get(*at).is_some_and(|local| local.suspect));
            let suspects = (0..endpoints.len()).filter(suspect).count();
            let staying = (0..endpoints.len()).filter(|at| !draining(at)).count();
            // Where adapters are listed, a suspect endpoint may be the only one that has it.
            let lists = |endpoint: &Endpoint| endpoint.signals.lora.as_ref()
                .is_some_and(|lora| !lora.value.registered.is_empty());
            let adapters = facts.model.is_some() && endpoints.iter().any(lists);
            // Or the only one that can hold the prompt and the answer.
            let long = facts.prompt_bytes > 0 || facts.max_tokens.is_some();
            prop_assert!(adapters || long || suspects * 2 > staying || !choices.iter().any(suspect),
                "a suspect one was named though most are not");

            let expected = decision.estimate();
            prop_assert!(expected.uncached_tokens <= expected.prompt_tokens);
            prop_assert_eq!(expected.prompt_tokens == 0, choices.is_empty());
            prop_assert!((0.0..f32::INFINITY).contains(&expected.ttft_ms), "{:?}", expected);
            prop_assert!((0.0..f32::INFINITY).contains(&expected.total_ms), "{:?}", expected);
            prop_assert!(expected.total_ms >= expected.ttft_ms, "{:?}", expected);

            if let Some(first) = decision.first() {
                picker.dispatched(&facts, endpoints[first].id);
            }
            if retain {
                picker.retain(&endpoints);
            }
        }
    }

    #[test]
    fn equal_history_gives_equal_decisions(
        policy in policy(), members in members(), facts in facts(), now in moment(), seed: u64,
    ) {
        let (endpoints, local): (Vec<_>, Vec<_>) = members.into_iter().unzip();
        let view = PoolView { endpoints: &endpoints, local: &local, now };
        let decide = || {
            let mut picker = Picker::new(PickerConfig { policy, ..PickerConfig::default() });
            let mut entropy = SplitMix64::new(seed);
            [0; 5].map(|_| picker.pick(&facts, &view, &mut entropy))
        };
        prop_assert_eq!(decide(), decide());
    }

    #[test]
    fn the_ladder_never_rises_and_never_jumps(
        fresh_ms in 0u64..100_000, span in 1u64..100_000, age in 0u64..300_000, step in 0u64..50,
    ) {
        let ladder = Ladder::new(fresh_ms, fresh_ms + span).unwrap();
        let (young, old) = (ladder.weight(age), ladder.weight(age + step));
        prop_assert!((0.0..=1.0).contains(&young));
        prop_assert!(old <= young, "weight rose with age");
        let steepest = step as f32 / span as f32;
        prop_assert!(young - old <= steepest + 1e-4, "weight fell by {}", young - old);
    }

    #[test]
    fn time_may_run_anywhere(now: u64, taken_at: u64) {
        let ladder = Ladder::default();
        let signal = Signal::new((), Millis(taken_at));
        let weight = ladder.trust(Some(&signal), Millis(now));
        let expected = match now.checked_sub(taken_at) {
            None => 1.0,
            Some(age_ms) => ladder.weight(age_ms),
        };
        prop_assert_eq!(weight, expected);
    }

    #[test]
    fn any_split_of_a_prompt_gives_the_same_hashes(
        prompt in vec(any::<u8>(), 0..2_000), cuts in vec(0usize..2_000, 0..8),
        block_bytes in 1usize..300, limit in 0usize..2_500,
    ) {
        let whole = {
            let mut hasher = PrefixHasher::new(&[b"pool"], block_bytes).with_limit(limit);
            hasher.update(&prompt);
            hasher.finish()
        };
        prop_assert_eq!(whole.len(), prompt.len().min(limit) / block_bytes);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(prompt.len())).collect();
        cuts.sort_unstable();
        let mut hasher = PrefixHasher::new(&[b"pool"], block_bytes).with_limit(limit);
        let mut from = 0;
        for cut in cuts.into_iter().chain([prompt.len()]) {
            hasher.update(&prompt[from..cut]);
            from = cut;
        }
        prop_assert_eq!(hasher.finish(), whole);
    }
}
