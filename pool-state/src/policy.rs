//! What a pool serves and how: the one internal representation of the inference APIs, whatever
//! their resources came from.
//!
//! ```text
//!   resources --compile (inference-api)--> Policy --slot::policy::encode--> agent's message
//!                                                                               |
//!   worker: PolicyView <--slot::policy::decode-- slot <-- leader, after checks -+
//! ```
//!
//! Precedence is settled before: there is at most one rule for a model and one for all others.

use std::collections::BTreeMap;

use xxhash_rust::xxh64::xxh64;

pub use crate::slot::policy::{PolicyView, RuleView};
use crate::{
    error::Excerpt,
    limits::{self, MAX_POLICY_BYTES, MAX_POLICY_ENTRIES, MAX_TARGET_WEIGHT, MAX_TARGETS},
    slot,
};

/// What becomes of requests for a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRule {
    /// The public name that it is for; `None` for every model that no other rule is for.
    pub model: Option<String>,
    /// The name of the resource that it comes from.
    pub source: String,
    /// The priority of its requests, where the model has one of its own (the legacy
    /// InferenceModel); negative is sheddable.
    pub priority: Option<i32>,
    /// The names that requests are rewritten to; none leaves the name as it is.
    pub targets: Vec<Target>,
}

/// One name that a request may be rewritten to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The name that the model servers know.
    pub model: String,
    /// Its share of the draw, `0..=1000000`, relative to the other targets of its rule
    /// ([`crate::policy::RuleView::draw`]).
    pub weight: Option<u32>,
}

impl Target {
    /// A target with a weight.
    #[must_use]
    pub fn new(model: &str, weight: Option<u32>) -> Self {
        Self {
            model: model.to_owned(),
            weight,
        }
    }
}

/// The content of a policy before its checks. Order has no meaning in any list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PolicyParts {
    /// The pool's name.
    pub pool: String,
    /// The rules, at most one a model and one for all others.
    pub rules: Vec<ModelRule>,
    /// Priority by name of the objective; negative is sheddable.
    pub objectives: BTreeMap<String, i32>,
    /// What pods say they serve, beside the rules' names: model, and of an adapter its base model.
    pub models: BTreeMap<String, Option<String>>,
    /// Whether requests go on without a decision when nothing is known of the pool (FailOpen).
    pub fail_open: bool,
}

/// Why something is no policy: the place within [`PolicyParts`] and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Not a name for a pool.
    #[error("pool: a name is 1..128 bytes of visible ASCII, got {0}")]
    PoolName(Excerpt),
    /// Not a name for a model.
    #[error("{0}: a model's name is 1..256 bytes without control characters, got {1}")]
    ModelName(String, Excerpt),
    /// Not a name for a resource.
    #[error("{0}: a resource's name is 1..253 bytes of visible ASCII, got {1}")]
    ResourceName(String, Excerpt),
    /// Two rules for one model.
    #[error("rules: there are two for {0}")]
    Duplicate(Excerpt),
    /// More elements than allowed.
    #[error("{0}: at most {limit} elements are allowed, got {count}", limit = .1, count = .2)]
    TooMany(String, usize, usize),
    /// A weight over its limit.
    #[error("{0}.weight: at most {MAX_TARGET_WEIGHT} is allowed, got {1}")]
    Weight(String, u32),
    /// Larger than a slot's value may be.
    #[error("at most {MAX_POLICY_BYTES} bytes are allowed for a pool, got {0}")]
    TooLarge(usize),
}

/// A policy that keeps every limit, its rules sorted by model with the one for all others first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    parts: PolicyParts,
    revision: u64,
}

impl Policy {
    /// Checks and sorts `parts`.
    ///
    /// # Errors
    /// With the first part that breaks a limit, or that there is twice.
    pub fn new(mut parts: PolicyParts) -> Result<Self, PolicyError> {
        parts.rules.sort_by(|a, b| a.model.cmp(&b.model));
        check(&parts)?;
        let bytes = slot::policy::encode_parts(&parts, 0);
        if bytes.len() > MAX_POLICY_BYTES {
            return Err(PolicyError::TooLarge(bytes.len()));
        }
        let revision = xxh64(&bytes, 0);
        Ok(Self { parts, revision })
    }

    /// The content.
    #[must_use]
    pub const fn parts(&self) -> &PolicyParts {
        &self.parts
    }

    /// The content, to be changed and checked again.
    #[must_use]
    pub fn into_parts(self) -> PolicyParts {
        self.parts
    }

    /// A hash of the content: equal policies have equal revisions, whoever made them.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }
}

fn check(parts: &PolicyParts) -> Result<(), PolicyError> {
    if !limits::is_pool_name(&parts.pool) {
        return Err(PolicyError::PoolName(Excerpt::new(&parts.pool)));
    }
    let counts = [
        ("rules", parts.rules.len()),
        ("objectives", parts.objectives.len()),
        ("models", parts.models.len()),
    ];
    for (place, count) in counts {
        at_most(MAX_POLICY_ENTRIES, count, place)?;
    }
    for (index, rule) in parts.rules.iter().enumerate() {
        check_rule(rule, &format!("rules[{index}]"))?;
    }
    for pair in parts.rules.windows(2) {
        if let [a, b] = pair
            && a.model == b.model
        {
            let model = a.model.as_deref().unwrap_or_default();
            return Err(PolicyError::Duplicate(Excerpt::new(model)));
        }
    }
    for objective in parts.objectives.keys() {
        resource_name(objective, "objectives")?;
    }
    for (model, base) in &parts.models {
        model_name(model, "models")?;
        if let Some(base) = base {
            model_name(base, "models")?;
        }
    }
    Ok(())
}

fn check_rule(rule: &ModelRule, place: &str) -> Result<(), PolicyError> {
    if let Some(model) = &rule.model {
        model_name(model, place)?;
    }
    resource_name(&rule.source, place)?;
    at_most(MAX_TARGETS, rule.targets.len(), &format!("{place}.targets"))?;
    for (index, target) in rule.targets.iter().enumerate() {
        let place = format!("{place}.targets[{index}]");
        model_name(&target.model, &place)?;
        if let Some(weight) = target.weight.filter(|weight| *weight > MAX_TARGET_WEIGHT) {
            return Err(PolicyError::Weight(place, weight));
        }
    }
    Ok(())
}

fn at_most(limit: usize, count: usize, place: &str) -> Result<(), PolicyError> {
    if count <= limit {
        return Ok(());
    }
    Err(PolicyError::TooMany(place.to_owned(), limit, count))
}

fn model_name(name: &str, place: &str) -> Result<(), PolicyError> {
    if limits::is_model_name(name) {
        return Ok(());
    }
    Err(PolicyError::ModelName(place.to_owned(), Excerpt::new(name)))
}

fn resource_name(name: &str, place: &str) -> Result<(), PolicyError> {
    if limits::is_resource_name(name) {
        return Ok(());
    }
    Err(PolicyError::ResourceName(
        place.to_owned(),
        Excerpt::new(name),
    ))
}

#[cfg(test)]
mod tests;
