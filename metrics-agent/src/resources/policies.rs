//! The policies that gateways get: what the resources say, and what pods say they serve.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use pool_state::{
    convert::policy_to_proto,
    limits,
    policy::{Policy, PolicyParts},
    proto::{AgentMessage, agent_message::Message},
};
use prost::Message as _;
use tracing::warn;

use crate::{
    adapters::{self, Board},
    index::{Membership, TargetId},
};

/// Models of one endpoint: name, and of an adapter its base model; sorted.
pub type ModelList = Vec<(Arc<str>, Option<Arc<str>>)>;

/// The policy of each pool that has one.
pub type Policies = BTreeMap<Arc<str>, Arc<PolicyMessage>>;

/// A policy, encoded once for all gateways.
#[derive(Debug)]
pub struct PolicyMessage {
    /// What it says.
    pub policy: Policy,
    /// The message of the agent.
    pub message: Bytes,
}

/// Puts policies together. Pure.
#[derive(Debug, Default)]
pub struct Catalogue {
    policies: BTreeMap<Arc<str>, Policy>,
    members: BTreeMap<Arc<str>, BTreeSet<TargetId>>,
    /// Equal lists are one, because the endpoints of a pool mostly serve the same.
    models: HashMap<TargetId, Arc<ModelList>>,
    published: Arc<Policies>,
    /// Whether the first policy of a pool waits until one of its endpoints has said what it serves.
    awaits_lists: bool,
}

impl Catalogue {
    /// From now on, or no longer, the first policy of a pool waits for a list of models: after a restart
    /// gateways keep what they have meanwhile, in place of a policy that knows less.
    pub fn await_lists(&mut self, awaits: bool) {
        self.awaits_lists = awaits;
    }

    /// Whether the first policy of a pool still waits.
    #[must_use]
    pub fn awaits(&self, pool: &str) -> bool {
        self.awaits_lists
            && self.policies.contains_key(pool)
            && !self.published.contains_key(pool)
            && self.is_silent(pool)
    }

    /// Whether it is not known yet who is in a pool, or nobody there has said what it serves.
    fn is_silent(&self, pool: &str) -> bool {
        self.members.get(pool).is_none_or(|members| {
            let listed = members.iter().any(|one| self.models.contains_key(one));
            !members.is_empty() && !listed
        })
    }

    /// Replaces what the resources say.
    pub fn set_policies<'a>(&mut self, policies: impl Iterator<Item = &'a Policy>) {
        let named = |policy: &Policy| (Arc::from(policy.parts().pool.as_str()), policy.clone());
        self.policies = policies.map(named).collect();
    }

    /// Replaces who belongs to which pool.
    pub fn set_membership(&mut self, membership: &Membership) {
        let targets = |pool: &crate::index::PoolMembers| {
            pool.members.iter().map(|member| member.target).collect()
        };
        let pools = membership.pools.iter();
        self.members = pools
            .map(|pool| (Arc::clone(&pool.name), targets(pool)))
            .collect();
        let members: BTreeSet<TargetId> = membership.targets().collect();
        self.models.retain(|target, _| members.contains(target));
    }

    /// Takes what an endpoint says it serves; says whether that is news.
    pub fn set_models(&mut self, target: TargetId, models: &ModelList) -> bool {
        if self
            .models
            .get(&target)
            .is_some_and(|held| **held == *models)
        {
            return false;
        }
        let same = self.models.values().find(|held| ***held == *models);
        let shared = same.map_or_else(|| Arc::new(models.clone()), Arc::clone);
        self.models.insert(target, shared);
        true
    }

    /// What each endpoint said last that it serves.
    #[must_use]
    pub fn models(&self) -> &HashMap<TargetId, Arc<ModelList>> {
        &self.models
    }

    /// The policies as they are now, if any of them changed since the last call. Adapters that are
    /// being rolled out on `board` are not drawn before they are ready.
    pub fn publish(&mut self, board: &Board) -> Option<Arc<Policies>> {
        let mut policies = Policies::new();
        for (pool, policy) in &self.policies {
            let held = self.published.get(pool);
            if self.awaits(pool) {
                continue;
            }
            if !board.is_settled(pool) {
                // What is ready is not known yet, after a restart: gateways keep what they have.
                policies.extend(held.map(|held| (Arc::clone(pool), Arc::clone(held))));
                continue;
            }
            let policy = self.as_served(pool, policy, board);
            board.note_drawn(pool, &adapters::drawn(policy.parts()));
            let message = match held.filter(|held| held.policy == policy) {
                Some(held) => Arc::clone(held),
                None => Arc::new(encoded(policy)),
            };
            policies.insert(Arc::clone(pool), message);
        }
        let same = |(pool, message): (&Arc<str>, &Arc<PolicyMessage>)| {
            let held = self.published.get(pool);
            held.is_some_and(|held| Arc::ptr_eq(held, message))
        };
        if policies.len() == self.published.len() && policies.iter().all(same) {
            return None;
        }
        self.published = Arc::new(policies);
        Some(Arc::clone(&self.published))
    }

    /// The policy with the weights of what is ready, and with the models that the pool's endpoints
    /// say they serve. Names that cannot be are left out: an engine is no reason to lose a policy.
    fn as_served(&self, pool: &str, policy: &Policy, board: &Board) -> Policy {
        let targets = self.members.get(pool).into_iter().flatten();
        let mut lists: Vec<&Arc<ModelList>> = targets
            .filter_map(|target| self.models.get(target))
            .collect();
        lists.sort_unstable_by_key(|list| Arc::as_ptr(list));
        lists.dedup_by(|a, b| Arc::ptr_eq(a, b));
        let named = |(model, base): &(Arc<str>, Option<Arc<str>>)| {
            let base = base.as_deref().filter(|base| limits::is_model_name(base));
            limits::is_model_name(model).then(|| (model.to_string(), base.map(str::to_owned)))
        };
        let models: BTreeMap<String, Option<String>> = lists
            .into_iter()
            .flat_map(|list| list.iter())
            .filter_map(named)
            .collect();
        let parts = PolicyParts {
            models,
            ..policy.parts().clone()
        };
        let before = self.published.get(pool).map(|held| held.policy.parts());
        let parts = adapters::effective(parts, before, |name| board.is_ready(pool, name));
        Policy::new(parts).unwrap_or_else(|error| {
            warn!(pool, %error, "the models that endpoints list are left out");
            policy.clone()
        })
    }
}

fn encoded(policy: Policy) -> PolicyMessage {
    let message = AgentMessage {
        message: Some(Message::Policy(policy_to_proto(&policy))),
    };
    PolicyMessage {
        message: Bytes::from(message.encode_to_vec()),
        policy,
    }
}
