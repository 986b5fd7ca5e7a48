//! Threads of which only one runs at a time, and a seed that says which.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a fault of the scheduler is a fault of the test"
)]

use std::sync::{
    Arc, Condvar, Mutex,
    atomic::{AtomicBool, Ordering},
};

use picker::{Entropy, Millis, SplitMix64};

use super::world::World;

/// Steps take 0 to 100 microseconds.
const STEP_US: usize = 100;

struct Turn {
    current: usize,
    alive: Vec<bool>,
    steps: u64,
    random: SplitMix64,
    micros: u64,
}

pub(crate) struct Scheduler {
    turn: Mutex<Turn>,
    places: Vec<Condvar>,
    over: AtomicBool,
    limit: u64,
    world: Arc<Mutex<World>>,
    start: Millis,
}

impl Scheduler {
    pub(crate) fn new(seed: u64, threads: usize, limit: u64, world: &Arc<Mutex<World>>) -> Self {
        let start = world.lock().unwrap().now;
        Self {
            turn: Mutex::new(Turn {
                current: 0,
                alive: vec![true; threads],
                steps: 0,
                random: SplitMix64::new(seed),
                micros: 0,
            }),
            places: (0..threads).map(|_| Condvar::new()).collect(),
            over: AtomicBool::new(false),
            limit,
            world: Arc::clone(world),
            start,
        }
    }

    /// Waits for the first turn of thread `own`.
    pub(crate) fn enter(&self, own: usize) -> Running<'_> {
        self.wait(own);
        Running {
            scheduler: self,
            own,
        }
    }

    fn wait(&self, own: usize) {
        let turn = self.turn.lock().unwrap();
        let waits = |turn: &mut Turn| turn.current != own;
        drop(self.places[own].wait_while(turn, waits).unwrap());
    }

    /// Thread `own` has done one step: time goes on, and somebody is drawn to take the next.
    pub(crate) fn step(&self, own: usize) {
        let mut turn = self.turn.lock().unwrap();
        turn.steps += 1;
        turn.micros += turn.random.below(STEP_US) as u64;
        self.world.lock().unwrap().now = self.start.plus(turn.micros / 1_000);
        if turn.steps >= self.limit {
            self.over.store(true, Ordering::Relaxed);
        }
        let next = self.draw(&mut turn);
        drop(turn);
        if next != own {
            self.places[next].notify_one();
            self.wait(own);
        }
    }

    fn draw(&self, turn: &mut Turn) -> usize {
        let alive: Vec<usize> = (0..turn.alive.len()).filter(|at| turn.alive[*at]).collect();
        if !alive.is_empty() {
            turn.current = alive[turn.random.below(alive.len())];
        }
        turn.current
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// A thread that takes part; gives its turn away for good when it ends, however it ends.
pub(crate) struct Running<'a> {
    scheduler: &'a Scheduler,
    own: usize,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut turn = match self.scheduler.turn.lock() {
            Ok(turn) => turn,
            Err(poisoned) => poisoned.into_inner(),
        };
        if std::thread::panicking() {
            self.scheduler.over.store(true, Ordering::Relaxed);
        }
        turn.alive[self.own] = false;
        let next = self.scheduler.draw(&mut turn);
        drop(turn);
        self.scheduler.places[next].notify_one();
    }
}
