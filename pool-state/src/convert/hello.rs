//! The first message of a stream: which gateway, which pools.

use std::collections::BTreeSet;

use crate::{
    error::{ContractError, Excerpt, Problem},
    limits, proto,
};

/// A checked greeting of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Names the gateway among others.
    pub gateway_id: String,
    /// The pools it routes for, each once, in its own order.
    pub pools: Vec<String>,
}

/// A greeting as it travels.
#[must_use]
pub fn hello_to_proto(hello: &Hello) -> proto::Hello {
    proto::Hello {
        gateway_id: hello.gateway_id.clone(),
        pools: hello.pools.clone(),
    }
}

/// A greeting, checked.
///
/// # Errors
/// When the gateway's id or a pool's name is malformed, a pool is named twice, or there are none or
/// more than [`limits::MAX_POOLS`].
pub fn hello_from_proto(raw: proto::Hello) -> Result<Hello, ContractError> {
    if !limits::is_gateway_id(&raw.gateway_id) {
        return Err(Problem::Name(Excerpt::new(&raw.gateway_id)).at("hello.gateway_id"));
    }
    if raw.pools.is_empty() {
        return Err(Problem::Empty.at("hello.pools"));
    }
    if raw.pools.len() > limits::MAX_POOLS {
        let problem = Problem::TooMany {
            count: raw.pools.len(),
            limit: limits::MAX_POOLS,
        };
        return Err(problem.at("hello.pools"));
    }
    let mut seen = BTreeSet::new();
    for (index, pool) in raw.pools.iter().enumerate() {
        let place = || format!("hello.pools[{index}]");
        if !limits::is_pool_name(pool) {
            return Err(Problem::Name(Excerpt::new(pool)).at(&place()));
        }
        if !seen.insert(pool) {
            return Err(Problem::DuplicateName(Excerpt::new(pool)).at(&place()));
        }
    }
    Ok(Hello {
        gateway_id: raw.gateway_id,
        pools: raw.pools,
    })
}
