//! How many requests a second one worker queues and dispatches: prints that number.
//!
//! The pool of ten endpoints is full and a thousand requests of three priorities and ten tenants wait. For
//! every request that comes, a first token comes as well: the request is queued, room is freed, the worker
//! is woken, plans with the cost picker, claims and dispatches. Shared data is memory here; what Envoy
//! takes for its calls is measured on Envoy.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "this is a bench"
)]

#[path = "../tests/world/mod.rs"]
mod world;

use std::{collections::VecDeque, time::Instant};

use admission::{Admission, AdmissionConfig, Arrival, Arrived, Dispatch, Effect};
use picker::{Entropy, Picker, PickerConfig, Priority, SplitMix64, freshness::Ladder};
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

fn main() {
    let mut bench = Bench::new();
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for _ in 0..ROUND {
            bench.arrives();
            bench.frees();
        }
        best = best.min(started.elapsed().as_secs_f64() / ROUND as f64);
    }
    let waiting = bench.admission.queue().len();
    assert!(
        (WAITING / 2..WAITING * 2).contains(&waiting),
        "as many went as came: {waiting} wait"
    );
    println!("{:.0}", 1.0 / best);
}
