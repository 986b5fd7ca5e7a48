//! A worker's copy of a policy: checked once, then read in place.

use std::{cmp::Ordering, ops::Range};

use super::{NO_WEIGHT, RULE_WORDS};
use crate::{
    SlotError,
    limits::{self, MAX_POLICY_BYTES, MAX_POLICY_ENTRIES, MAX_TARGET_WEIGHT, MAX_TARGETS},
    slot::codec::{Kind, Reader},
};

/// A checked policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyView {
    revision: u64,
    fail_open: bool,
    rules: usize,
    targets: usize,
    objectives: usize,
    models: usize,
    words: Box<[u32]>,
    text: Box<str>,
}

/// A rule of a policy.
#[derive(Debug, Clone, Copy)]
pub struct RuleView<'a> {
    policy: &'a PolicyView,
    index: usize,
}

/// The policy in a slot's value.
///
/// # Errors
/// When the bytes are anything but what [`encode`](super::encode) writes of a checked policy.
pub fn decode(value: &[u8]) -> Result<PolicyView, SlotError> {
    if value.len() > MAX_POLICY_BYTES {
        return Err(refused("policy", 0));
    }
    let mut reader = Reader::open(Kind::Policy, value)?;
    let revision = reader.u64("revision")?;
    let fail_open = match reader.u32("failure mode")? {
        flag @ 0..=1 => flag == 1,
        _ => return Err(refused("failure mode", 0)),
    };
    let rules = reader.count(MAX_POLICY_ENTRIES, 0, "rules")?;
    let targets = reader.count(MAX_POLICY_BYTES, 4, "targets")?;
    let objectives = reader.count(MAX_POLICY_ENTRIES, 0, "objectives")?;
    let models = reader.count(MAX_POLICY_ENTRIES, 0, "models")?;
    let mut view = PolicyView {
        revision,
        fail_open,
        rules,
        targets,
        objectives,
        models,
        words: Box::default(),
        text: Box::default(),
    };
    // At most a million words: nothing here can overflow.
    let count = view.ends_at() + view.models_at() + 2 * models;
    let (words, _) = reader.take(4 * count, "numbers")?.as_chunks();
    view.words = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let text = str::from_utf8(reader.rest()).map_err(|_| refused("text", 0))?;
    view.text = text.into();
    view.check()?;
    Ok(view)
}

const fn refused(field: &'static str, index: usize) -> SlotError {
    SlotError::Field { field, index }
}

impl PolicyView {
    /// The pool's name.
    #[must_use]
    pub fn pool(&self) -> &str {
        self.text(0)
    }

    /// A hash of the content; see [`Policy::revision`](crate::policy::Policy::revision).
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether requests go on without a decision when nothing is known of the pool (FailOpen).
    #[must_use]
    pub const fn fail_open(&self) -> bool {
        self.fail_open
    }

