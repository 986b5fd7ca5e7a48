//! Time of the prefix index, printed as `insert_64 match_none match_all` in microseconds: noting a
//! prompt of 64 blocks, and matching one against 100 endpoints when none holds it and when ten hold
//! all of it.
//!
//! Built for wasm32-wasip1 and run in V8 by `make bench-prefix`; runs natively too.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench is a program of its own; a broken scene should stop it"
)]

use std::{hint::black_box, time::Instant};

use picker::{
    Decision, Endpoint, EndpointId, Entropy, Millis, Picker, PickerConfig, PoolView, Reason,
    RequestFacts, SplitMix64,
    policy::{Policy, Round},
};

const ENDPOINTS: u8 = 100;
const BLOCKS: usize = 64;
/// Prompts that are rotated through, so that caches and branches see new ones.
const PROMPTS: usize = 256;
const ROUNDS: usize = 41;
const CALLS: usize = 4_096;

/// Looks at the matches, or not, and does nothing else.
struct Idle {
    wants_prefix: bool,
}

impl Policy for Idle {
    fn decide(&mut self, round: &Round<'_>, _: &mut dyn Entropy) -> Decision {
        black_box(round.matched);
        Decision::none(Reason::Blind)
    }

    fn wants_prefix(&self) -> bool {
        self.wants_prefix
    }
}

fn main() {
    let mut entropy = SplitMix64::new(9);
    let endpoints: Vec<Endpoint> = (0..ENDPOINTS)
        .map(|host| {
            let mut endpoint = Endpoint::new(EndpointId {
                address: ([10, 0, 0, host], 8000).into(),
                generation: 0,
            });
            endpoint.signals.kv_block_size = Some(16);
            endpoint.signals.kv_blocks = Some(27_000);
            endpoint
        })
        .collect();
    let view = PoolView {
        endpoints: &endpoints,
        local: &[],
        now: Millis(0),
    };
    let mut prompts = || -> Vec<RequestFacts> {
        (0..PROMPTS)
            .map(|_| RequestFacts {
                prefix: (0..BLOCKS).map(|_| entropy.next_u64()).collect(),
                ..RequestFacts::default()
            })
            .collect()
    };
    let (known, unknown) = (prompts(), prompts());
    let mut looking = scene(true, &view, &known);
    let mut blind = scene(false, &view, &known);

    let mut turn = 0;
    let mut next = |prompts: &[RequestFacts]| {
        turn = (turn + 1) % PROMPTS;
        (turn, prompts[turn].clone())
    };
    let clone = best_us(|| drop(black_box(next(&known))));
    let insert = best_us(|| {
        let (at, facts) = next(&known);
        looking.dispatched(&facts, endpoints[at % endpoints.len()].id);
    });
    let mut pick = |picker: &mut Picker, prompts: &[RequestFacts]| {
        best_us(|| {
            let (_, facts) = next(prompts);
            black_box(picker.pick(&facts, &view, &mut SplitMix64::new(1)));
        })
    };
    let none = pick(&mut looking, &unknown);
    let all = pick(&mut looking, &known);
    let without = pick(&mut blind, &known);
    println!(
        "{:.3} {:.3} {:.3}",
        insert - clone,
        none - without,
        all - without
    );
}

/// A picker in whose index every endpoint holds other prompts and ten each one of `known`.
fn scene(wants_prefix: bool, view: &PoolView<'_>, known: &[RequestFacts]) -> Picker {
    let mut picker = Picker::with_policy(PickerConfig::default(), Box::new(Idle { wants_prefix }));
    let mut entropy = SplitMix64::new(4);
    picker.pick(&RequestFacts::default(), view, &mut entropy);
    for endpoint in view.endpoints {
        for _ in 0..5_000 / BLOCKS {
            let facts = RequestFacts {
                prefix: (0..BLOCKS).map(|_| entropy.next_u64()).collect(),
                ..RequestFacts::default()
            };
            picker.dispatched(&facts, endpoint.id);
        }
    }
    for facts in known {
        for _ in 0..10 {
            let at = entropy.below(view.endpoints.len());
            picker.dispatched(facts, view.endpoints[at].id);
        }
    }
    picker
}

/// Microseconds per call in the fastest round: neighbours on the machine only ever add time.
fn best_us(mut call: impl FnMut()) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        (0..CALLS).for_each(|_| call());
        start.elapsed().as_secs_f64() * 1e6 / CALLS as f64
    });
    rounds.fold(f64::INFINITY, f64::min)
}
