//! Time of the prefix index, printed as `insert_64 match_none match_all` in microseconds: noting a
//! new prompt of 64 blocks, and matching one against 100 endpoints when none holds it and when ten hold
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
    let none = pick_us(&mut looking, &view, || next(&unknown).1);
    let all = pick_us(&mut looking, &view, || next(&known).1);
    let without = pick_us(&mut blind, &view, || next(&known).1);

    let mut salt = SplitMix64::new(6);
    let mut fresh = || {
        let (at, mut facts) = next(&unknown);
        let salt = salt.next_u64();
        facts.prefix.iter_mut().for_each(|hash| *hash ^= salt);
        (endpoints[at % endpoints.len()].id, facts)
    };
    let making = best_us(|| drop(black_box(fresh())));
    let insert = best_us(|| {
        let (endpoint, facts) = fresh();
        looking.dispatched(&facts, endpoint);
    });
    let insert = insert - making;
    println!("{insert:.3} {:.3} {:.3}", none - without, all - without);
}

/// The time of a pick that decides nothing.
fn pick_us(
    picker: &mut Picker,
    view: &PoolView<'_>,
    mut next: impl FnMut() -> RequestFacts,
) -> f64 {
    best_us(|| {
        black_box(picker.pick(&next(), view, &mut SplitMix64::new(1)));
    })
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
