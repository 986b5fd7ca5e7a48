//! Lookups, the draw, round trips and hostile bytes.

use std::collections::BTreeMap;

use picker::{Entropy, SplitMix64};

use super::*;
use crate::{
    convert::{policy_from_proto, policy_to_proto},
    policy::Target,
    slot::{SlotError, tests::reseal},
};

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[cfg(not(target_arch = "wasm32"))]
mod properties;

fn rule(model: Option<&str>, targets: &[(&str, Option<u32>)]) -> ModelRule {
    ModelRule {
        model: model.map(str::to_owned),
        source: "chat-split".to_owned(),
        priority: model.map(|model| -(model.len() as i32)),
        targets: targets
            .iter()
            .map(|(model, weight)| Target::new(model, *weight))
            .collect(),
    }
}

fn policy(rules: Vec<ModelRule>) -> Policy {
    let parts = PolicyParts {
        pool: "default/chat".to_owned(),
        rules,
        objectives: [("batch", -1), ("chat", 7), ("min", i32::MIN)]
            .map(|(name, priority)| (name.to_owned(), priority))
            .into(),
        models: BTreeMap::from([
            ("base".to_owned(), None),
            ("sql".to_owned(), Some("base".to_owned())),
            ("\u{6a21}\u{578b}".to_owned(), None),
        ]),
        fail_open: true,
    };
    Policy::new(parts).unwrap()
}

fn sample() -> Policy {
    policy(vec![
        rule(None, &[("fallback", None)]),
        rule(Some("sql"), &[("sql-v1", Some(70)), ("sql-v2", Some(30))]),
        rule(Some("direct"), &[]),
    ])
}

fn view(policy: &Policy) -> PolicyView {
    decode(&encode(policy)).unwrap()
}

/// The policy that a view shows.
fn shown(view: &PolicyView) -> Policy {
    let rules = view.rules().map(|rule| ModelRule {
        model: rule.model().map(str::to_owned),
        source: rule.source().to_owned(),
        priority: rule.priority(),
        targets: rule
            .targets()
            .map(|(model, weight)| Target::new(model, weight))
            .collect(),
    });
    let parts = PolicyParts {
        pool: view.pool().to_owned(),
        rules: rules.collect(),
        objectives: view
            .objectives()
            .map(|(name, priority)| (name.to_owned(), priority))
            .collect(),
        models: view
            .listed()
            .map(|(model, base)| (model.to_owned(), base.map(str::to_owned)))
            .collect(),
        fail_open: view.fail_open(),
    };
    Policy::new(parts).unwrap()
}

#[test]
fn an_exact_rule_beats_the_one_for_all_others() {
    let view = view(&sample());
    let model = |name| view.rule(name).unwrap().model();
    assert_eq!(model("sql"), Some("sql"));
    assert_eq!(model("direct"), Some("direct"));
    assert_eq!(model("sql2"), None);
    assert_eq!(model(""), None, "no model is no exact match");
    assert_eq!(view.rule("sql").unwrap().source(), "chat-split");
    assert_eq!(view.rule("sql").unwrap().priority(), Some(-3));
    assert_eq!(view.rule("other").unwrap().priority(), None);
    let exact = policy(vec![rule(Some("a"), &[])]);
    assert!(self::view(&exact).rule("b").is_none());
    assert!(self::view(&exact).rule("").is_none());
    assert!(self::view(&policy(Vec::new())).rule("b").is_none());
}

#[test]
fn objectives_and_models_are_found_by_name() {
    let view = view(&sample());
    assert_eq!(view.pool(), "default/chat");
    assert!(view.fail_open());
    assert_eq!(view.priority("chat"), Some(7));
    assert_eq!(view.priority("batch"), Some(-1));
    assert_eq!(view.priority("min"), Some(i32::MIN));
    assert_eq!(view.priority("chas"), None);
    assert_eq!(view.priority(""), None);
    for served in ["base", "direct", "sql", "\u{6a21}\u{578b}"] {
        assert!(view.serves(served), "{served}");
    }
    for unknown in ["", "fallback", "sql-v1", "zzz"] {
        assert!(!view.serves(unknown), "{unknown}");
    }
    assert_eq!(view.base_of("sql"), Some("base"));
    assert_eq!(view.base_of("base"), None);
    assert_eq!(view.base_of("unknown"), None);
    let models: Vec<&str> = view.models().collect();
    assert_eq!(models, ["base", "direct", "sql", "\u{6a21}\u{578b}"]);
}

