//! The one place where discovery, scheduler, gateways and admin meet.
//!
//! ```text
//!   discovery --members--+             +--> published (watch) --> gateway streams
//!   scheduler --outcome--+--> Index ---+
//!   resources --policies--> Catalogue -+--> policies (watch) ---> gateway streams
//!   gateways ---loads----+             +--> views --> admin
//! ```
//!
//! A mutex around the index rather than an actor: every critical section is short and pure, and a
//! scrape ends with one lock instead of a message and a wake-up.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use picker::Millis;
use pool_state::{
    convert::{Report, Sheds},
    policy::Policy,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};

use crate::{
    adapters::Board,
    api_key::ApiKey,
    clock::Clock,
    index::{Index, Membership, Observation, Publication, TargetId},
    resources::{Catalogue, ModelList, Policies},
    telemetry::Telemetry,
};

/// The least time between two publications: changes that come closer together travel as one
/// message. A lone change is published at once.
pub const COALESCE: Duration = Duration::from_millis(12);

/// How often it is noted again what can be drawn.
const REPEAT_DRAWN: Duration = Duration::from_secs(1);

/// The least time between two publications for the sake of adapters.
const AFTER_ADAPTERS: Duration = Duration::from_millis(50);

/// How long the first policies of an agent that has started wait for the endpoints' lists of models.
const FIRST_LISTS: Duration = Duration::from_secs(1);

/// Every configured pool with its last publication; `None` while it is withheld.
pub type Published = BTreeMap<Arc<str>, Option<Arc<Publication>>>;

/// A gateway that is connected.
#[derive(Debug, Clone)]
pub struct Connected {
    /// What it calls itself.
    pub id: Arc<str>,
    /// The pools that it asked for.
    pub pools: Vec<Arc<str>>,
    /// When it introduced itself.
    pub since: Millis,
    /// When anything came from it last.
    pub heard: Millis,
}

/// What all parts of the agent share.
#[derive(Debug)]
pub struct Hub {
    /// The agent's clock.
    pub clock: Clock,
    /// The agent's metrics about itself.
    pub telemetry: Arc<Telemetry>,
    /// Which adapters are rolled out, and how far.
    pub adapters: Arc<Board>,
    /// What engines are told with every request, if they ask for it.
    pub api_key: ApiKey,
    index: Mutex<Index>,
    dirty: Notify,
    followers: watch::Sender<usize>,
    published: watch::Sender<Arc<Published>>,
    catalogue: Mutex<Catalogue>,
    policies: watch::Sender<Arc<Policies>>,
    /// By stream.
    gateways: Mutex<BTreeMap<u64, Connected>>,
    agent_id: String,
}

/// A gateway that follows this agent.
#[derive(Debug)]
pub struct Follower<'a>(&'a watch::Sender<usize>);

impl Drop for Follower<'_> {
    fn drop(&mut self) {
        self.0.send_if_modified(|count| {
            *count = count.saturating_sub(1);
            *count == 0
        });
    }
}

impl Hub {
    /// A hub without pools.
    #[must_use]
    pub fn new(clock: Clock, index: Index, telemetry: Arc<Telemetry>) -> Self {
        Self {
            clock,
            telemetry,
            adapters: Arc::default(),
            api_key: ApiKey::default(),
            index: Mutex::new(index),
            dirty: Notify::new(),
            followers: watch::Sender::default(),
            published: watch::Sender::default(),
            catalogue: Mutex::default(),
            policies: watch::Sender::default(),
            gateways: Mutex::default(),
            agent_id: String::new(),
        }
    }

    /// The same with a key for the engines.
    #[must_use]
    pub fn with_api_key(mut self, api_key: ApiKey) -> Self {
        self.api_key = api_key;
        self
    }

    /// The same hub of an agent that has just started: the first policies wait for the endpoints' lists of
    /// models, until [`Hub::end_of_start`].
    #[must_use]
    pub fn starting(self) -> Self {
        self.publish_policies(|catalogue| {
            catalogue.await_lists(true);
            false
        });
        self
    }

