//! What is declared, and which pod has what of it. Shared by the pods' tasks and by whoever computes
//! weights.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use crate::{
    config::PoolAdapters,
    index::{Pod, TargetId},
};

/// An adapter that was drawn is not unloaded before this time has passed: gateways take a new policy
/// within a second, and requests that were drawn before are on their way.
const DRAWN_LATELY: Duration = Duration::from_secs(5);

/// After this time what pods have not told is taken for what they have not: one that never lists its
/// models must not keep a pool without a policy.
const SETTLES_WITHIN: Duration = Duration::from_secs(10);

/// The state of all pools with a declaration.
#[derive(Debug)]
pub struct Board {
    pools: Mutex<BTreeMap<Arc<str>, PoolBoard>>,
    /// Counts changes of what is ready.
    changes: watch::Sender<u64>,
    declared: watch::Sender<Arc<Vec<PoolAdapters>>>,
}

#[derive(Debug)]
struct PoolBoard {
    since: Instant,
    /// Whether its pods were told once.
    followed: bool,
    wanted: Arc<PoolAdapters>,
    /// Every adapter that was declared present since the start of the process.
    ours: BTreeSet<Arc<str>>,
    /// When an adapter could last be drawn.
    drawn: BTreeMap<Arc<str>, Instant>,
    pods: HashMap<TargetId, PodBoard>,
}

#[derive(Debug)]
struct PodBoard {
    pod: Pod,
    /// The models that it listed last, adapters or not; `None` before the first answer.
    listed: Option<Vec<Arc<str>>>,
}

/// What a pod's task needs to know.
#[derive(Debug)]
pub(super) struct Orders {
    pub(super) wanted: Arc<PoolAdapters>,
    pub(super) ours: BTreeSet<Arc<str>>,
    pub(super) in_use: BTreeSet<Arc<str>>,
    /// Whether the engine answers scrapes, so that it can be asked.
    pub(super) ready: bool,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            pools: Mutex::default(),
            changes: watch::Sender::new(0),
            declared: watch::Sender::default(),
        }
    }
}

impl Board {
    /// Takes a declaration in place of the one before. What was declared present before is unloaded
    /// from now on, unless its whole pool is no longer declared.
    pub fn declare(&self, declared: &[PoolAdapters]) {
        if **self.declared.borrow() == declared {
            return;
        }
        let mut pools = self.pools();
        pools.retain(|pool, _| declared.iter().any(|wanted| wanted.pool == *pool));
        for wanted in declared {
            let names = wanted
                .present
                .iter()
                .map(|adapter| Arc::clone(&adapter.name));
            let wanted = Arc::new(wanted.clone());
            let board = pools
                .entry(Arc::clone(&wanted.pool))
                .or_insert_with(|| PoolBoard {
                    since: Instant::now(),
                    followed: false,
                    wanted: Arc::clone(&wanted),
                    ours: BTreeSet::new(),
                    drawn: BTreeMap::new(),
                    pods: HashMap::new(),
                });
            board.ours.extend(names);
            board.wanted = wanted;
        }
        drop(pools);
        self.declared.send_replace(Arc::new(declared.to_vec()));
        self.changed();
    }

    /// The declaration in force.
    #[must_use]
    pub fn declaration(&self) -> Arc<Vec<PoolAdapters>> {
        Arc::clone(&self.declared.borrow())
    }

    /// Follows the declaration.
    pub(super) fn declared(&self) -> watch::Receiver<Arc<Vec<PoolAdapters>>> {
        self.declared.subscribe()
    }

    /// Takes the pods of a pool.
    pub(super) fn set_pods(&self, pool: &str, pods: &[Pod]) {
        let mut pools = self.pools();
        let Some(board) = pools.get_mut(pool) else {
            return;
        };
        let mut changed = !board.followed;
        board.followed = true;
        board.pods.retain(|target, _| {
            let stays = pods.iter().any(|pod| pod.target == *target);
            changed |= !stays;
            stays
        });
        for pod in pods {
            let entry = board.pods.entry(pod.target).or_insert_with(|| PodBoard {
                pod: pod.clone(),
                listed: None,
            });
            if entry.pod.life != pod.life {
                // Another process, with other adapters.
                entry.listed = None;
            }
            changed |= entry.pod != *pod;
            entry.pod = pod.clone();
        }
        drop(pools);
        if changed {
            self.changed();
        }
    }

