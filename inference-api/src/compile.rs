//! From resources to what is in force: a membership and a policy for each pool.

mod membership;
mod precedence;

use std::collections::BTreeMap;

use pool_state::policy::{Policy, PolicyParts};

pub use membership::{Endpoint, Host};

use crate::{
    mistake::Mistake,
    object::{Kind, Meta, Object, Spec},
    pool::InferencePool,
    pool_ref::PoolRef,
    set::ResourceSet,
};

/// What the resources mean.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Compiled {
    /// The pools, ascending by name.
    pub pools: Vec<CompiledPool>,
    /// What is wrong among objects that are sound alone. What they concern is left out; all else
    /// counts.
    pub mistakes: Vec<Mistake>,
}

/// A pool with all that is said about it.
#[derive(Debug, Clone, PartialEq)]
pub struct CompiledPool {
    /// The name that gateways ask for: `namespace/name`.
    pub name: String,
    /// What the InferencePool says.
    pub spec: InferencePool,
    /// Pod x port, of pods that can take requests.
    pub endpoints: Vec<Endpoint>,
    /// What it serves and how; what pods say they serve is not in it yet.
    pub policy: Policy,
}

/// Compiles all pools.
#[must_use]
pub fn compile(set: &ResourceSet) -> Compiled {
    let mut mistakes = Vec::new();
    let pods = membership::Pods::new(set);
    let mut pools: BTreeMap<(&str, &str), Draft<'_>> = BTreeMap::new();
    for object in set.iter() {
        if let Spec::Pool(pool) = &object.spec
            && is_served(&object.meta, pool, &mut mistakes)
        {
            let key = &object.meta.key;
            pools.insert((&key.namespace, &key.name), Draft::new(&object.meta, pool));
        }
    }
    for object in precedence::oldest_first(set) {
        let Some(reference) = pool_of(object) else {
            continue;
        };
        let key = &object.meta.key;
        match pools.get_mut(&(key.namespace.as_str(), reference.name.as_str())) {
            Some(draft) => draft.add(object),
            None => {
                let (name, namespace) = (&reference.name, &key.namespace);
                let message =
                    format!("there is no InferencePool `{name}` for us in namespace `{namespace}`");
                let origin = &object.meta.origin;
                mistakes.push(Mistake::new(
                    origin,
                    Some(key),
                    "spec.poolRef.name",
                    message,
                ));
            }
        }
    }
    let drafts = pools.into_values();
    let pools = drafts
        .filter_map(|draft| draft.finish(&pods, &mut mistakes))
        .collect();
    mistakes.sort_by(|a, b| a.origin.cmp(&b.origin));
    Compiled { pools, mistakes }
}

/// Whether we are to pick for the pool.
fn is_served(meta: &Meta, pool: &InferencePool, mistakes: &mut Vec<Mistake>) -> bool {
    if meta.deleting {
        return false;
    }
    let Some(picker) = pool.picker.as_ref().filter(|picker| !picker.is_ours()) else {
        return true;
    };
    let message = format!(
        "expected zerohop, a name that begins with `zerohop-`, or no endpointPickerRef, found `{}`",
        picker.name
    );
    let path = "spec.endpointPickerRef.name";
    mistakes.push(Mistake::new(&meta.origin, Some(&meta.key), path, message));
    false
}

fn pool_of(object: &Object) -> Option<&PoolRef> {
    match &object.spec {
        Spec::Objective(objective) => Some(&objective.pool),
        Spec::Rewrite(rewrite) => Some(&rewrite.pool),
        Spec::Model(model) => Some(&model.pool),
        Spec::Pool(_) | Spec::EndpointList(_) | Spec::Pod(_) => None,
    }
}

/// A pool while its resources are put together.
struct Draft<'a> {
    meta: &'a Meta,
    spec: &'a InferencePool,
    rules: precedence::Rules,
    objectives: BTreeMap<String, i32>,
}

impl<'a> Draft<'a> {
    const fn new(meta: &'a Meta, spec: &'a InferencePool) -> Self {
        Self {
            meta,
            spec,
            rules: precedence::Rules::new(),
            objectives: BTreeMap::new(),
        }
    }

    fn add(&mut self, object: &Object) {
        let name = &object.meta.key.name;
        match &object.spec {
            Spec::Objective(objective) => {
                self.objectives.insert(name.clone(), objective.priority);
            }
            Spec::Rewrite(rewrite) => self.rules.add_rewrite(name, rewrite),
            Spec::Model(model) => self.rules.add_model(name, model),
            Spec::Pool(_) | Spec::EndpointList(_) | Spec::Pod(_) => {}
        }
    }

    fn finish(
        self,
        pods: &membership::Pods<'_>,
        mistakes: &mut Vec<Mistake>,
    ) -> Option<CompiledPool> {
        let key = &self.meta.key;
        let name = format!("{}/{}", key.namespace, key.name);
        let parts = PolicyParts {
            pool: name.clone(),
            rules: self.rules.into_rules(),
            objectives: self.objectives,
            models: BTreeMap::new(),
            fail_open: self.spec.failure_mode() == crate::pool::FailureMode::FailOpen,
        };
        match Policy::new(parts) {
            Ok(policy) => Some(CompiledPool {
                endpoints: pods.of(&key.namespace, self.spec),
                name,
                spec: self.spec.clone(),
                policy,
            }),
            Err(error) => {
                let message = format!("what its resources say cannot be a policy: {error}");
                mistakes.push(Mistake::new(&self.meta.origin, Some(key), "", message));
                None
            }
        }
    }
}

/// Whether objects of this kind are about one pool.
#[must_use]
pub(crate) const fn has_pool_ref(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::InferenceObjective | Kind::InferenceModelRewrite | Kind::InferenceModel
    )
}

#[cfg(test)]
mod tests;
