//! What a worker knows of its pools' policies.
//!
//! Policies change rarely, so the tick looks for changes and no request pays for it. What was read
//! last stays in force, whatever the slot holds later.

use pool_state::{
    convert::policy_from_proto,
    policy::PolicyView,
    proto,
    slot::{SlotError, policy},
};

use super::Worker;
use crate::{
    host::Host,
    metrics::StateEvent,
    slots::{self, PoolKeys},
};

/// The copy of one pool's policy.
#[derive(Debug, Default)]
pub(super) struct PolicyCopy {
    seen: Option<u64>,
    policy: Option<PolicyView>,
    /// Whether any rule changes a model's name.
    rewrites: bool,
}

impl PolicyCopy {
    /// Reads the slot again if its version moved; says whether there was a policy to read.
    fn reload(&mut self, host: &dyn Host, pool: &str, keys: &PoolKeys) -> Result<bool, SlotError> {
        let version = slots::version_of(host, &keys.policy_version);
        if version == self.seen {
            return Ok(false);
        }
        // Also after a failure: rubbish is looked at once.
        self.seen = version;
        let read = policy::decode(&host.shared(&keys.policy).value)?;
        let ours = read.pool() == pool;
        if ours {
            self.rewrites = read.rules().any(|rule| rule.targets().next().is_some());
            self.policy = Some(read);
        }
        Ok(ours)
    }
}

impl PolicyCopy {
    /// The policy in force.
    pub(super) const fn view(&self) -> Option<&PolicyView> {
        self.policy.as_ref()
    }

    /// Whether any request may have to be rewritten.
    pub(super) const fn rewrites(&self) -> bool {
        self.rewrites
    }

    /// Whether requests are refused while nothing is known of the pool.
    pub(super) fn fails_closed(&self) -> bool {
        self.policy
            .as_ref()
            .is_some_and(|policy| !policy.fail_open())
    }
}

impl Worker {
    /// The policy in force of the pool at `index`; `None` until the agent sent one.
    #[must_use]
    pub fn policy(&self, index: usize) -> Option<&PolicyView> {
        self.pools.get(index)?.policy.policy.as_ref()
    }

    /// Takes over the policies that changed in shared data.
    pub fn reload_policies(&mut self, host: &dyn Host) {
        let mut any = false;
        for pool in &mut self.pools {
            let name = &pool.config.name;
            match pool.policy.reload(host, name, &pool.keys) {
                Ok(false) => {}
                Ok(true) => {
                    any = true;
                    self.metrics.state(host, StateEvent::PolicyRead);
                }
                Err(error) => {
                    log::warn!("policy of pool {name} was refused: {error}");
                    self.metrics.state(host, StateEvent::SlotRejected);
                }
            }
        }
        if any {
            self.foresee_requests();
        }
    }

    /// As leader: publishes the policy that the agent sent to all workers, unless they have it
    /// already. One that cannot be read changes nothing.
    pub fn publish_policy(&mut self, host: &dyn Host, raw: &proto::Policy) {
        self.reload_policies(host);
        let pools = &mut self.pools;
        let Some(pool) = pools.iter_mut().find(|pool| pool.config.name == raw.pool) else {
            return;
        };
        let event = match policy_from_proto(raw) {
            Err(error) => {
                log::error!("the agent's policy was refused: {error}");
                StateEvent::PolicyRefused
            }
            Ok(view) if pool.policy.policy.as_ref() == Some(&view) => return,
            Ok(_) => match host.set_shared(&pool.keys.policy, &raw.table) {
                Ok(()) => {
                    slots::bump(host, &pool.keys.policy_version);
                    StateEvent::PolicyTaken
                }
                Err(error) => {
                    log::error!("policy of pool {} not shared: {error}", raw.pool);
                    StateEvent::PolicyRefused
                }
            },
        };
        self.metrics.state(host, event);
        self.reload_policies(host);
    }
}
