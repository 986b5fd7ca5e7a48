//! The first stage: what was written, every value with its place. Nothing is judged here but the
//! YAML itself.
//!
//! A tree rather than derived structs, because serde stops at the first unknown field or wrong
//! type, and an operator wants all mistakes at once. This file is the only one that knows the YAML
//! crate.

use std::fmt;

use inference_api::printable;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Spanned, options::DuplicateKeyPolicy};

use super::mistake::{Mistake, Mistakes, Place};

/// Larger files are refused: 10,000 endpoints with names and labels take about 2 MiB.
pub const MAX_FILE_BYTES: usize = 8 << 20;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// What YAML's core schema made of a value.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Value {
    #[default]
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file; keys may repeat.
    Map(Vec<(Key, Node)>),
}

/// A field's name and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    pub(super) place: Place,
    pub(super) name: String,
}

impl Value {
    /// The value in an error message: short, on one line, without control characters.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(text) => format!("`{}`", printable(text)),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// Reads a YAML document. The budget stops alias bombs and absurd nesting.
pub(super) fn parse(file: &str, text: &str) -> Result<Node, Mistakes> {
    if text.len() > MAX_FILE_BYTES {
        return Err(Mistakes::whole_file(
            file,
            format!(
                "the file has {} bytes, at most {MAX_FILE_BYTES} are allowed",
                text.len()
            ),
        ));
    }
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        with_snippet: false,
        emit_comments: false,
        strict_booleans: true,
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
        },
        budget: serde_saphyr::budget! {
            max_depth: 16,
            max_documents: 1,
            max_nodes: 1_000_000,
            max_events: 4_000_000,
            max_aliases: 10_000,
        },
    };
    let document: Node = if text.trim().is_empty() {
        Node::default()
    } else {
        serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| not_yaml(file, &error))?
    };
    if document.value == Value::Null {
        return Err(Mistakes::whole_file(file, "the file is empty"));
    }
    Ok(document)
}

fn not_yaml(file: &str, error: &serde_saphyr::Error) -> Mistakes {
    // The location is printed by us, in front, in the form that editors understand.
    let rendered = error.without_snippet().to_string();
    let message = rendered.lines().next().unwrap_or_default();
    let message = message
        .split_once(" at line ")
        .map_or(message, |(message, _)| message);
    Mistakes {
        file: file.to_owned(),
        list: vec![Mistake {
            place: error.location().map(place_of).unwrap_or_default(),
            path: String::new(),
            message: format!("not valid YAML: {}", printable_line(message)),
        }],
    }
}

fn printable_line(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_control())
        .take(300)
        .collect()
}

fn place_of(location: serde_saphyr::Location) -> Place {
    Place {
        line: location.line(),
        column: location.column(),
    }
}

// === serde ===

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self {
            place: place_of(spanned.referenced),
            value: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<String>::deserialize(deserializer)?;
        Ok(Self {
            place: place_of(spanned.referenced),
            name: spanned.value,
        })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(i128::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(i128::from(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = entries.next_element()? {
            list.push(node);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_places_of_keys_and_values() {
        let node = parse("a.yaml", "a: 1\nb:\n  - x: 200ms\n    x: no\n").unwrap();
        let Value::Map(top) = &node.value else {
            panic!("a mapping")
        };
        assert_eq!(top[1].0.name, "b");
        assert_eq!(top[1].0.place, Place { line: 2, column: 1 });
        let Value::List(list) = &top[1].1.value else {
            panic!("a list")
        };
        let Value::Map(item) = &list[0].value else {
            panic!("a mapping")
        };
        assert_eq!(item[0].1.place, Place { line: 3, column: 8 });
        assert_eq!(item[0].1.value, Value::Text("200ms".to_owned()));
        assert_eq!(item.len(), 2, "repeated keys are kept for the next stage");
    }

    #[test]
    fn alias_bombs_and_deep_nesting_are_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..10 {
            let previous = level - 1;
            bomb.push_str(&format!("a{level}: &a{level} ["));
            bomb.push_str(&vec![format!("*a{previous}"); 10].join(", "));
            bomb.push_str("]\n");
        }
        assert!(parse("a.yaml", &bomb).is_err());
        assert!(parse("a.yaml", &"[".repeat(10_000)).is_err());
        assert!(parse("a.yaml", &"- ".repeat(10_000)).is_err());
    }
}
