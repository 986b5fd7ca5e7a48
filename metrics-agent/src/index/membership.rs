//! Who belongs to which pool, as discovery says.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

/// Names one scraped endpoint. The same address with the same metrics page in several pools is one
/// target, so it is scraped once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(pub u64);

/// All pools with their members; replaces what was before as a whole.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Membership {
    /// The pools, names unique.
    pub pools: Vec<PoolMembers>,
}

/// One pool's members.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolMembers {
    /// The pool's name.
    pub name: Arc<str>,
    /// Its members, addresses unique.
    pub members: Vec<Member>,
    /// DNS names that were never resolved so far: members may be missing.
    pub unresolved: usize,
}

/// One endpoint in one pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Whose scrapes tell of it.
    pub target: TargetId,
    /// Where requests go.
    pub address: SocketAddr,
    /// The configured name.
    pub name: Option<Arc<str>>,
    /// Relative capacity, 0.01 to 100.
    pub weight: f32,
    /// Relative price of its time, 0.01 to 100.
    pub price: f32,
    /// For people.
    pub labels: Arc<BTreeMap<String, String>>,
}

impl Membership {
    /// Every target; one in several pools occurs several times.
    pub fn targets(&self) -> impl Iterator<Item = TargetId> + '_ {
        self.pools
            .iter()
            .flat_map(|pool| &pool.members)
            .map(|member| member.target)
    }
}
