//! What is remembered of each endpoint: its load over ten minutes, its counters over one; and of each pool
//! what its gateways refused over one.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use picker::Millis;

use crate::index::{PoolView, Tallies, TargetId};

/// Columns of the history.
pub const BUCKETS: usize = 120;
/// Seconds that one stands for: ten minutes together.
pub const BUCKET_SECONDS: u64 = 5;

const BUCKET_MS: u64 = BUCKET_SECONDS * 1_000;
/// Counters are compared with those of a minute ago.
const WINDOW: usize = 60_000 / BUCKET_MS as usize;
/// Twentieths of saturation, in one digit of base 36.
const MOST: u32 = 35;
const STEPS: f32 = 20.0;
const UNKNOWN: char = '-';

/// The memory of all endpoints and pools. Pure: it is told the time.
#[derive(Debug, Default)]
pub struct Memory {
    bucket: u64,
    targets: BTreeMap<TargetId, Trace>,
    /// How many requests had been refused at the beginning of each bucket of the window, by pool.
    sheds: BTreeMap<Arc<str>, VecDeque<u64>>,
}

/// What is remembered of one endpoint.
#[derive(Debug, Default)]
struct Trace {
    /// Greatest saturation of each bucket, the latest last.
    load: VecDeque<Option<f32>>,
    /// What the engine had counted at the beginning of each bucket of the window.
    counted: VecDeque<(Millis, Tallies)>,
    latest: (Millis, Tallies),
    life: u64,
}

/// What an endpoint did in the last minute.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Minute {
    /// Finished requests; `None` when the engine does not count them, or not for long enough.
    pub finished: Option<f64>,
    /// Over how many seconds.
    pub seconds: f64,
    /// Part of its prompt tokens that were cached, 0 to 1; `None` when there were none.
    pub prefix_hits: Option<f32>,
}

impl Memory {
    /// Takes what is known now; to be called about once a second.
    pub fn observe(&mut self, pools: &[PoolView], now: Millis) {
        let bucket = now.0 / BUCKET_MS;
        let steps = bucket.saturating_sub(self.bucket).min(BUCKETS as u64);
        self.bucket = bucket;
        let mut there = BTreeSet::new();
        for endpoint in pools.iter().flat_map(|pool| &pool.endpoints) {
            if !there.insert(endpoint.target) {
                continue;
            }
            let trace = self.targets.entry(endpoint.target).or_default();
            if let Some(latest) = &endpoint.latest {
                trace.count(latest.life, (latest.at, latest.tallies), steps > 0);
            }
            trace.see(endpoint.saturation(now), steps);
        }
        self.targets.retain(|target, _| there.contains(target));
        self.count_sheds(pools, steps > 0);
    }

    fn count_sheds(&mut self, pools: &[PoolView], new_bucket: bool) {
        let mut before = std::mem::take(&mut self.sheds);
        for pool in pools {
            let mut counted = before.remove(&pool.name).unwrap_or_default();
            let total = pool.sheds.total;
            // A pool that went and came back between two looks counts from zero.
            if counted.back().is_some_and(|last| *last > total) {
                counted.clear();
            }
            if counted.is_empty() || new_bucket {
                counted.push_back(total);
            }
            while counted.len() > WINDOW {
                counted.pop_front();
            }
            self.sheds.insert(Arc::clone(&pool.name), counted);
        }
    }

    /// Numbers the latest bucket.
    #[must_use]
    pub const fn bucket(&self) -> u64 {
        self.bucket
    }

    /// The load of an endpoint, a character a bucket, the latest last (see
    /// [`super::PodStatus::load`]); at most the last `buckets` of them.
    #[must_use]
    pub fn load(&self, target: TargetId, buckets: usize) -> String {
        let Some(trace) = self.targets.get(&target) else {
            return String::new();
        };
        let skipped = trace.load.len().saturating_sub(buckets);
        trace
            .load
            .iter()
            .skip(skipped)
            .copied()
            .map(digit)
            .collect()
    }

    /// How many of a pool's requests gateways refused in the last minute.
    #[must_use]
    pub fn sheds(&self, pool: &PoolView) -> u64 {
        let since = self.sheds.get(&pool.name).and_then(VecDeque::front);
        // A pool that was never looked at is new.
        let before = since.copied().unwrap_or_default();
        pool.sheds.total.saturating_sub(before)
    }

    /// What an endpoint did in the last minute.
    #[must_use]
    pub fn minute(&self, target: TargetId) -> Minute {
        let trace = self.targets.get(&target);
        trace.map(Trace::minute).unwrap_or_default()
    }
}

impl Trace {
    fn see(&mut self, load: Option<f32>, steps: u64) {
        for _ in 0..steps {
            self.load.push_back(None);
        }
        while self.load.len() > BUCKETS {
            self.load.pop_front();
        }
        match (self.load.back_mut(), load) {
            (Some(last), Some(load)) => *last = Some(last.unwrap_or(0.0).max(load)),
            (Some(_), None) => {}
            (None, load) => self.load.push_back(load),
        }
    }

    fn count(&mut self, life: u64, latest: (Millis, Tallies), new_bucket: bool) {
        if self.life != life {
            // Another process counts from zero.
            self.life = life;
            self.counted.clear();
        }
        self.latest = latest;
        if self.counted.is_empty() || new_bucket {
            self.counted.push_back(latest);
        }
        while self.counted.len() > WINDOW {
            self.counted.pop_front();
        }
    }

    fn minute(&self) -> Minute {
        let Some((since, before)) = self.counted.front() else {
            return Minute::default();
        };
        let (at, latest) = &self.latest;
        let elapsed = at.since(*since);
        if elapsed < BUCKET_MS {
            return Minute::default();
        }
        let grown = |count: fn(&Tallies) -> Option<f64>| {
            let grown = count(latest)? - count(before)?;
            (grown >= 0.0).then_some(grown)
        };
        let prompts = grown(|tallies| tallies.prompt_tokens).filter(|prompts| *prompts > 0.0);
        let cached = grown(|tallies| tallies.cached_tokens);
        Minute {
            finished: grown(|tallies| tallies.finished),
            seconds: elapsed as f64 / 1e3,
            prefix_hits: prompts
                .zip(cached)
                .map(|(prompts, cached)| (cached / prompts).clamp(0.0, 1.0) as f32),
        }
    }
}

fn digit(load: Option<f32>) -> char {
    let steps = load.map(|load| ((load * STEPS).round() as u32).min(MOST));
    steps
        .and_then(|steps| char::from_digit(steps, MOST + 1))
        .unwrap_or(UNKNOWN)
}
