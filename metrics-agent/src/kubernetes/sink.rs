//! Objects of the cluster, read and compiled as files are.

use std::collections::{BTreeMap, BTreeSet};

use inference_api::{Compiled, Mistake, Object, Origin, ResourceSet, Source, Spec, compile, parse};
use serde_json::Value;

use super::{
    complaint::Complaint,
    kind::{INFERENCE_POOL, Kind, WATCHED},
    source::{Report, Sink},
    status::Verdict,
    view::Key,
};

/// The reason in events about objects that were read and refused.
const REFUSED: &str = "Refused";
/// The reason in events about objects that are sound alone.
const UNUSED: &str = "Unused";
/// The field that names another endpoint picker.
const PICKER: &str = "spec.endpointPickerRef.name";

/// Keeps the objects that are sound, and says what is wrong with the others.
pub struct Resources<F> {
    objects: BTreeMap<Key, Object>,
    refused: BTreeMap<Key, Vec<Mistake>>,
    publish: F,
}

impl<F: FnMut(Compiled) + Send> Resources<F> {
    /// What is compiled goes to `publish`.
    #[must_use]
    pub const fn new(publish: F) -> Self {
        Self {
            objects: BTreeMap::new(),
            refused: BTreeMap::new(),
            publish,
        }
    }

    /// The objects in force. The older group's objects come first, so that an object that stands in
    /// both groups under one name counts as the newer group says it.
    fn set(&self) -> ResourceSet {
        let mut set = ResourceSet::new();
        for object in self.objects.values() {
            set.apply(object.clone());
        }
        set
    }

    fn complaints(&self, compiled: &Compiled) -> Vec<Complaint> {
        let refused = self.refused.iter().flat_map(|(key, mistakes)| {
            mistakes
                .iter()
                .map(|mistake| (key.clone(), REFUSED, mistake))
        });
        let foreign = self.foreign_pools();
        let unused = compiled.mistakes.iter().filter_map(|mistake| {
            let key = self.key_of(mistake)?;
            let of_others = match self.objects.get(&key).map(|object| &object.spec) {
                Some(Spec::Pool(_)) => mistake.path == PICKER,
                Some(spec) => pool_of(spec).is_some_and(|pool| foreign.contains(pool)),
                None => true,
            };
            (!of_others).then_some((key, UNUSED, mistake))
        });
        refused
            .chain(unused)
            .map(|(key, reason, mistake)| Complaint {
                key,
                reason,
                note: note(mistake),
            })
            .collect()
    }

    /// Our key of the object that a mistake is about.
    fn key_of(&self, mistake: &Mistake) -> Option<Key> {
        let named = mistake.object.as_ref()?;
        let kind_name = format!("{:?}", named.kind);
        let key = |kind: Kind| Key {
            kind,
            name: named.name.clone(),
        };
        let same = WATCHED.into_iter().filter(|kind| kind.kind == kind_name);
        // The last of its name is the one that counts.
        same.map(key)
            .filter(|key| self.objects.contains_key(key))
            .max()
    }

    /// Pools that name another endpoint picker: what is said about them is said to that one.
    fn foreign_pools(&self) -> BTreeSet<&str> {
        let pools = self
            .objects
            .iter()
            .filter(|(_, object)| match &object.spec {
                Spec::Pool(pool) => pool.picker.as_ref().is_some_and(|picker| !picker.is_ours()),
                _ => false,
            });
        pools.map(|(key, _)| key.name.as_str()).collect()
    }

    fn verdicts(&self, compiled: &Compiled) -> BTreeMap<String, Option<Verdict>> {
        let foreign = self.foreign_pools();
        let mut verdicts = BTreeMap::new();
        let sound = self.objects.keys();
        for key in sound.chain(self.refused.keys()) {
            if key.kind != INFERENCE_POOL {
                continue;
            }
            let verdict = if foreign.contains(key.name.as_str()) {
                None
            } else {
                Some(self.verdict(key, compiled))
            };
            verdicts.insert(key.name.clone(), verdict);
        }
        verdicts
    }

    fn verdict(&self, key: &Key, compiled: &Compiled) -> Verdict {
        let of_reference = |mistake: &&Mistake| mistake.path.starts_with("spec.endpointPickerRef");
        let text = |mistakes: Vec<&Mistake>| {
            let notes: Vec<String> = mistakes.into_iter().map(note).collect();
            (!notes.is_empty()).then(|| notes.join("; "))
        };
        let own = self.refused.get(key).into_iter().flatten();
        let among = compiled
            .mistakes
            .iter()
            .filter(|mistake| self.key_of(mistake).as_ref() == Some(key));
        let (reference, rest): (Vec<&Mistake>, Vec<&Mistake>) =
            own.chain(among).partition(of_reference);
        let (bad_reference, wrong) = (text(reference), text(rest));
        Verdict {
            refused: wrong.or_else(|| {
                bad_reference
                    .is_some()
                    .then(|| "its reference to the endpoint picker is wrong".to_owned())
            }),
            bad_reference,
        }
    }
}

impl<F: FnMut(Compiled) + Send> Sink for Resources<F> {
    fn apply(&mut self, key: &Key, object: &Value) {
        match parse(object, Source::Kubernetes, &Origin::default()) {
            Ok(parsed) => {
                self.refused.remove(key);
                self.objects.insert(key.clone(), parsed);
            }
            Err(mistakes) => {
                self.objects.remove(key);
                self.refused.insert(key.clone(), mistakes);
            }
        }
    }

    fn delete(&mut self, key: &Key) {
        self.objects.remove(key);
        self.refused.remove(key);
    }

    fn commit(&mut self) -> Report {
        let compiled = compile(&self.set());
        let report = Report {
            complaints: self.complaints(&compiled),
            pools: self.verdicts(&compiled),
        };
        (self.publish)(compiled);
        report
    }
}

/// The pool that an object is about.
fn pool_of(spec: &Spec) -> Option<&str> {
    match spec {
        Spec::Objective(objective) => Some(&objective.pool.name),
        Spec::Rewrite(rewrite) => Some(&rewrite.pool.name),
        Spec::Model(model) => Some(&model.pool.name),
        Spec::Pool(_) | Spec::EndpointList(_) | Spec::Pod(_) => None,
    }
}

/// A mistake without the object's name, which the event has already.
fn note(mistake: &Mistake) -> String {
    if mistake.path.is_empty() {
        mistake.message.clone()
    } else {
        format!("{}: {}", mistake.path, mistake.message)
    }
}

#[cfg(test)]
mod tests;
