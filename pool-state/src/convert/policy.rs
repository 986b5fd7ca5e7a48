//! A pool's policy as it travels: the value of its slot, so that gateways check and store one form.

use crate::{SlotError, policy::Policy, policy::PolicyView, proto, slot};

/// A policy as it travels.
#[must_use]
pub fn policy_to_proto(policy: &Policy) -> proto::Policy {
    proto::Policy {
        pool: policy.parts().pool.clone(),
        table: slot::policy::encode(policy),
    }
}

/// A policy, checked.
///
/// # Errors
/// When the table is no policy of this layout, or another pool's.
pub fn policy_from_proto(raw: &proto::Policy) -> Result<PolicyView, SlotError> {
    let view = slot::policy::decode(&raw.table)?;
    if view.pool() == raw.pool {
        return Ok(view);
    }
    let (field, index) = ("pool", 0);
    Err(SlotError::Field { field, index })
}
