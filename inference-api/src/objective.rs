//! InferenceObjective: the priority of the requests that name it.

use crate::{
    fields::{Checker, Field},
    pool_ref::{self, PoolRef},
};

/// What an InferenceObjective says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferenceObjective {
    /// Any number, 0 when it says none; negative is sheddable.
    pub priority: i32,
    /// The pool that it is for.
    pub pool: PoolRef,
}

pub(crate) fn read(checker: &mut Checker, field: &Field<'_>) -> Option<InferenceObjective> {
    let section = checker.section(field, &["priority", "poolRef"])?;
    let all = i64::from(i32::MIN)..=i64::from(i32::MAX);
    let priority = match section.get("priority") {
        Some(field) => checker.integer(&field, all),
        None => Some(0),
    };
    let pool = pool_ref::read(checker, &section);
    Some(InferenceObjective {
        priority: priority?,
        pool: pool?,
    })
}