/// The reference's table: `R:pkg/epp/requestcontrol/director_test.go`.
#[test]
fn the_draw_follows_the_weights() {
    let share = |targets: &[(&str, Option<u32>)]| {
        let view = view(&policy(vec![rule(None, targets)]));
        let rule = view.rule("m").unwrap();
        let mut random = SplitMix64::new(7);
        let mut drawn: BTreeMap<&str, u32> = BTreeMap::new();
        for _ in 0..100_000 {
            *drawn
                .entry(rule.draw(random.next_u64()).unwrap())
                .or_default() += 1;
        }
        let shares = drawn
            .iter()
            .map(|(name, count)| ((*name).to_owned(), (*count + 500) / 1_000));
        shares.collect::<Vec<(String, u32)>>()
    };
    let named = |a: u32, b: u32| vec![("a".to_owned(), a), ("b".to_owned(), b)];
    assert_eq!(share(&[("a", Some(70)), ("b", Some(30))]), named(70, 30));
    assert_eq!(
        share(&[("a", None), ("b", None)]),
        named(50, 50),
        "no weights"
    );
    assert_eq!(
        share(&[("a", Some(0)), ("b", Some(0))]),
        named(50, 50),
        "a sum of 0"
    );
    let only_b = vec![("b".to_owned(), 100)];
    assert_eq!(
        share(&[("a", None), ("b", Some(1))]),
        only_b,
        "mixed: a is never drawn"
    );
    assert_eq!(share(&[("a", Some(0)), ("b", Some(1_000_000))]), only_b);
    assert_eq!(share(&[("b", None)]), only_b);
    let none = view(&policy(vec![rule(None, &[])]));
    assert_eq!(none.rule("m").unwrap().draw(3), None, "the name stays");
}

#[test]
fn the_same_number_draws_the_same_target() {
    let view = view(&sample());
    let rule = view.rule("sql").unwrap();
    let drawn: Vec<_> = [0, 69, 70, 99, 100]
        .map(|random| rule.draw(random).unwrap())
        .into();
    assert_eq!(drawn, ["sql-v1", "sql-v1", "sql-v2", "sql-v2", "sql-v1"]);
}

#[test]
fn a_policy_travels_as_its_value() {
    let policy = sample();
    let sent = policy_to_proto(&policy);
    assert_eq!(shown(&policy_from_proto(&sent).unwrap()), policy);
    assert_eq!(
        policy_from_proto(&sent).unwrap().revision(),
        policy.revision()
    );
    let other = crate::proto::Policy {
        pool: "other".to_owned(),
        ..sent.clone()
    };
    assert!(policy_from_proto(&other).is_err());
    let cut = crate::proto::Policy {
        table: sent.table[1..].to_vec(),
        ..sent
    };
    assert!(policy_from_proto(&cut).is_err());
}

#[test]
fn a_value_cut_anywhere_is_refused() {
    let value = encode(&sample());
    for length in 0..value.len() {
        assert!(decode(&value[..length]).is_err());
        let mut cut = value[..length.min(value.len() - 9)].to_vec();
        cut.extend_from_slice(&[0; 8]);
        if cut.len() >= 20 {
            reseal(&mut cut);
            assert!(decode(&cut).is_err(), "sealed again at {length}");
        }
    }
}

#[test]
fn each_flipped_bit_under_a_right_checksum_is_another_policy_or_refused() {
    let value = encode(&sample());
    let mut read = 0;
    for bit in 0..value.len() * 8 {
        let mut flipped = value.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&flipped).is_err(), "the checksum sees bit {bit}");
        reseal(&mut flipped);
        if let Ok(view) = decode(&flipped) {
            read += 1;
            let parts = shown(&view).into_parts();
            assert!(
                encode_parts(&parts, view.revision()) == flipped || flipped == value,
                "bit {bit}"
            );
        }
    }
    assert!(read > 100, "{read}: names can change");
}

#[test]
fn other_kinds_and_rubbish_are_refused() {
    assert_eq!(decode(&[]), Err(SlotError::Empty));
    assert_eq!(
        decode(&crate::slot::version::encode(1)),
        Err(SlotError::Kind {
            expected: 6,
            got: 4
        })
    );
    assert!(decode(&vec![0; crate::limits::MAX_POLICY_BYTES + 1]).is_err());
}
