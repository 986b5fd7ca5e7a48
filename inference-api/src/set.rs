//! The resources that are in force.

use std::collections::BTreeMap;

use crate::object::{Key, Object};

/// Objects by kind, namespace and name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceSet {
    objects: BTreeMap<Key, Object>,
}

impl ResourceSet {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts an object in, in place of the one of the same name, which is returned.
    pub fn apply(&mut self, object: Object) -> Option<Object> {
        self.objects.insert(object.meta.key.clone(), object)
    }

    /// Takes an object out.
    pub fn remove(&mut self, key: &Key) -> Option<Object> {
        self.objects.remove(key)
    }

    /// The object of this name.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Object> {
        self.objects.get(key)
    }

    /// All objects, by kind, namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}
