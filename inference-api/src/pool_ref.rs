//! Which pool a model's resource is for.

use crate::{
    fields::{Checker, Section},
    names,
};

/// The name of an InferencePool in the same namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolRef {
    /// Its name.
    pub name: String,
}

/// The field `poolRef` of a specification.
pub(crate) fn read(checker: &mut Checker, spec: &Section<'_>) -> Option<PoolRef> {
    let field = checker.required(spec, "poolRef")?;
    let section = checker.section(&field, &["group", "kind", "name"])?;
    if let Some(group) = section.get("group") {
        // The older group stands in resources that were written before the pools had their own.
        let groups = [
            ("inference.networking.k8s.io", ()),
            ("inference.networking.x-k8s.io", ()),
        ];
        checker.one_of(&group, &groups);
    }
    if let Some(kind) = section.get("kind") {
        checker.one_of(&kind, &[("InferencePool", ())]);
    }
    let name = checker.required(&section, "name")?;
    let name = checker.text(&name, names::is_object_name, "the name of an InferencePool")?;
    Some(PoolRef { name })
}