    /// Takes what a pod listed.
    pub(super) fn listed(&self, pool: &str, target: TargetId, models: Vec<Arc<str>>) {
        let mut pools = self.pools();
        let Some(pod) = pools
            .get_mut(pool)
            .and_then(|board| board.pods.get_mut(&target))
        else {
            return;
        };
        let models = Some(models);
        if pod.listed == models {
            return;
        }
        pod.listed = models;
        drop(pools);
        self.changed();
    }

    pub(super) fn orders(&self, pool: &str, target: TargetId) -> Option<Orders> {
        let pools = self.pools();
        let board = pools.get(pool)?;
        let lately = |at: &&Instant| at.elapsed() < DRAWN_LATELY;
        let drawn = board.drawn.iter();
        Some(Orders {
            wanted: Arc::clone(&board.wanted),
            ours: board.ours.clone(),
            in_use: drawn
                .filter(|(_, at)| lately(at))
                .map(|(name, _)| Arc::clone(name))
                .collect(),
            ready: board.pods.get(&target)?.pod.ready,
        })
    }

    /// Whether a pod has everything that it shall have.
    pub(super) fn complete(&self, pool: &str, target: TargetId) -> bool {
        let pools = self.pools();
        let Some(board) = pools.get(pool) else {
            return true;
        };
        let listed = board.pods.get(&target).and_then(|pod| pod.listed.as_ref());
        listed.is_some_and(|listed| {
            let mut present = board.wanted.present.iter();
            present.all(|adapter| listed.contains(&adapter.name))
        })
    }

    /// Notes which adapters requests can be rewritten to at the moment. To be repeated as long as
    /// that is so.
    pub fn note_drawn(&self, pool: &str, names: &BTreeSet<Arc<str>>) {
        if let Some(board) = self.pools().get_mut(pool) {
            let now = Instant::now();
            board.drawn.retain(|_, at| at.elapsed() < DRAWN_LATELY);
            for name in names {
                board.drawn.insert(Arc::clone(name), now);
            }
        }
    }

    /// Whether requests of a pool may be rewritten to `name`. An adapter that was ever declared must be
    /// listed by at least the declared share of the pool's ready pods, any other model by one of them.
    /// Pods that wait for their adapters do not count, as they get no requests.
    #[must_use]
    pub fn is_ready(&self, pool: &str, name: &str) -> bool {
        let pools = self.pools();
        let Some(board) = pools.get(pool) else {
            return true;
        };
        let (mut ready, mut told, mut having) = (0_u32, 0_u32, 0_u32);
        for pod in board.pods.values() {
            if pod.pod.ready && !pod.pod.held {
                ready += 1;
                told += u32::from(pod.listed.is_some());
                let mut listed = pod.listed.iter().flatten();
                having += u32::from(listed.any(|model| **model == *name));
            }
        }
        let mut absent = board.wanted.absent.iter();
        let declared = board.ours.contains(name) || absent.any(|absent| **absent == *name);
        if declared {
            having > 0 && f64::from(having) >= board.wanted.ready_share * f64::from(ready)
        } else {
            // Where no pod tells what it has, nothing speaks against it.
            having > 0 || told == 0
        }
    }

    /// Whether adapters are declared for any pool.
    #[must_use]
    pub fn is_used(&self) -> bool {
        !self.declared.borrow().is_empty()
    }

    /// Whether it is known of every pod what it has, so that [`Board::is_ready`] knows what it says;
    /// or a pool has had the time for that.
    #[must_use]
    pub fn is_settled(&self, pool: &str) -> bool {
        self.pools().get(pool).is_none_or(|board| {
            let told = |pod: &PodBoard| match &pod.listed {
                Some(_) => true,
                // One that was never scraped may have anything; one that is not well gets nothing.
                None => !pod.pod.ready && pod.pod.life != 0,
            };
            let all_told = board.followed && board.pods.values().all(told);
            all_told || board.since.elapsed() >= SETTLES_WITHIN
        })
    }

    /// Follows changes of what is ready.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn changed(&self) {
        self.changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn pools(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, PoolBoard>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
