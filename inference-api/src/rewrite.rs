//! InferenceModelRewrite: public names and what they are rewritten to.

use pool_state::{
    limits::{self, MAX_TARGET_WEIGHT, MAX_TARGETS},
    policy::Target,
};

use crate::{
    fields::{Checker, Field},
    pool_ref::{self, PoolRef},
};

/// Rules of one resource, and matches of one rule, at most.
const MAX_RULES: usize = 1_000;

/// What an InferenceModelRewrite says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferenceModelRewrite {
    /// The pool that it is for.
    pub pool: PoolRef,
    /// Its rules, the first that matches counts.
    pub rules: Vec<RewriteRule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewriteRule {
    /// The public names that it is for; none makes it one for all models.
    pub models: Vec<String>,
    /// What they are rewritten to; at least one.
    pub targets: Vec<Target>,
}

pub(crate) fn read(checker: &mut Checker, field: &Field<'_>) -> Option<InferenceModelRewrite> {
    let section = checker.section(field, &["poolRef", "rules"])?;
    let pool = pool_ref::read(checker, &section);
    let rules = checker.required(&section, "rules");
    let rules = rules.map(|field| checker.list(&field, 1..=MAX_RULES));
    let rules = rules.unwrap_or_default();
    let rules = rules
        .iter()
        .filter_map(|field| rule(checker, field))
        .collect();
    Some(InferenceModelRewrite { pool: pool?, rules })
}

fn rule(checker: &mut Checker, field: &Field<'_>) -> Option<RewriteRule> {
    let section = checker.section(field, &["matches", "targets"])?;
    let matches = section
        .get("matches")
        .map(|field| checker.list(&field, 0..=MAX_RULES));
    let matches = matches.unwrap_or_default();
    let models = matches
        .iter()
        .filter_map(|field| model_match(checker, field))
        .collect();
    let targets = checker.required(&section, "targets")?;
    let targets = targets_in(checker, &targets, 1..=MAX_TARGETS, "modelRewrite");
    Some(RewriteRule { models, targets })
}

fn model_match(checker: &mut Checker, field: &Field<'_>) -> Option<String> {
    let section = checker.section(field, &["model"])?;
    let model = checker.required(&section, "model")?;
    let section = checker.section(&model, &["type", "value"])?;
    if let Some(kind) = section.get("type") {
        checker.one_of(&kind, &[("Exact", ())]);
    }
    let value = checker.required(&section, "value")?;
    model_name(checker, &value)
}

/// A list of targets whose names stand in the field `name`; all have a weight or none has.
pub(crate) fn targets_in(
    checker: &mut Checker,
    field: &Field<'_>,
    count: std::ops::RangeInclusive<usize>,
    name: &str,
) -> Vec<Target> {
    let mut targets = Vec::new();
    let (mut weighted, mut unweighted) = (false, false);
    for field in checker.list(field, count) {
        let Some(section) = checker.section(&field, &[name, "weight"]) else {
            continue;
        };
        let model = checker.required(&section, name);
        let model = model.and_then(|field| model_name(checker, &field));
        let allowed = 1..=i64::from(MAX_TARGET_WEIGHT);
        let weight = section.get("weight");
        // Also a weight with a mistake of its own is one.
        weighted |= weight.is_some();
        unweighted |= weight.is_none();
        let weight = weight.and_then(|field| checker.integer(&field, allowed));
        if let Some(model) = model {
            targets.push(Target { model, weight });
        }
    }
    if weighted && unweighted {
        checker.wrong(&field.path, "all targets have a weight or none has");
    }
    targets
}

pub(crate) fn model_name(checker: &mut Checker, field: &Field<'_>) -> Option<String> {
    let expected = "the name of a model, 1 to 256 bytes without control characters";
    checker.text(field, limits::is_model_name, expected)
}
