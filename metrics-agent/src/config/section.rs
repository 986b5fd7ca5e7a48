//! Reading a mapping field by field: every reader notes what is wrong and goes on, so that one run
//! finds all mistakes.

use std::{ops::RangeInclusive, time::Duration};

use inference_api::printable;

use super::{
    document::{Key, Node, Value},
    mistake::{Mistake, Place},
    values,
};

/// Collects mistakes while the document is read.
#[derive(Debug, Default)]
pub(super) struct Checker {
    pub(super) mistakes: Vec<Mistake>,
}

/// A value and the path that names it.
#[derive(Debug, Clone)]
pub(super) struct Field<'a> {
    pub(super) path: String,
    pub(super) node: &'a Node,
}

impl Field<'_> {
    pub(super) fn place(&self) -> Place {
        self.node.place
    }
}

/// A mapping whose field names were checked.
#[derive(Debug, Clone)]
pub(super) struct Section<'a> {
    path: String,
    place: Place,
    entries: &'a [(Key, Node)],
}

impl<'a> Section<'a> {
    /// The field's entries when it is a mapping, without any check.
    pub(super) fn peek(field: &Field<'a>) -> Option<Self> {
        let Value::Map(entries) = &field.node.value else {
            return None;
        };
        Some(Self {
            path: field.path.clone(),
            place: field.place(),
            entries,
        })
    }

    /// The field, unless it is absent or empty (`name:` with nothing behind it).
    pub(super) fn get(&self, name: &str) -> Option<Field<'a>> {
        self.entries
            .iter()
            .find(|(key, node)| key.name == name && node.value != Value::Null)
            .map(|(_, node)| Field {
                path: join(&self.path, name),
                node,
            })
    }

    /// Every field, for mappings whose names the operator chooses.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'a Key, Field<'a>)> + '_ {
        self.entries.iter().map(|(key, node)| {
            let path = join(&self.path, &printable(&key.name));
            (key, Field { path, node })
        })
    }

    pub(super) fn path_of(&self, name: &str) -> String {
        join(&self.path, name)
    }

    pub(super) fn place(&self) -> Place {
        self.place
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

impl Checker {
    pub(super) fn mistake(&mut self, place: Place, path: &str, message: impl Into<String>) {
        self.mistakes.push(Mistake {
            place,
            path: path.to_owned(),
            message: message.into(),
        });
    }

    pub(super) fn wrong(&mut self, field: &Field<'_>, message: impl Into<String>) {
        self.mistake(field.place(), &field.path, message);
    }

    /// A mapping that may hold `known` fields only.
    pub(super) fn section<'a>(&mut self, field: &Field<'a>, known: &[&str]) -> Option<Section<'a>> {
        let section = self.mapping(field)?;
        for (key, unknown) in section.fields() {
            if !known.contains(&key.name.as_str()) {
                self.mistake(
                    key.place,
                    &unknown.path,
                    format!("unknown field, expected one of: {}", known.join(", ")),
                );
            }
        }
        Some(section)
    }

    /// A mapping with names of the operator's choice.
    pub(super) fn mapping<'a>(&mut self, field: &Field<'a>) -> Option<Section<'a>> {
        let entries: &'a [(Key, Node)] = match &field.node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            other => {
                self.wrong(field, format!("expected a mapping, got {}", other.shown()));
                return None;
            }
        };
        let mut seen = std::collections::HashSet::with_capacity(entries.len());
        for (key, _) in entries {
            if !seen.insert(key.name.as_str()) {
                self.mistake(
                    key.place,
                    &join(&field.path, &printable(&key.name)),
                    "the field is given twice",
                );
            }
        }
        Some(Section {
            path: field.path.clone(),
            place: field.place(),
            entries,
        })
    }

    /// The elements of a list, at most `limit`.
    pub(super) fn list<'a>(&mut self, field: &Field<'a>, limit: usize) -> Vec<Field<'a>> {
        let Value::List(nodes) = &field.node.value else {
            self.wrong(
                field,
                format!("expected a list, got {}", field.node.value.shown()),
            );
            return Vec::new();
        };
        if nodes.len() > limit {
            self.wrong(
                field,
                format!("at most {limit} entries are allowed, got {}", nodes.len()),
            );
        }
        nodes
            .iter()
            .take(limit)
            .enumerate()
            .map(|(index, node)| Field {
                path: format!("{}[{index}]", field.path),
                node,
            })
            .collect()
    }

    pub(super) fn missing(&mut self, section: &Section<'_>, name: &str) {
        self.mistake(
            section.place(),
            &section.path_of(name),
            "required but missing",
        );
    }

    pub(super) fn text<'a>(&mut self, field: &Field<'a>) -> Option<&'a str> {
        match &field.node.value {
            Value::Text(text) => Some(text),
            other => {
                let hint = match other {
                    Value::Bool(_) | Value::Integer(_) | Value::Float(_) => {
                        " (quote it if it is text)"
                    }
                    _ => "",
                };
                let shown = other.shown();
                self.wrong(field, format!("expected text, got {shown}{hint}"));
                None
            }
        }
    }

    /// 1..=`max` visible characters, the form of every name that travels or becomes a label.
    pub(super) fn name<'a>(&mut self, field: &Field<'a>, max: usize) -> Option<&'a str> {
        let text = self.text(field)?;
        match values::visible(text, max) {
            Ok(()) => Some(text),
            Err(why) => {
                self.wrong(field, why);
                None
            }
        }
    }

    pub(super) fn boolean(&mut self, field: &Field<'_>) -> Option<bool> {
        if let Value::Bool(value) = field.node.value {
            return Some(value);
        }
        let shown = field.node.value.shown();
        self.wrong(field, format!("expected true or false, got {shown}"));
        None
    }

    pub(super) fn integer(&mut self, field: &Field<'_>, range: RangeInclusive<u64>) -> Option<u64> {
        let found = match &field.node.value {
            Value::Integer(value) => u64::try_from(*value).ok().filter(|v| range.contains(v)),
            _ => None,
        };
        if found.is_none() {
            let (low, high) = (range.start(), range.end());
            let shown = field.node.value.shown();
            self.wrong(
                field,
                format!("expected a whole number in {low}..={high}, got {shown}"),
            );
        }
        found
    }

    pub(super) fn port(&mut self, field: &Field<'_>) -> Option<u16> {
        self.integer(field, 1..=u64::from(u16::MAX))
            .and_then(|port| u16::try_from(port).ok())
    }

    pub(super) fn number(&mut self, field: &Field<'_>, range: RangeInclusive<f64>) -> Option<f64> {
        let found = match &field.node.value {
            Value::Integer(value) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            _ => None,
        }
        .filter(|value| range.contains(value));
        if found.is_none() {
            let (low, high) = (range.start(), range.end());
            let shown = field.node.value.shown();
            self.wrong(
                field,
                format!("expected a number in {low}..={high}, got {shown}"),
            );
        }
        found
    }

    /// A duration such as `200ms`, `1s`, `1.5s` or `2m`, within `range`.
    pub(super) fn duration(
        &mut self,
        field: &Field<'_>,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let parsed = match &field.node.value {
            Value::Text(text) => values::duration(text),
            _ => None,
        };
        let found = parsed.filter(|duration| range.contains(duration));
        if found.is_none() {
            let low = values::show_duration(*range.start());
            let high = values::show_duration(*range.end());
            let shown = field.node.value.shown();
            self.wrong(
                field,
                format!("expected a duration in {low}..={high} such as 200ms or 1s, got {shown}"),
            );
        }
        found
    }
}
