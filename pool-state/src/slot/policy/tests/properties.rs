//! Properties over many generated policies.

use proptest::prelude::*;

use super::*;
use crate::testing::cases;

fn name() -> impl Strategy<Value = String> {
    // Few letters, so that names collide and are each other's beginnings.
    "[a-c/\u{e9}\u{6a21}]{1,4}"
}

fn any_rule() -> impl Strategy<Value = ModelRule> {
    let target = (name(), prop::option::of(0u32..=1_000_000));
    let targets = prop::collection::vec(target, 0..4);
    (
        prop::option::of(name()),
        prop::option::of(any::<i32>()),
        targets,
    )
        .prop_map(|(model, priority, targets)| ModelRule {
            model,
            source: "a-source".to_owned(),
            priority,
            targets: targets
                .iter()
                .map(|(model, weight)| Target::new(model, *weight))
                .collect(),
        })
}

fn any_policy() -> impl Strategy<Value = Policy> {
    (
        prop::collection::vec(any_rule(), 0..12),
        prop::collection::btree_map("[a-c]{1,3}", any::<i32>(), 0..8),
        prop::collection::btree_map(name(), prop::option::of(name()), 0..8),
        any::<bool>(),
    )
        .prop_map(|(mut rules, objectives, models, fail_open)| {
            rules.sort_by(|a, b| a.model.cmp(&b.model));
            rules.dedup_by(|a, b| a.model == b.model);
            let pool = "p".to_owned();
            let parts = PolicyParts {
                pool,
                rules,
                objectives,
                models,
                fail_open,
            };
            Policy::new(parts).unwrap()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(1_000)))]

    #[test]
    fn any_policy_survives_the_round_trip(policy in any_policy()) {
        let view = view(&policy);
        prop_assert_eq!(view.revision(), policy.revision());
        prop_assert_eq!(shown(&view), policy);
    }

    #[test]
    fn lookups_agree_with_a_search_of_the_lists(policy in any_policy(), wanted in name()) {
        let (view, parts) = (view(&policy), policy.parts());
        let exact = parts.rules.iter().find(|rule| rule.model.as_ref() == Some(&wanted));
        let rule = exact.or_else(|| parts.rules.iter().find(|rule| rule.model.is_none()));
        let found = view.rule(&wanted).map(|rule| rule.model().map(str::to_owned));
        prop_assert_eq!(found, rule.map(|rule| rule.model.clone()));
        prop_assert_eq!(view.priority(&wanted), parts.objectives.get(&wanted).copied());
        prop_assert_eq!(view.serves(&wanted), exact.is_some() || parts.models.contains_key(&wanted));
        let base = parts.models.get(&wanted).and_then(Option::as_deref);
        prop_assert_eq!(view.base_of(&wanted), base);
        let ruled = parts.rules.iter().filter_map(|rule| rule.model.as_deref());
        let all: std::collections::BTreeSet<&str> =
            ruled.chain(parts.models.keys().map(String::as_str)).collect();
        prop_assert!(view.models().eq(all));
    }

    #[test]
    fn changed_bytes_never_panic(
        policy in any_policy(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut value = encode(&policy);
        for (index, byte) in changes {
            let index = index.index(value.len());
            value[index] = byte;
        }
        reseal(&mut value);
        if let Ok(view) = decode(&value) {
            let _policy = shown(&view);
            for rule in view.rules() {
                prop_assert_eq!(rule.draw(u64::MAX).is_none(), rule.targets().count() == 0);
            }
        }
    }
}
