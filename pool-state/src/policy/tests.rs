//! What a policy may hold.

use super::*;

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn rule(model: Option<&str>, targets: &[(&str, Option<u32>)]) -> ModelRule {
    ModelRule {
        model: model.map(str::to_owned),
        source: "chat-split".to_owned(),
        priority: None,
        targets: targets
            .iter()
            .map(|(model, weight)| Target::new(model, *weight))
            .collect(),
    }
}

fn parts(rules: Vec<ModelRule>) -> PolicyParts {
    PolicyParts {
        pool: "default/chat".to_owned(),
        rules,
        ..PolicyParts::default()
    }
}

fn mistake(parts: PolicyParts) -> String {
    Policy::new(parts).unwrap_err().to_string()
}

#[test]
fn equal_content_has_an_equal_revision_in_any_order() {
    let (a, b) = (
        rule(Some("a"), &[("x", None)]),
        rule(None, &[("y", Some(3))]),
    );
    let one = Policy::new(parts(vec![a.clone(), b.clone()])).unwrap();
    let other = Policy::new(parts(vec![b.clone(), a.clone()])).unwrap();
    assert_eq!(one, other);
    assert_eq!(
        one.parts().rules[0].model,
        None,
        "the rule for all others comes first"
    );
    let fewer = Policy::new(parts(vec![b])).unwrap();
    assert_ne!(one.revision(), fewer.revision());
    let open = PolicyParts {
        fail_open: true,
        ..one.clone().into_parts()
    };
    assert_ne!(Policy::new(open).unwrap().revision(), one.revision());
}

#[test]
fn what_breaks_a_limit_is_named_with_its_place() {
    let forged = rule(Some("a\r\nx: y"), &[]);
    assert_eq!(
        mistake(parts(vec![forged])),
        "rules[0]: a model's name is 1..256 bytes without control characters, got \"a\\r\\nx: y\""
    );
    let heavy = rule(None, &[("x", Some(1_000_001))]);
    assert_eq!(
        mistake(parts(vec![heavy])),
        "rules[0].targets[0].weight: at most 1000000 is allowed, got 1000001"
    );
    let twice = parts(vec![rule(Some("a"), &[]), rule(Some("a"), &[])]);
    assert_eq!(mistake(twice), "rules: there are two for \"a\"");
    let crowd = vec![("x", None); MAX_TARGETS + 1];
    assert_eq!(
        mistake(parts(vec![rule(None, &crowd)])),
        "rules[0].targets: at most 100 elements are allowed, got 101"
    );
    let nameless = PolicyParts {
        pool: String::new(),
        ..parts(Vec::new())
    };
    assert!(mistake(nameless).starts_with("pool: "));
    let objectives = BTreeMap::from([("a b".to_owned(), 1)]);
    assert!(
        mistake(PolicyParts {
            objectives,
            ..parts(Vec::new())
        })
        .starts_with("objectives: ")
    );
    let models = BTreeMap::from([("a".to_owned(), Some("\0".to_owned()))]);
    assert!(
        mistake(PolicyParts {
            models,
            ..parts(Vec::new())
        })
        .starts_with("models: ")
    );
}

#[test]
fn a_policy_that_no_slot_should_hold_is_refused() {
    let name = |index: usize| format!("{index:0>250}");
    let rules = (0..5_000)
        .map(|index| rule(Some(&name(index)), &[]))
        .collect();
    let models = (0..5_000).map(|index| (name(index), None)).collect();
    let large = PolicyParts {
        models,
        ..parts(rules)
    };
    assert!(mistake(large).contains("at most 1048576 bytes are allowed"));
}
