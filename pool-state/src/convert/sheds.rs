//! What a gateway refused, so that the agent can show it.

use super::check_pool_name;
use crate::{error::ContractError, proto};

/// A checked report of what one gateway refused of one pool's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sheds {
    /// The pool.
    pub pool: String,
    /// Requests that the gateway itself refused for want of an endpoint or of room since its Envoy
    /// started. Any number: receivers judge what it grows by, see [`crate::limits::sheds`].
    pub total: u64,
}

/// A gateway's refusals as they travel.
#[must_use]
pub fn sheds_to_proto(pool: &str, total: u64) -> proto::ShedReport {
    proto::ShedReport {
        pool: pool.to_owned(),
        total,
    }
}

/// A gateway's refusals, checked.
///
/// # Errors
/// When the pool's name is malformed.
pub fn sheds_from_proto(raw: proto::ShedReport) -> Result<Sheds, ContractError> {
    check_pool_name(&raw.pool).map_err(|error| error.within("sheds"))?;
    Ok(Sheds {
        pool: raw.pool,
        total: raw.total,
    })
}
