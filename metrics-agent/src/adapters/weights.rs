//! The weights of rewrites while adapters are rolled out: a target that is not ready is not drawn.
//! Pure.

use std::{collections::BTreeSet, sync::Arc};

use pool_state::policy::{ModelRule, PolicyParts, Target};

/// The policy as gateways shall have it: in every rule, targets that are not `ready` weigh nothing.
///
/// A rule without any ready target keeps the targets that it had in the policy `before`, ready on every
/// pod or not: a pod that is still loading them says nothing for the new ones. Where there was no such
/// rule it stays as it is, because every other answer is as wrong. Where the ready ones weigh nothing,
/// each gets the same share: an old target that serves is better than a new one that does not yet.
#[must_use]
pub fn effective(
    mut policy: PolicyParts,
    before: Option<&PolicyParts>,
    ready: impl Fn(&str) -> bool,
) -> PolicyParts {
    let any_ready = |rule: &ModelRule| rule.targets.iter().any(|target| ready(&target.model));
    for rule in &mut policy.rules {
        if !rule.targets.is_empty() && !any_ready(rule) {
            let mut rules = before.iter().flat_map(|before| &before.rules);
            let old = rules.find(|old| old.model == rule.model && !old.targets.is_empty());
            if let Some(old) = old {
                rule.targets.clone_from(&old.targets);
            }
        }
        hold_back(rule, &ready);
    }
    policy
}

fn hold_back(rule: &mut ModelRule, ready: &impl Fn(&str) -> bool) {
    let readiness: Vec<bool> = rule
        .targets
        .iter()
        .map(|target| ready(&target.model))
        .collect();
    let some_ready = readiness.contains(&true);
    let all_ready = !readiness.contains(&false);
    if !some_ready || all_ready {
        return;
    }
    let shares: Vec<u32> = shares(&rule.targets);
    let drawn = shares
        .iter()
        .zip(&readiness)
        .any(|(share, ready)| *ready && *share > 0);
    for ((target, ready), share) in rule.targets.iter_mut().zip(readiness).zip(shares) {
        target.weight = Some(match (ready, drawn) {
            (false, _) => 0,
            (true, true) => share,
            (true, false) => 1,
        });
    }
}

/// What each target weighs in the draw: without any weight above 0 all weigh the same, and beside
/// weights a target without one weighs nothing.
fn shares(targets: &[Target]) -> Vec<u32> {
    let uniform = targets.iter().all(|target| target.weight.unwrap_or(0) == 0);
    targets
        .iter()
        .map(|target| {
            if uniform {
                1
            } else {
                target.weight.unwrap_or(0)
            }
        })
        .collect()
}

/// The names that requests can be rewritten to.
#[must_use]
pub fn drawn(policy: &PolicyParts) -> BTreeSet<Arc<str>> {
    let mut names = BTreeSet::new();
    for rule in &policy.rules {
        // A rule without targets leaves the name as it is.
        if rule.targets.is_empty() {
            names.extend(rule.model.as_deref().map(Arc::from));
        }
        let shares = shares(&rule.targets);
        let targets = rule.targets.iter().zip(shares);
        names.extend(
            targets
                .filter(|(_, share)| *share > 0)
                .map(|(target, _)| Arc::from(target.model.as_str())),
        );
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(targets: &[(&str, Option<u32>)]) -> PolicyParts {
        PolicyParts {
            pool: "p".to_owned(),
            rules: vec![ModelRule {
                model: Some("sql".to_owned()),
                source: "rewrite".to_owned(),
                priority: None,
                targets: targets
                    .iter()
                    .map(|(model, weight)| Target::new(model, *weight))
                    .collect(),
            }],
            ..PolicyParts::default()
        }
    }

    fn weights(targets: &[(&str, Option<u32>)], ready: &[&str]) -> Vec<Option<u32>> {
        let policy = effective(policy(targets), None, |name| ready.contains(&name));
        let targets = policy.rules[0].targets.iter();
        targets.map(|target| target.weight).collect()
    }

    #[test]
    fn weights_move_only_to_targets_that_are_ready() {
        let split = [("v1", Some(90)), ("v2", Some(10))];
        assert_eq!(weights(&split, &["v1"]), [Some(90), Some(0)]);
        assert_eq!(weights(&split, &["v1", "v2"]), [Some(90), Some(10)]);
        let moved = [("v1", Some(0)), ("v2", Some(100))];
        assert_eq!(
            weights(&moved, &["v1"]),
            [Some(1), Some(0)],
            "the old one serves on"
        );
        assert_eq!(weights(&moved, &["v2"]), [Some(0), Some(100)]);
    }

    #[test]
    fn without_weights_the_ready_ones_share_alike() {
        let plain = [("a", None), ("b", None), ("c", None)];
        assert_eq!(weights(&plain, &["a", "c"]), [Some(1), Some(0), Some(1)]);
        assert_eq!(weights(&plain, &["a", "b", "c"]), [None; 3]);
        // Beside weights, a target without one is never drawn.
        let mixed = [("a", Some(5)), ("b", None), ("c", Some(5))];
        assert_eq!(weights(&mixed, &["a", "b"]), [Some(5), Some(0), Some(0)]);
    }

    #[test]
    fn with_nothing_ready_nothing_changes() {
        let split = [("v1", Some(90)), ("v2", None)];
        assert_eq!(weights(&split, &[]), [Some(90), None]);
        assert_eq!(weights(&[], &[]), []);
    }

    #[test]
    fn a_rule_keeps_its_targets_until_one_of_the_new_ones_is_ready() {
        let (old, new) = (
            policy(&[("v1", None)]),
            policy(&[("v2", None), ("v3", None)]),
        );
        let after = |ready: &[&str]| {
            let policy = effective(new.clone(), Some(&old), |name| ready.contains(&name));
            let targets = policy.rules[0].targets.iter();
            let weights = targets.map(|target| (target.model.clone(), target.weight));
            weights.collect::<Vec<_>>()
        };
        let weighs = |name: &str, weight| (name.to_owned(), weight);
        assert_eq!(after(&["v1"]), [weighs("v1", None)]);
        assert_eq!(
            after(&["v1", "v2"]),
            [weighs("v2", Some(1)), weighs("v3", Some(0))]
        );
        assert_eq!(
            after(&[]),
            [weighs("v1", None)],
            "a pod that still loads v1 is no reason to draw v2"
        );
    }

    #[test]
    fn what_can_be_drawn_is_in_use() {
        let names = |targets: &[(&str, Option<u32>)]| {
            let names = drawn(&policy(targets)).into_iter();
            names.map(|name| name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            names(&[("v1", Some(1)), ("v2", Some(0)), ("v3", None)]),
            ["v1"]
        );
        assert_eq!(names(&[("v1", None), ("v2", Some(0))]), ["v1", "v2"]);
        assert_eq!(names(&[]), ["sql"]);
    }
}
