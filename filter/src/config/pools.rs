//! The pools of a configuration.

use std::{collections::BTreeSet, net::SocketAddr};

use pool_state::limits;
use serde_json::Value;

use super::{
    addresses::AllowedAddresses,
    cluster_name,
    models::{self, ModelAnswers},
    table::{self, Table},
};

/// The most seed members of one pool.
const MAX_MEMBERS: usize = 1_000;

/// One InferencePool that the filter routes for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolConfig {
    /// Its name in the agent's configuration, or `namespace/name` of an InferencePool.
    pub name: String,
    /// The Envoy cluster with its members: requests of which the route names it are the pool's, and those to other
    /// clusters are left alone. Without it every request is the pool's; required when there are several pools.
    pub cluster: Option<String>,
    /// Endpoints to route over as long as no agent was ever seen. Required without `agent`.
    pub members: Vec<SocketAddr>,
    /// What is answered without a model server.
    pub models: ModelAnswers,
}

pub(super) fn check(
    path: &str,
    value: Value,
    models: ModelAnswers,
    allowed: &AllowedAddresses,
    mistakes: &mut Vec<String>,
) -> Vec<PoolConfig> {
    let elements = table::list(path, value, 1..=limits::MAX_POOLS, mistakes);
    let several = elements.len() > 1;
    let mut pools: Vec<PoolConfig> = Vec::new();
    for (index, element) in elements.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Some(pool) = check_pool(&path, element, several, models, allowed, mistakes) else {
            continue;
        };
        if pools.iter().any(|other| other.name == pool.name) {
            mistakes.push(format!("{path}.name: {:?} occurs twice", pool.name));
        }
        if let Some(cluster) = &pool.cluster
            && pools.iter().any(|o| o.cluster.as_ref() == Some(cluster))
        {
            mistakes.push(format!("{path}.cluster: {cluster:?} occurs twice"));
        }
        pools.push(pool);
    }
    pools
}

/// Without an agent the members are all that is known, so there must be some.
pub(super) fn check_members_without_agent(pools: &[PoolConfig], mistakes: &mut Vec<String>) {
    for (index, pool) in pools.iter().enumerate() {
        if pool.members.is_empty() {
            mistakes.push(format!(
                "pools[{index}].members: missing; without an agent a pool needs members"
            ));
        }
    }
}

fn check_pool(
    path: &str,
    value: Value,
    several: bool,
    common: ModelAnswers,
    allowed: &AllowedAddresses,
    mistakes: &mut Vec<String>,
) -> Option<PoolConfig> {
    let mut pool = Table::new(path, value, mistakes)?;
    let name = name(&format!("{path}.name"), pool.take("name"), mistakes);
    let cluster = match pool.take("cluster") {
        Some(value) => cluster_name(&format!("{path}.cluster"), &value, mistakes),
        None => {
            if several {
                mistakes.push(format!(
                    "{path}.cluster: missing; with several pools each needs the name of its \
                     Envoy cluster"
                ));
            }
            None
        }
    };
    let members = match pool.take("members") {
        None => Vec::new(),
        Some(value) => members(&format!("{path}.members"), value, allowed, mistakes),
    };
    let models = match pool.take("models") {
        None => common,
        Some(value) => models::check_pool(&format!("{path}.models"), value, common, mistakes),
    };
    pool.finish(mistakes);
    Some(PoolConfig {
        name: name?,
        cluster,
        members,
        models,
    })
}

fn name(path: &str, value: Option<Value>, mistakes: &mut Vec<String>) -> Option<String> {
    const ALLOWED: &str = "a name of 1..128 bytes of visible ASCII";
    let Some(value) = value else {
        mistakes.push(format!("{path}: missing; {ALLOWED}"));
        return None;
    };
    let name = value.as_str().filter(|name| limits::is_pool_name(name));
    if name.is_none() {
        mistakes.push(table::wrong(path, ALLOWED, &value));
    }
    name.map(str::to_owned)
}

fn members(
    path: &str,
    value: Value,
    allowed: &AllowedAddresses,
    mistakes: &mut Vec<String>,
) -> Vec<SocketAddr> {
    let mut members = BTreeSet::new();
    for (index, element) in table::list(path, value, 0..=MAX_MEMBERS, mistakes)
        .iter()
        .enumerate()
    {
        let path = format!("{path}[{index}]");
        let address = element
            .as_str()
            .and_then(|text| text.parse::<SocketAddr>().ok())
            .filter(|address| address.port() != 0);
        let Some(address) = address else {
            let allowed = "an address such as 10.0.0.1:8000 or [fd00::1]:8000";
            mistakes.push(table::wrong(&path, allowed, element));
            continue;
        };
        if !allowed.contains(address.ip()) {
            mistakes.push(format!(
                "{path}: {address} is outside allowed_cidrs (without that list, loopback, \
                 link-local, multicast and unspecified addresses are refused)"
            ));
        } else if !members.insert(address) {
            mistakes.push(format!("{path}: {address} occurs twice"));
        }
    }
    members.into_iter().collect()
}
