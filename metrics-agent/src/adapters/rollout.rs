//! One keeper for each pod of each pool with a declaration, and the pods that wait for theirs.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    task::AbortHandle,
    time::{Instant, MissedTickBehavior, interval},
};
use tracing::{info, warn};

use super::{AdapterClient, Board, pod::Keeper};
use crate::{
    config::PoolAdapters,
    hub::Hub,
    index::{Pod, TargetId},
    scrape::{ClientConfig, ScrapeClient},
};

/// How often the pods are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// A pod that answers scrapes waits so long for its adapters before it gets requests without.
const WAITS_AT_MOST: Duration = Duration::from_secs(60);
/// Loads and unloads at a time: they make engines slower, and may all read from one store.
const LANES: usize = 4;
/// For a list of models, which a busy engine answers late.
const LIST: Duration = Duration::from_secs(5);

type Key = (Arc<str>, TargetId);

/// Rolls out what is declared.
#[derive(Debug)]
pub struct Rollout {
    hub: Arc<Hub>,
    board: Arc<Board>,
    lists: ScrapeClient,
    steps: AdapterClient,
    lanes: Arc<Semaphore>,
    keepers: HashMap<Key, AbortHandle>,
    /// Since when a pod waits although it answers scrapes.
    waiting: HashMap<Key, Instant>,
}

impl Rollout {
    /// A roll-out to the pods of `hub`; must be made inside a tokio runtime.
    #[must_use]
    pub fn new(hub: Arc<Hub>) -> Self {
        let config = ClientConfig {
            connect_timeout: Duration::from_secs(1),
            timeout: LIST,
            ..ClientConfig::default()
        };
        Self {
            board: Arc::clone(&hub.adapters),
            lists: ScrapeClient::new(config).with_api_key(hub.api_key.clone()),
            steps: AdapterClient::new(hub.api_key.clone()),
            hub,
            lanes: Arc::new(Semaphore::new(LANES)),
            keepers: HashMap::new(),
            waiting: HashMap::new(),
        }
    }

    /// Follows declarations and pods, for ever.
    pub async fn run(mut self) {
        let mut declared = self.board.declared();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut wanted = Arc::clone(&declared.borrow_and_update());
        self.hold(&wanted);
        loop {
            tokio::select! {
                changed = declared.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    wanted = Arc::clone(&declared.borrow_and_update());
                    self.hold(&wanted);
                }
                _ = look.tick(), if !(wanted.is_empty() && self.keepers.is_empty()) => {
                    self.follow(&wanted);
                }
            }
        }
    }

    /// Pods that join a pool with adapters wait for them.
    fn hold(&self, wanted: &[PoolAdapters]) {
        let pools = wanted.iter().filter(|wanted| !wanted.present.is_empty());
        let pools = pools.map(|wanted| wanted.pool.to_string());
        self.hub.set_holding(pools.collect());
    }

    fn follow(&mut self, wanted: &[PoolAdapters]) {
        let mut keys = HashSet::new();
        for pool in wanted.iter().map(|wanted| &wanted.pool) {
            let pods = self.hub.index().pods(pool);
            self.board.set_pods(pool, &pods);
            for pod in pods {
                let key = (Arc::clone(pool), pod.target);
                if pod.held && pod.ready {
                    self.attend(&key, &pod);
                } else {
                    self.waiting.remove(&key);
                }
                if !self.keepers.contains_key(&key) {
                    let keeper = self.keeper(pool, &pod);
                    self.keepers
                        .insert(key.clone(), tokio::spawn(keeper.run()).abort_handle());
                }
                keys.insert(key);
            }
        }
        self.keepers.retain(|key, keeper| {
            let stays = keys.contains(key);
            if !stays {
                keeper.abort();
            }
            stays
        });
        self.waiting.retain(|key, _| keys.contains(key));
    }

    /// Lets a waiting pod join when it has its adapters, or has waited long enough.
    fn attend(&mut self, key: &Key, pod: &Pod) {
        let since = *self.waiting.entry(key.clone()).or_insert_with(Instant::now);
        let (pool, endpoint) = (&*key.0, pod.address);
        if self.board.complete(pool, pod.target) {
            info!(pool, %endpoint, "endpoint joins with its adapters");
        } else if since.elapsed() >= WAITS_AT_MOST {
            warn!(pool, %endpoint, "endpoint joins without all its adapters");
        } else {
            return;
        }
        self.hub.release(pool, pod.target);
        self.waiting.remove(key);
    }

    fn keeper(&self, pool: &Arc<str>, pod: &Pod) -> Keeper {
        Keeper {
            pool: Arc::clone(pool),
            target: pod.target,
            address: pod.address,
            board: Arc::clone(&self.board),
            hub: Arc::clone(&self.hub),
            lists: self.lists.clone(),
            steps: self.steps.clone(),
            lanes: Arc::clone(&self.lanes),
        }
    }
}

impl Drop for Rollout {
    fn drop(&mut self) {
        self.keepers.values().for_each(AbortHandle::abort);
    }
}
