//! InferenceModel, the older resource: a public name with its targets and its criticality.

use pool_state::policy::Target;

use crate::{
    fields::{Checker, Field},
    pool_ref::{self, PoolRef},
    rewrite,
};

/// Targets of one model at most.
const MAX_TARGETS: usize = 10;

/// How much the requests for a model matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Criticality {
    /// They go first.
    Critical,
    /// As if nothing was said.
    #[default]
    Standard,
    /// They may be dropped.
    Sheddable,
}

impl Criticality {
    /// The priority that it stands for: the least number above 0, 0 itself, and the greatest below
    /// 0, so that every InferenceObjective can go before or behind.
    #[must_use]
    pub const fn priority(self) -> i32 {
        match self {
            Self::Critical => 1,
            Self::Standard => 0,
            Self::Sheddable => -1,
        }
    }
}

/// What an InferenceModel says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferenceModel {
    /// The public name.
    pub model: String,
    /// How much its requests matter.
    pub criticality: Criticality,
    /// What it is rewritten to; none leaves the name as it is.
    pub targets: Vec<Target>,
    /// The pool that it is for.
    pub pool: PoolRef,
}

pub(crate) fn read(checker: &mut Checker, field: &Field<'_>) -> Option<InferenceModel> {
    let known = ["modelName", "criticality", "targetModels", "poolRef"];
    let section = checker.section(field, &known)?;
    let model = checker.required(&section, "modelName");
    let model = model.and_then(|field| rewrite::model_name(checker, &field));
    let names = [
        ("Critical", Criticality::Critical),
        ("Standard", Criticality::Standard),
        ("Sheddable", Criticality::Sheddable),
    ];
    let criticality = section.get("criticality");
    let criticality = criticality.and_then(|field| checker.one_of(&field, &names));
    let targets = section.get("targetModels");
    let targets =
        targets.map(|field| rewrite::targets_in(checker, &field, 0..=MAX_TARGETS, "name"));
    let pool = pool_ref::read(checker, &section);
    Some(InferenceModel {
        model: model?,
        criticality: criticality.unwrap_or_default(),
        targets: targets.unwrap_or_default(),
        pool: pool?,
    })
}
