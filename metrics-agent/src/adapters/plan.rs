//! What is to be done next on one pod. Pure.

use std::{collections::BTreeSet, fmt, sync::Arc};

use crate::config::{Adapter, PoolAdapters};

/// One request to a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Load this.
    Load(Adapter),
    /// Unload the adapter of this name.
    Unload(Arc<str>),
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(adapter) => write!(formatter, "load `{}`", adapter.name),
            Self::Unload(name) => write!(formatter, "unload `{name}`"),
        }
    }
}

/// The next step on a pod that lists the adapters `listed`; `None` when there is nothing to do.
///
/// Everything that shall be present comes before anything that shall not. What is neither declared
/// absent nor was `ours` before stays, whoever loaded it, and so does what is `in_use`.
#[must_use]
pub fn next_step(
    wanted: &PoolAdapters,
    ours: &BTreeSet<Arc<str>>,
    in_use: &BTreeSet<Arc<str>>,
    listed: &[Arc<str>],
) -> Option<Step> {
    let missing = wanted
        .present
        .iter()
        .find(|adapter| !listed.contains(&adapter.name));
    if let Some(missing) = missing {
        return Some(Step::Load(missing.clone()));
    }
    let is_wanted = |name: &Arc<str>| wanted.present.iter().any(|adapter| adapter.name == *name);
    listed
        .iter()
        .filter(|name| wanted.absent.contains(name) || ours.contains(*name))
        .find(|name| !is_wanted(name) && !in_use.contains(*name))
        .map(|name| Step::Unload(Arc::clone(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    fn set(list: &[&str]) -> BTreeSet<Arc<str>> {
        names(list).into_iter().collect()
    }

    fn wanted(present: &[&str], absent: &[&str]) -> PoolAdapters {
        PoolAdapters {
            pool: Arc::from("p"),
            present: names(present).into_iter().map(adapter).collect(),
            absent: names(absent),
            ready_share: 1.0,
        }
    }

    fn adapter(name: Arc<str>) -> Adapter {
        let source = Arc::from(format!("/adapters/{name}"));
        Adapter { name, source }
    }

    fn load(name: &str) -> Option<Step> {
        Some(Step::Load(adapter(Arc::from(name))))
    }

    fn unload(name: &str) -> Option<Step> {
        Some(Step::Unload(Arc::from(name)))
    }

    #[test]
    fn new_ones_come_before_old_ones_go() {
        let wanted = wanted(&["new-a", "new-b"], &["old"]);
        let none = BTreeSet::new();
        let step = |listed: &[&str]| next_step(&wanted, &none, &none, &names(listed));
        assert_eq!(step(&["old"]), load("new-a"));
        assert_eq!(step(&["old", "new-a"]), load("new-b"));
        assert_eq!(step(&["old", "new-a", "new-b"]), unload("old"));
        assert_eq!(step(&["new-a", "new-b"]), None);
    }

    #[test]
    fn only_what_was_declared_is_ever_unloaded() {
        let wanted = wanted(&["new"], &[]);
        let listed = names(&["new", "former", "foreign"]);
        let none = BTreeSet::new();
        assert_eq!(next_step(&wanted, &none, &none, &listed), None);
        assert_eq!(
            next_step(&wanted, &set(&["former", "new"]), &none, &listed),
            unload("former")
        );
    }

    #[test]
    fn what_is_in_use_stays() {
        let wanted = wanted(&[], &["old", "older"]);
        let listed = names(&["old", "older"]);
        let none = BTreeSet::new();
        assert_eq!(
            next_step(&wanted, &none, &set(&["old"]), &listed),
            unload("older")
        );
        assert_eq!(
            next_step(&wanted, &none, &set(&["old", "older"]), &listed),
            None
        );
    }
}