    /// The rule for a model: the one for exactly this name, else the one for all others.
    #[must_use]
    pub fn rule(&self, model: &str) -> Option<RuleView<'_>> {
        let rules = self.rules_at()..self.sources_at();
        let found = self.find(&rules, model).filter(|_| !model.is_empty());
        // The rule for all others is the first and has the empty name.
        let generic = || (self.rules > 0 && self.text(rules.start).is_empty()).then_some(0);
        let index = found.or_else(generic)?;
        Some(RuleView {
            policy: self,
            index,
        })
    }

    /// The priority that an objective gives; `None` when the pool has no objective of this name.
    #[must_use]
    pub fn priority(&self, objective: &str) -> Option<i32> {
        let index = self.find(&(self.objectives_at()..self.models_at()), objective)?;
        let at = RULE_WORDS * self.rules + self.targets + index;
        Some(self.word(at).cast_signed())
    }

    /// Whether the pool serves the model: an exact rule is for it, or a pod lists it. The rule for
    /// all others serves nothing by itself.
    #[must_use]
    pub fn serves(&self, model: &str) -> bool {
        let lists = [self.rules_at()..self.sources_at(), self.model_texts()];
        !model.is_empty() && lists.iter().any(|list| self.find(list, model).is_some())
    }

    /// The base model of an adapter that a pod lists.
    #[must_use]
    pub fn base_of(&self, adapter: &str) -> Option<&str> {
        let index = self.find(&self.model_texts(), adapter)?;
        let base = self.text(self.model_texts().end + index);
        (!base.is_empty()).then_some(base)
    }

    /// The public names of all models that the pool serves, ascending, each once.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        let mut ruled = (self.rules_at()..self.sources_at()).peekable();
        let mut listed = self.model_texts().peekable();
        let names = std::iter::from_fn(move || {
            let order = match (ruled.peek(), listed.peek()) {
                (Some(a), Some(b)) => self.text(*a).cmp(self.text(*b)),
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            if order.is_eq() {
                ruled.next();
            }
            let next = if order.is_lt() {
                ruled.next()
            } else {
                listed.next()
            };
            next.map(|index| self.text(index))
        });
        names.filter(|name| !name.is_empty())
    }

    /// All rules, ascending by model, the one for all others first.
    pub fn rules(&self) -> impl Iterator<Item = RuleView<'_>> {
        (0..self.rules).map(|index| RuleView {
            policy: self,
            index,
        })
    }

    /// All objectives with their priorities, ascending by name.
    pub fn objectives(&self) -> impl Iterator<Item = (&str, i32)> {
        (0..self.objectives).map(|index| {
            let priority = self.word(RULE_WORDS * self.rules + self.targets + index);
            (
                self.text(self.objectives_at() + index),
                priority.cast_signed(),
            )
        })
    }

    /// What pods list: each model and, of an adapter, its base model; ascending.
    pub fn listed(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.model_texts().map(|index| {
            let base = self.text(index + self.models);
            (self.text(index), (!base.is_empty()).then_some(base))
        })
    }

    const fn ends_at(&self) -> usize {
        RULE_WORDS * self.rules + self.targets + self.objectives
    }

    const fn rules_at(&self) -> usize {
        1
    }

    const fn sources_at(&self) -> usize {
        self.rules_at() + self.rules
    }

    const fn targets_at(&self) -> usize {
        self.sources_at() + self.rules
    }

    const fn objectives_at(&self) -> usize {
        self.targets_at() + self.targets
    }

    const fn models_at(&self) -> usize {
        self.objectives_at() + self.objectives
    }

    const fn model_texts(&self) -> Range<usize> {
        self.models_at()..self.models_at() + self.models
    }

    fn word(&self, at: usize) -> u32 {
        self.words.get(at).copied().unwrap_or_default()
    }

    /// One past the last target of the rule at `index`.
    fn targets_end(&self, index: usize) -> usize {
        self.word(RULE_WORDS * index) as usize
    }

    fn end(&self, text: usize) -> usize {
        self.word(self.ends_at() + text) as usize
    }

    fn text(&self, index: usize) -> &str {
        let start = index.checked_sub(1).map_or(0, |before| self.end(before));
        self.text.get(start..self.end(index)).unwrap_or_default()
    }

    /// The place within `texts`, which are sorted, of `wanted`.
    fn find(&self, texts: &Range<usize>, wanted: &str) -> Option<usize> {
        let (mut low, mut high) = (texts.start, texts.end);
        while low < high {
            let middle = low.midpoint(high);
            match self.text(middle).cmp(wanted) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Some(middle - texts.start),
                Ordering::Greater => high = middle,
            }
        }
        None
    }

    fn check(&self) -> Result<(), SlotError> {
        let mut start = 0;
        for index in 0..self.rules {
            let end = self.targets_end(index);
            let count = end.checked_sub(start);
            let at = RULE_WORDS * index;
            let flag = self.word(at + 1);
            let priority = flag == 1 || (flag == 0 && self.word(at + 2) == 0);
            if end > self.targets || !priority || count.is_none_or(|count| count > MAX_TARGETS) {
                return Err(refused("rule", index));
            }
            start = end;
        }
        if start != self.targets {
            return Err(refused("targets", 0));
        }
        for index in 0..self.targets {
            let weight = self.word(RULE_WORDS * self.rules + index);
            if weight > MAX_TARGET_WEIGHT && weight != NO_WEIGHT {
                return Err(refused("weight", index));
            }
        }
        self.check_texts()
    }

    fn check_texts(&self) -> Result<(), SlotError> {
        let mut start = 0;
        for index in 0..self.model_texts().end + self.models {
            let end = self.end(index);
            if self.text.get(start..end).is_none() {
                return Err(refused("text", index));
            }
            start = end;
        }
        if start != self.text.len() {
            return Err(refused("text", 0));
        }
        let empty_or_model = |name: &str| name.is_empty() || limits::is_model_name(name);
        self.each("pool", 0..1, limits::is_pool_name)?;
        // Only the first can be empty, because they ascend.
        self.each("model", self.rules_at()..self.sources_at(), empty_or_model)?;
        self.each(
            "source",
            self.sources_at()..self.targets_at(),
            limits::is_resource_name,
        )?;
        self.each(
            "target",
            self.targets_at()..self.objectives_at(),
            limits::is_model_name,
        )?;
        self.each(
            "objective",
            self.objectives_at()..self.models_at(),
            limits::is_resource_name,
        )?;
        self.each("listed model", self.model_texts(), limits::is_model_name)?;
        let bases = self.model_texts().end..self.model_texts().end + self.models;
        self.each("base model", bases, empty_or_model)?;
        self.ascending(self.rules_at()..self.sources_at())?;
        self.ascending(self.objectives_at()..self.models_at())?;
        self.ascending(self.model_texts())
    }

    fn each(
        &self,
        field: &'static str,
        texts: Range<usize>,
        allowed: fn(&str) -> bool,
    ) -> Result<(), SlotError> {
        let first = texts.start;
        match texts.into_iter().find(|text| !allowed(self.text(*text))) {
            Some(text) => Err(refused(field, text - first)),
            None => Ok(()),
        }
    }

    fn ascending(&self, texts: Range<usize>) -> Result<(), SlotError> {
        let pairs = texts.clone().zip(texts.skip(1));
        for (a, b) in pairs {
            if self.text(a) >= self.text(b) {
                return Err(refused("order", a));
            }
        }
        Ok(())
    }
}