    /// Whether the pool has a policy that is not published yet. No endpoints are told before it.
    pub fn awaits_policy(&self, pool: &str) -> bool {
        let catalogue = self.catalogue.lock();
        catalogue
            .unwrap_or_else(PoisonError::into_inner)
            .awaits(pool)
    }

    /// Publishes after a while what still waits for lists of models: not every engine has one.
    pub async fn end_of_start(&self) {
        sleep(FIRST_LISTS).await;
        self.publish_policies(|catalogue| {
            catalogue.await_lists(false);
            true
        });
    }

    /// The same hub of an agent with this identity.
    #[must_use]
    pub fn named(mut self, agent_id: String) -> Self {
        self.agent_id = agent_id;
        self
    }

    /// The agent's identity.
    #[must_use]
    pub fn agent_id(&self) -> &str {
        &self.agent_id
    }

    /// The index. A poisoned lock is taken all the same: the index has no broken in-between states,
    /// and an agent that stops publishing is worse than one that missed an event.
    pub fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the membership; gateways hear of pools that came or went at once.
    pub fn set_membership(&self, membership: &Membership) {
        let now = self.clock.now();
        let mut index = self.index();
        index.set_membership(membership, now);
        self.telemetry.set_pools(index.pool_names());
        self.published.send_modify(|published| {
            let pools = index.pool_names().map(|name| {
                let last = published.get(name).cloned().flatten();
                (Arc::clone(name), last)
            });
            *published = Arc::new(pools.collect());
        });
        drop(index);
        self.dirty.notify_one();
        self.publish_policies(|catalogue| {
            catalogue.set_membership(membership);
            true
        });
    }

