//! How many requests a second one worker queues and dispatches, and what admission costs a request when the
//! pool is not full: prints both, a line each.
//!
//! The first: the pool of ten endpoints is full and a thousand requests of three priorities and ten tenants wait. For
//! every request that comes, a first token comes as well: the request is queued, room is freed, the worker
//! is woken, plans with the cost picker, claims and dispatches. The second: a request that comes, goes at
//! once and ends, less what a pick and its count take without admission. Shared data is memory here; what
//! Envoy takes for its calls is measured on Envoy.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is a bench"
)]

#[path = "../tests/world/mod.rs"]
mod world;

use std::{collections::VecDeque, time::Instant};

use admission::{Admission, AdmissionConfig, Arrival, Arrived, Dispatch, Effect, Site as _};
use picker::{Entropy, Millis, Picker, PickerConfig, Priority, SplitMix64, freshness::Ladder};
use world::{Held, Worker, World};

const WAITING: usize = 1_000;
const PROMPT_TOKENS: u64 = 200;
const ROUND: u64 = 2_000;
const ROUNDS: u32 = 40;

struct Bench {
    site: Worker,
    admission: Admission<Held>,
    random: SplitMix64,
    number: u64,
    sent: VecDeque<Dispatch<Held>>,
}

impl Bench {
    fn new() -> Self {
        let world = World::new(10);
        let picker = Picker::new(PickerConfig::default());
        let mut bench = Self {
            site: Worker::with_picker(&world, 1, picker),
            admission: Admission::new(AdmissionConfig::default(), Ladder::default(), 1),
            random: SplitMix64::new(4),
            number: 0,
            sent: VecDeque::new(),
        };
        while bench.admission.queue().len() < WAITING {
            bench.arrives();
        }
        bench
    }

    fn arrives(&mut self) {
        self.number += 1;
        let arrival = Arrival {
            priority: Priority(self.random.below(3) as i32),
            flow: self.random.below(10) as u64,
            tokens: 400,
            bytes: 800,
            ..Arrival::default()
        };
        let now = self.site.tell_time();
        let held = Held::new(self.number, PROMPT_TOKENS);
        match self.admission.arrive(&mut self.site, now, &arrival, held) {
            Arrived::Go(dispatch) => self.sent.push_back(dispatch),
            Arrived::Held(_) => {}
            other => panic!("{other:?}"),
        }
    }

    /// The oldest request ends, and whoever waits goes.
    fn frees(&mut self) {
        let now = self.site.tell_time();
        let Some(oldest) = self.sent.pop_front() else {
            return;
        };
        let tokens = oldest.decision.estimate().prompt_tokens;
        self.site.ended(oldest.endpoint, tokens, true);
        self.admission.freed(&mut self.site, now);
        if !self.site.is_woken() {
            return;
        }
        for effect in self.admission.woken(&mut self.site, now) {
            if let Effect::Dispatch(dispatch) = effect {
                self.sent.push_back(dispatch);
            }
        }
    }
}

/// Seconds that each of a round's steps takes, in the best of many rounds.
fn best(mut step: impl FnMut()) -> f64 {
    let round = |_| {
        let started = Instant::now();
        (0..ROUND).for_each(|_| step());
        started.elapsed().as_secs_f64() / ROUND as f64
    };
    (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min)
}

fn queue_and_dispatch() -> f64 {
    let mut bench = Bench::new();
    let best = best(|| {
        bench.arrives();
        bench.frees();
    });
    let waiting = bench.admission.queue().len();
    assert!(
        (WAITING / 2..WAITING * 2).contains(&waiting),
        "as many went as came: {waiting} wait"
    );
    best
}

/// A worker before ten endpoints, of which nobody else asks anything.
fn idle() -> Worker {
    Worker::with_picker(&World::new(10), 1, Picker::new(PickerConfig::default()))
}

/// Enough time passes that what was read of shared data is read anew.
fn a_while(site: &mut Worker) -> Millis {
    site.world.lock().unwrap().now.0 += 10;
    site.tell_time()
}

fn picked() -> f64 {
    let mut site = idle();
    best(|| {
        a_while(&mut site);
        let held = Held::new(1, PROMPT_TOKENS);
        let decision = site.consider(&held);
        let endpoint = site.view().endpoints[decision.first().unwrap()].id;
        let estimate = decision.estimate();
        site.begin(endpoint, estimate);
        a_while(&mut site);
        site.ended(endpoint, estimate.prompt_tokens, true);
    })
}

fn admitted() -> f64 {
    let mut site = idle();
    let mut admission = Admission::new(AdmissionConfig::default(), Ladder::default(), 1);
    best(|| {
        let now = a_while(&mut site);
        let arrival = Arrival {
            tokens: 400,
            bytes: 800,
            ..Arrival::default()
        };
        let held = Held::new(1, PROMPT_TOKENS);
        let Arrived::Go(sent) = admission.arrive(&mut site, now, &arrival, held) else {
            panic!("there is room");
        };
        let now = a_while(&mut site);
        site.ended(sent.endpoint, sent.decision.estimate().prompt_tokens, true);
        admission.freed(&mut site, now);
    })
}

fn main() {
    println!("ops_per_s {:.0}", 1.0 / queue_and_dispatch());
    println!("idle_us {:.3}", (admitted() - picked()) * 1e6);
}
