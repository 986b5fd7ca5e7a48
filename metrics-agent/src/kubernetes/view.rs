//! What the cluster holds, as far as it is known, and what changed since it was last looked at.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::kind::{Kind, WATCHED};

/// Names one object. The namespace is the same for all.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

impl Key {
    /// The key of a document; `None` when it has no name.
    #[must_use]
    pub fn of(kind: Kind, object: &Value) -> Option<Self> {
        let name = object.pointer("/metadata/name")?.as_str()?.to_owned();
        Some(Self { kind, name })
    }
}

/// What a watch has to say.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Update {
    /// The kind's complete list, after the start or after a watch was lost.
    Listed(Kind, Vec<Value>),
    /// An object is new or has changed.
    Applied(Kind, Value),
    /// An object is gone.
    Deleted(Kind, Value),
}

/// All objects of the watched kinds.
///
/// Nothing is told of it before every kind was listed: half a view looks like a cluster whose other
/// half was deleted. A list that replaces another is taken whole for the same reason.
#[derive(Debug, Default)]
pub(super) struct View {
    objects: BTreeMap<Key, Value>,
    listed: BTreeSet<Kind>,
    changed: BTreeSet<Key>,
}

impl View {
    /// Takes what a watch said.
    pub(super) fn take(&mut self, update: Update) {
        match update {
            Update::Applied(kind, object) => {
                if let Some(key) = Key::of(kind, &object) {
                    self.put(key, object);
                }
            }
            Update::Deleted(kind, object) => {
                if let Some(key) = Key::of(kind, &object) {
                    self.remove(key);
                }
            }
            Update::Listed(kind, objects) => {
                let mut gone: BTreeSet<Key> = self
                    .objects
                    .keys()
                    .filter(|key| key.kind == kind)
                    .cloned()
                    .collect();
                for object in objects {
                    if let Some(key) = Key::of(kind, &object) {
                        gone.remove(&key);
                        self.put(key, object);
                    }
                }
                for key in gone {
                    self.remove(key);
                }
                self.listed.insert(kind);
            }
        }
    }

    fn put(&mut self, key: Key, object: Value) {
        if self.objects.get(&key) != Some(&object) {
            self.changed.insert(key.clone());
            self.objects.insert(key, object);
        }
    }

    fn remove(&mut self, key: Key) {
        if self.objects.remove(&key).is_some() {
            self.changed.insert(key);
        }
    }

    /// The kinds that were not listed yet.
    pub(super) fn missing(&self) -> impl Iterator<Item = Kind> {
        let listed = &self.listed;
        WATCHED.into_iter().filter(|kind| !listed.contains(kind))
    }

    /// Whether every kind was listed.
    #[must_use]
    pub(super) fn is_complete(&self) -> bool {
        self.missing().next().is_none()
    }

    /// The objects that changed since the last call, with `None` for those that are gone; nothing
    /// as long as the view is not complete.
    pub(super) fn changes(&mut self) -> Vec<(Key, Option<&Value>)> {
        if !self.is_complete() {
            return Vec::new();
        }
        let changed = std::mem::take(&mut self.changed);
        let objects = &self.objects;
        changed
            .into_iter()
            .map(|key| {
                let object = objects.get(&key);
                (key, object)
            })
            .collect()
    }

    /// One object.
    #[must_use]
    pub(super) fn get(&self, key: &Key) -> Option<&Value> {
        self.objects.get(key)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::kind::{INFERENCE_POOL, POD},
        *,
    };

    fn object(name: &str, version: u32) -> Value {
        json!({ "metadata": { "name": name, "resourceVersion": version.to_string() } })
    }

    fn complete() -> View {
        let mut view = View::default();
        for kind in WATCHED {
            view.take(Update::Listed(kind, Vec::new()));
        }
        view
    }

    fn names(view: &mut View) -> Vec<(String, bool)> {
        let changes = view.changes();
        let said = changes.into_iter();
        said.map(|(key, object)| (key.name, object.is_some()))
            .collect()
    }

    #[test]
    fn nothing_is_told_before_every_kind_was_listed() {
        let mut view = View::default();
        for kind in WATCHED.into_iter().skip(1) {
            view.take(Update::Listed(kind, vec![object("a", 1)]));
            view.take(Update::Applied(kind, object("b", 1)));
            assert!(view.changes().is_empty());
            assert!(!view.is_complete());
        }
        view.take(Update::Listed(POD, vec![object("a", 1)]));
        assert_eq!(view.changes().len(), 13);
        assert!(view.changes().is_empty(), "each change is told once");
    }

    #[test]
    fn a_new_list_takes_away_what_it_does_not_hold() {
        let mut view = complete();
        view.take(Update::Listed(POD, vec![object("a", 1), object("b", 1)]));
        view.take(Update::Applied(INFERENCE_POOL, object("a", 1)));
        assert_eq!(view.changes().len(), 3);
        view.take(Update::Listed(POD, vec![object("b", 1), object("c", 1)]));
        let told = names(&mut view);
        assert_eq!(told, [("a".to_owned(), false), ("c".to_owned(), true)]);
        let pool = Key {
            kind: INFERENCE_POOL,
            name: "a".to_owned(),
        };
        assert!(
            view.get(&pool).is_some(),
            "another kind of the same name stays"
        );
    }

    #[test]
    fn changes_are_told_as_they_are_in_the_end() {
        let mut view = complete();
        view.take(Update::Applied(POD, object("a", 1)));
        view.take(Update::Deleted(POD, object("a", 2)));
        view.take(Update::Applied(POD, object("a", 3)));
        view.take(Update::Deleted(POD, object("never seen", 2)));
        view.take(Update::Applied(POD, json!({ "metadata": {} })));
        assert_eq!(names(&mut view), [("a".to_owned(), true)]);
        view.take(Update::Applied(POD, object("a", 3)));
        assert!(names(&mut view).is_empty(), "the same again is no change");
    }
}