    /// Replaces what the resources say; gateways hear of what changed at once.
    pub fn set_policies<'a>(&self, policies: impl Iterator<Item = &'a Policy>) {
        self.publish_policies(|catalogue| {
            catalogue.set_policies(policies);
            true
        });
    }

    /// Takes what an endpoint says it serves.
    pub fn set_models(&self, target: TargetId, models: &ModelList) {
        self.publish_policies(|catalogue| catalogue.set_models(target, models));
    }

    /// Follows the policies.
    #[must_use]
    pub fn subscribe_policies(&self) -> watch::Receiver<Arc<Policies>> {
        self.policies.subscribe()
    }

    /// Publishes policies anew when adapters became ready, for ever; and again and again, so that what
    /// can be drawn is not unloaded.
    pub async fn follow_adapters(&self) {
        let mut changes = self.adapters.subscribe();
        loop {
            drop(timeout(REPEAT_DRAWN, changes.changed()).await);
            self.publish_policies(|_| self.adapters.is_used());
            // Many pods may tell of a new adapter within a moment.
            sleep(AFTER_ADAPTERS).await;
        }
    }

    /// The policies as gateways have them.
    #[must_use]
    pub fn policies(&self) -> Arc<Policies> {
        Arc::clone(&self.policies.borrow())
    }

    /// What each endpoint said last that it serves.
    #[must_use]
    pub fn models(&self) -> HashMap<TargetId, Arc<ModelList>> {
        let catalogue = self.catalogue.lock();
        let catalogue = catalogue.unwrap_or_else(PoisonError::into_inner);
        catalogue.models().clone()
    }

    fn publish_policies(&self, change: impl FnOnce(&mut Catalogue) -> bool) {
        let catalogue = self.catalogue.lock();
        let mut catalogue = catalogue.unwrap_or_else(PoisonError::into_inner);
        if change(&mut catalogue)
            && let Some(policies) = catalogue.publish(&self.adapters)
        {
            self.policies.send_replace(policies);
        }
    }

    /// Takes the outcome of a scrape attempt.
    pub fn observe(&self, target: TargetId, observation: Observation) {
        if self.index().observe(target, observation) {
            self.dirty.notify_one();
        }
    }

    /// From now on endpoints that join one of these pools wait until they are released.
    pub fn set_holding(&self, pools: HashSet<String>) {
        if self.index().set_holding(pools) {
            self.dirty.notify_one();
        }
    }

    /// Lets an endpoint that waits join.
    pub fn release(&self, pool: &str, target: TargetId) {
        if self.index().release(pool, target) {
            self.dirty.notify_one();
        }
    }

    /// Notes that a gateway introduced itself over `stream`.
    pub fn gateway_came(&self, gateway: &Arc<str>, stream: u64, pools: Vec<Arc<str>>) {
        let now = self.clock.now();
        let connected = Connected {
            id: Arc::clone(gateway),
            pools,
            since: now,
            heard: now,
        };
        self.gateways().insert(stream, connected);
    }

    /// The gateways that are connected, in the order of their coming.
    #[must_use]
    pub fn connected(&self) -> Vec<Connected> {
        self.gateways().values().cloned().collect()
    }

    fn gateways(&self) -> MutexGuard<'_, BTreeMap<u64, Connected>> {
        self.gateways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard_now(&self, stream: u64, now: Millis) {
        if let Some(gateway) = self.gateways().get_mut(&stream) {
            gateway.heard = now;
        }
    }

    /// Takes a gateway's load.
    pub fn report(&self, gateway: &Arc<str>, stream: u64, report: Report) {
        let now = self.clock.now();
        self.heard_now(stream, now);
        if self.index().report(gateway, stream, report, now) {
            self.dirty.notify_one();
        }
    }

    /// Takes what a gateway refused.
    pub fn sheds(&self, gateway: &str, stream: u64, report: &Sheds) {
        self.heard(gateway, stream);
        self.index().sheds(stream, report);
    }

    /// Counts a gateway as long as the result lives.
    pub fn followed(&self) -> Follower<'_> {
        self.followers.send_if_modified(|count| {
            *count += 1;
            *count == 1
        });
        Follower(&self.followers)
    }

    /// The number of gateways that follow this agent; news come only when the first came or the last
    /// went.
    #[must_use]
    pub fn followers(&self) -> watch::Receiver<usize> {
        self.followers.subscribe()
    }

    /// Notes that a gateway lives.
    pub fn heard(&self, gateway: &str, stream: u64) {
        let now = self.clock.now();
        self.heard_now(stream, now);
        self.index().heard(gateway, stream, now);
    }

    /// Forgets a gateway's load after its stream ended.
    pub fn gateway_gone(&self, gateway: &str, stream: u64) {
        self.gateways().remove(&stream);
        if self.index().gateway_gone(gateway, stream) {
            self.dirty.notify_one();
        }
    }

    /// Follows the publications.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Published>> {
        self.published.subscribe()
    }

    /// Publishes what changed, for ever, at most once in [`COALESCE`].
    pub async fn publish_changes(&self) {
        let mut earliest = Instant::now();
        loop {
            self.wait_for_change().await;
            tokio::time::sleep_until(earliest).await;
            earliest = Instant::now() + COALESCE;
            self.publish();
        }
    }

    async fn wait_for_change(&self) {
        let deadline = self.index().next_deadline();
        let Some(Millis(deadline)) = deadline else {
            return self.dirty.notified().await;
        };
        let wait = Duration::from_millis(deadline.saturating_sub(self.clock.now().0));
        tokio::select! {
            () = self.dirty.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }

    fn publish(&self) {
        let (now, unix_ms) = (self.clock.now(), self.clock.unix_ms());
        let mut index = self.index();
        let publications = index.publish(now, unix_ms);
        if publications.is_empty() {
            return;
        }
        self.telemetry.published(publications.keys());
        self.published.send_modify(|published| {
            let mut next = Published::clone(published);
            for (name, publication) in publications {
                next.insert(name, Some(publication));
            }
            *published = Arc::new(next);
        });
    }
}
