//! Which rule counts when several are for the same model: the oldest resource's, then the first in
//! its list. That an exact rule beats one for all models is the lookup's business.

use std::collections::{BTreeMap, btree_map::Entry};

use pool_state::policy::{ModelRule, Target};

use super::has_pool_ref;
use crate::{
    model::InferenceModel, object::Object, rewrite::InferenceModelRewrite, set::ResourceSet,
};

/// The objects that are about a pool and are to stay, by age. Those without a date come last, in
/// the order of their files; what is equal even then, by namespace and name.
pub(super) fn oldest_first(set: &ResourceSet) -> Vec<&Object> {
    let mut objects: Vec<&Object> = set
        .iter()
        .filter(|object| has_pool_ref(object.meta.key.kind) && !object.meta.deleting)
        .collect();
    objects.sort_by_key(|object| {
        let meta = &object.meta;
        let name = (&meta.key.namespace, &meta.key.name, meta.key.kind);
        (meta.created.is_none(), &meta.created, &meta.origin, name)
    });
    objects
}

/// The rules of a pool, one a model.
#[derive(Debug)]
pub(super) struct Rules(BTreeMap<Option<String>, ModelRule>);

impl Rules {
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn add_rewrite(&mut self, source: &str, rewrite: &InferenceModelRewrite) {
        for rule in &rewrite.rules {
            if rule.models.is_empty() {
                self.add(None, source, None, &rule.targets);
            }
            for model in &rule.models {
                self.add(Some(model), source, None, &rule.targets);
            }
        }
    }

    pub(super) fn add_model(&mut self, source: &str, model: &InferenceModel) {
        let priority = Some(model.criticality.priority());
        self.add(Some(&model.model), source, priority, &model.targets);
    }

    fn add(
        &mut self,
        model: Option<&String>,
        source: &str,
        priority: Option<i32>,
        targets: &[Target],
    ) {
        if let Entry::Vacant(vacant) = self.0.entry(model.cloned()) {
            vacant.insert(ModelRule {
                model: model.cloned(),
                source: source.to_owned(),
                priority,
                targets: targets.to_vec(),
            });
        }
    }

    pub(super) fn into_rules(self) -> Vec<ModelRule> {
        self.0.into_values().collect()
    }
}
