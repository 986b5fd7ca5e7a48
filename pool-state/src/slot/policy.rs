//! One pool's policy, as the agent sends it and the leader stores it for every worker.
//!
//! ```text
//!   offset  bytes  after the frame's header
//!        0      8  revision
//!        8      4  1 for FailOpen, 0 for FailClose
//!       12     16  r rules, t targets, o objectives, m models: their counts
//!       28   12 r  rules, ascending by model (the one for all others has the empty name), each
//!                  4 bytes: one past its last target, its first being the rule's before;
//!                  4 bytes: 1 when it has a priority, else 0; 4 bytes: the priority, else 0
//!              4t  the targets' weights, 0xffffffff for none
//!              4o  the objectives' priorities
//!              4s  where each text ends, in bytes from the first: s = 1 + 2r + t + o + 2m
//!                  the texts: pool; rules' models; rules' sources; targets' models; objectives,
//!                  ascending; models, ascending; their base models, empty for none; in UTF-8
//! ```
//!
//! A worker copies it in two pieces, numbers and texts, and finds what it needs by binary search,
//! so that no model costs an allocation. Numbers are words, so that all of it is one array.

mod view;

pub use view::{PolicyView, RuleView, decode};

use super::codec::{Kind, Writer};
use crate::policy::{ModelRule, Policy, PolicyParts};

/// Words of a rule.
const RULE_WORDS: usize = 3;
/// The weight of a target that has none.
const NO_WEIGHT: u32 = u32::MAX;

/// The slot's value for a policy.
#[must_use]
pub fn encode(policy: &Policy) -> Vec<u8> {
    encode_parts(policy.parts(), policy.revision())
}

pub(crate) fn encode_parts(parts: &PolicyParts, revision: u64) -> Vec<u8> {
    let targets = || parts.rules.iter().flat_map(|rule| &rule.targets);
    let mut writer = Writer::new(Kind::Policy, 0);
    writer.u64(revision);
    writer.u32(u32::from(parts.fail_open));
    writer.count(parts.rules.len());
    writer.count(targets().count());
    writer.count(parts.objectives.len());
    writer.count(parts.models.len());
    let mut end = 0_usize;
    for rule in &parts.rules {
        end = end.saturating_add(rule.targets.len());
        writer.count(end);
        writer.u32(rule.priority.is_some().into());
        writer.u32(rule.priority.unwrap_or_default().cast_unsigned());
    }
    for target in targets() {
        writer.u32(target.weight.unwrap_or(NO_WEIGHT));
    }
    for priority in parts.objectives.values() {
        writer.u32(priority.cast_unsigned());
    }
    let mut end = 0_usize;
    for text in texts(parts) {
        end = end.saturating_add(text.len());
        writer.count(end);
    }
    for text in texts(parts) {
        writer.bytes(text.as_bytes());
    }
    writer.seal()
}

fn texts(parts: &PolicyParts) -> impl Iterator<Item = &str> {
    std::iter::once(parts.pool.as_str())
        .chain(parts.rules.iter().map(model_of))
        .chain(parts.rules.iter().map(|rule| rule.source.as_str()))
        .chain(parts.rules.iter().flat_map(targets_of))
        .chain(parts.objectives.keys().map(String::as_str))
        .chain(parts.models.keys().map(String::as_str))
        .chain(
            parts
                .models
                .values()
                .map(|base| base.as_deref().unwrap_or_default()),
        )
}

fn model_of(rule: &ModelRule) -> &str {
    rule.model.as_deref().unwrap_or_default()
}

fn targets_of(rule: &ModelRule) -> impl Iterator<Item = &str> {
    rule.targets.iter().map(|target| target.model.as_str())
}

#[cfg(test)]
mod tests;