impl<'a> RuleView<'a> {
    /// The public name that it is for; `None` for every model that no other rule is for.
    #[must_use]
    pub fn model(self) -> Option<&'a str> {
        let model = self.policy.text(self.policy.rules_at() + self.index);
        (!model.is_empty()).then_some(model)
    }

    /// The name of the resource that it comes from.
    #[must_use]
    pub fn source(self) -> &'a str {
        self.policy.text(self.policy.sources_at() + self.index)
    }

    /// The priority of its requests, where the model has one of its own.
    #[must_use]
    pub fn priority(self) -> Option<i32> {
        let at = RULE_WORDS * self.index;
        (self.policy.word(at + 1) == 1).then(|| self.policy.word(at + 2).cast_signed())
    }

    /// The names that requests are rewritten to, with their weights.
    pub fn targets(self) -> impl Iterator<Item = (&'a str, Option<u32>)> {
        let policy = self.policy;
        self.target_range().map(move |target| {
            let weight = policy.word(RULE_WORDS * policy.rules + target);
            let weight = (weight != NO_WEIGHT).then_some(weight);
            (policy.text(policy.targets_at() + target), weight)
        })
    }

    /// The target that `random` falls on; `None` when there is none and the name stays. A target
    /// has as many chances as its weight, one without a weight none; when nobody has any, all are
    /// equal. The same number always falls on the same target, so that a hash of the request's id
    /// keeps retries where they were.
    #[must_use]
    pub fn draw(self, random: u64) -> Option<&'a str> {
        let sum: u64 = self.targets().map(|(_, weight)| chances(weight)).sum();
        if sum == 0 {
            let count = self.target_range().len() as u64;
            let nth = random.checked_rem(count)?;
            return self
                .targets()
                .nth(usize::try_from(nth).ok()?)
                .map(|(model, _)| model);
        }
        let mut left = random.checked_rem(sum)?;
        for (model, weight) in self.targets() {
            match left.checked_sub(chances(weight)) {
                Some(rest) => left = rest,
                None => return Some(model),
            }
        }
        None
    }

    fn target_range(self) -> Range<usize> {
        let before = self.index.checked_sub(1);
        let start = before.map_or(0, |before| self.policy.targets_end(before));
        start..self.policy.targets_end(self.index)
    }
}

fn chances(weight: Option<u32>) -> u64 {
    weight.unwrap_or_default().into()
}
