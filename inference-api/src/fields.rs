//! Reading fields of a JSON value, noting every mistake with its path.

use std::{collections::BTreeMap, ops::RangeInclusive};

use serde_json::{Map, Value};

use crate::names;

/// A value and its path.
#[derive(Debug, Clone)]
pub(crate) struct Field<'a> {
    pub(crate) path: String,
    pub(crate) value: &'a Value,
}

/// A mapping and its path.
#[derive(Debug, Clone)]
pub(crate) struct Section<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

impl<'a> Section<'a> {
    /// The field of this name; one without a value is absent.
    pub(crate) fn get(&self, name: &str) -> Option<Field<'a>> {
        let value = self.map.get(name).filter(|value| !value.is_null())?;
        let path = self.path_of(name);
        Some(Field { path, value })
    }

    pub(crate) fn path_of(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        }
    }
}

/// Collects the mistakes of one object.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    /// Whether unknown fields are mistakes.
    pub(crate) strict: bool,
    /// Path and message.
    pub(crate) mistakes: Vec<(String, String)>,
}

impl Checker {
    pub(crate) fn wrong(&mut self, path: &str, message: impl Into<String>) {
        self.mistakes.push((path.to_owned(), message.into()));
    }

    fn expected(&mut self, field: &Field<'_>, expected: &str) {
        let found = shown(field.value);
        self.wrong(&field.path, format!("expected {expected}, found {found}"));
    }

    /// The field, which must be there.
    pub(crate) fn required<'a>(&mut self, section: &Section<'a>, name: &str) -> Option<Field<'a>> {
        let field = section.get(name);
        if field.is_none() {
            self.wrong(&section.path_of(name), "is missing");
        }
        field
    }

    /// The mapping in a field, with these fields and no others.
    pub(crate) fn section<'a>(&mut self, field: &Field<'a>, known: &[&str]) -> Option<Section<'a>> {
        let Value::Object(map) = field.value else {
            self.expected(field, "a mapping");
            return None;
        };
        let path = field.path.clone();
        let section = Section { path, map };
        if self.strict {
            for name in map.keys().filter(|name| !known.contains(&name.as_str())) {
                let (name, known) = (names::printable(name), known.join(", "));
                let message = format!("is not a field here, there are: {known}");
                self.wrong(&section.path_of(&name), message);
            }
        }
        Some(section)
    }

    /// The elements of a list with a length in `allowed`.
    pub(crate) fn list<'a>(
        &mut self,
        field: &Field<'a>,
        allowed: RangeInclusive<usize>,
    ) -> Vec<Field<'a>> {
        let Value::Array(values) = field.value else {
            self.expected(field, "a list");
            return Vec::new();
        };
        if !allowed.contains(&values.len()) {
            let (least, most, found) = (allowed.start(), allowed.end(), values.len());
            let message = format!("expected {least} to {most} elements, found {found}");
            self.wrong(&field.path, message);
            return Vec::new();
        }
        let element = |(index, value)| Field {
            path: format!("{}[{index}]", field.path),
            value,
        };
        values.iter().enumerate().map(element).collect()
    }

    /// A text that is `allowed`; `expected` says what is.
    pub(crate) fn text(
        &mut self,
        field: &Field<'_>,
        allowed: impl Fn(&str) -> bool,
        expected: &str,
    ) -> Option<String> {
        let text = field.value.as_str().filter(|text| allowed(text));
        if text.is_none() {
            self.expected(field, expected);
        }
        text.map(str::to_owned)
    }

    /// One of these texts.
    pub(crate) fn one_of<T: Copy>(
        &mut self,
        field: &Field<'_>,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let found = field.value.as_str();
        let choice = choices.iter().find(|(name, _)| Some(*name) == found);
        if choice.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.expected(field, &names.join(" or "));
        }
        choice.map(|(_, value)| *value)
    }

    /// A whole number in `allowed`.
    pub(crate) fn integer<N>(
        &mut self,
        field: &Field<'_>,
        allowed: RangeInclusive<i64>,
    ) -> Option<N>
    where
        N: TryFrom<i64>,
    {
        let number = field
            .value
            .as_i64()
            .filter(|number| allowed.contains(number));
        if number.is_none() {
            let (least, most) = (allowed.start(), allowed.end());
            self.expected(field, &format!("a whole number from {least} to {most}"));
        }
        N::try_from(number?).ok()
    }

    /// True or false.
    pub(crate) fn boolean(&mut self, field: &Field<'_>) -> Option<bool> {
        let value = field.value.as_bool();
        if value.is_none() {
            self.expected(field, "true or false");
        }
        value
    }

    /// Labels or annotations: texts by key. Values of labels are checked too.
    pub(crate) fn texts(&mut self, field: &Field<'_>, labels: bool) -> BTreeMap<String, String> {
        let Value::Object(map) = field.value else {
            self.expected(field, "a mapping");
            return BTreeMap::new();
        };
        let mut texts = BTreeMap::new();
        for (key, value) in map {
            let path = format!("{}.{}", field.path, names::printable(key));
            if !names::is_label_key(key) {
                self.wrong(&path, "is not a key that Kubernetes allows");
            }
            let allowed = |text: &str| !labels || names::is_label_value(text);
            let expected = "a text of at most 63 letters, digits, `-`, `_` and `.`";
            if let Some(text) = self.text(&Field { path, value }, allowed, expected) {
                texts.insert(key.clone(), text);
            }
        }
        texts
    }
}

/// The value in a message: short, on one line, without control characters.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(text) => format!("`{}`", names::printable(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
    }
}
