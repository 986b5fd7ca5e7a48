//! Who belongs to which pool: a YAML file, with names in it that DNS resolves.
//!
//! ```text
//!   file (polled) --> Config ----+
//!                                +--> resolve() --> Membership --> Index
//!   dns (names) ----> DnsTable --+            \--> targets ----> Scheduler
//! ```

pub mod dns;
pub mod file;
mod supervisor;
mod target;

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use crate::{
    config::{Config, Endpoint, Host, Pool},
    index::{Member, Membership, PoolMembers},
};

pub use dns::DnsTable;
pub use supervisor::{ConfigState, ResourceState, Supervisor};
pub use target::{Target, Targets};

/// What the configuration means with the names resolved as far as they are. A name that was never
/// resolved counts as unresolved; an address that occurs twice in a pool is one member, the first.
pub fn resolve(config: &Config, names: &DnsTable, targets: &mut Targets) -> Membership {
    targets.begin();
    let pools = config.pools.iter();
    let membership = Membership {
        pools: pools
            .map(|pool| pool_members(pool, names, targets))
            .collect(),
    };
    targets.end();
    membership
}

fn pool_members(pool: &Pool, names: &DnsTable, targets: &mut Targets) -> PoolMembers {
    let mut seen = HashSet::new();
    let mut members = Vec::new();
    let mut unresolved = 0;
    for endpoint in &pool.endpoints {
        let addresses: &[IpAddr] = match &endpoint.host {
            Host::Ip(ip) => std::slice::from_ref(ip),
            Host::Name(name) => match names.get(name) {
                Some(addresses) => addresses,
                None => {
                    unresolved += 1;
                    continue;
                }
            },
        };
        for ip in addresses {
            let address = SocketAddr::new(*ip, endpoint.port);
            if seen.insert(address) {
                members.push(member(endpoint, address, targets));
            }
        }
    }
    PoolMembers {
        name: Arc::clone(&pool.name),
        members,
        unresolved,
    }
}

fn member(endpoint: &Endpoint, address: SocketAddr, targets: &mut Targets) -> Member {
    Member {
        target: targets.id(Target::new(endpoint, address)),
        address,
        name: endpoint.name.clone(),
        weight: endpoint.weight,
        price: endpoint.price,
        labels: Arc::clone(&endpoint.labels),
    }
}

#[cfg(test)]
mod tests;
