//! What is wrong with a resource, and where.

use std::fmt;

use crate::object::Key;

/// Where an object was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Origin {
    /// The file; empty for objects of Kubernetes.
    pub file: String,
    /// The document within the file, from 1; 0 for the file as a whole.
    pub document: usize,
}

/// One mistake: `chat.yaml: document 2: InferenceObjective default/batch: spec.priority: ...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where it stands.
    pub origin: Origin,
    /// The object that it is in; `None` when what was read has no name.
    pub object: Option<Key>,
    /// The field, as in `spec.rules[1].targets[0].weight`; empty for the object as a whole.
    pub path: String,
    /// What is wrong, what is allowed and what was found.
    pub message: String,
}

impl Mistake {
    pub(crate) fn new(origin: &Origin, object: Option<&Key>, path: &str, message: String) -> Self {
        Self {
            origin: origin.clone(),
            object: object.cloned(),
            path: path.to_owned(),
            message,
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.origin.file.is_empty() {
            write!(formatter, "{}: ", self.origin.file)?;
        }
        if self.origin.document > 0 {
            write!(formatter, "document {}: ", self.origin.document)?;
        }
        if let Some(object) = &self.object {
            write!(formatter, "{object}: ")?;
        }
        if !self.path.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        formatter.write_str(&self.message)
    }
}
