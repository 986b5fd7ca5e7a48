//! The section `engines` and the choice of an engine by name.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::{Map, Value as Json};

use super::{
    checked::Engine,
    document::{Node, Value},
    mistake::Place,
    section::{Checker, Field, Section},
};
use crate::scrape::{
    Dialect,
    dialect::{CustomDialect, RawCustomDialect},
};

/// Names that people say for built-in engines.
const SHORT_NAMES: [(&str, &str); 2] = [
    ("trtllm", "trtllm-serve"),
    ("triton", "triton-tensorrt-llm"),
];
const MAX_ENGINES: usize = 64;
const MAX_NAME: usize = 64;

/// The engines that pools and endpoints may name.
#[derive(Debug, Default)]
pub(super) struct Engines {
    custom: BTreeMap<String, Arc<CustomDialect>>,
    /// Given but wrong: naming one of these is no further mistake.
    broken: Vec<String>,
}

impl Engines {
    pub(super) fn read(checker: &mut Checker, field: Option<&Field<'_>>) -> Self {
        let mut engines = Self::default();
        let Some(section) = field.and_then(|field| checker.mapping(field)) else {
            return engines;
        };
        for (index, (key, field)) in section.fields().enumerate() {
            if index == MAX_ENGINES {
                checker.wrong(&field, format!("at most {MAX_ENGINES} engines are allowed"));
                break;
            }
            if let Err(why) = super::values::visible(&key.name, MAX_NAME) {
                checker.mistake(key.place, &field.path, why);
            }
            if Dialect::BUILTIN.contains(&key.name.as_str()) {
                checker.mistake(
                    key.place,
                    &field.path,
                    "this engine is built in, choose another name",
                );
            }
            match custom(checker, &field) {
                Some(dialect) => {
                    engines.custom.insert(key.name.clone(), Arc::new(dialect));
                }
                None => engines.broken.push(key.name.clone()),
            }
        }
        engines
    }

    /// The engine of this name; `auto` when there is none, after noting the mistake.
    pub(super) fn choose(&self, checker: &mut Checker, field: &Field<'_>) -> Engine {
        let Some(name) = checker.text(field) else {
            return Engine::auto();
        };
        if let Some(custom) = self.custom.get(name) {
            return Engine {
                name: Arc::from(name),
                custom: Some(Arc::clone(custom)),
            };
        }
        let name = SHORT_NAMES
            .iter()
            .find(|(short, _)| *short == name)
            .map_or(name, |(_, long)| long);
        if Dialect::BUILTIN.contains(&name) {
            return Engine {
                name: Arc::from(name),
                custom: None,
            };
        }
        if !self.broken.iter().any(|broken| broken == name) {
            let known = Dialect::BUILTIN.iter().copied();
            let known: Vec<&str> = known
                .chain(self.custom.keys().map(String::as_str))
                .collect();
            let shown = field.node.value.shown();
            checker.wrong(
                field,
                format!(
                    "expected an engine, one of: {}, got {shown}",
                    known.join(", ")
                ),
            );
        }
        Engine::auto()
    }
}

/// Reads one custom engine field by field, because serde would stop at the first mistake.
fn custom(checker: &mut Checker, field: &Field<'_>) -> Option<CustomDialect> {
    let section = checker.mapping(field)?;
    let before = checker.mistakes.len();
    let mut good = Map::new();
    let mut places = HashMap::new();
    for (key, value) in section.fields() {
        let entry = Map::from_iter([(key.name.clone(), json(value.node))]);
        match serde_json::from_value::<RawCustomDialect>(Json::Object(entry.clone())) {
            Ok(_) => good.extend(entry),
            Err(error) => checker.mistake(key.place, &value.path, error.to_string()),
        }
        note_places(&value, &mut places);
    }
    let raw: RawCustomDialect = serde_json::from_value(Json::Object(good)).ok()?;
    let mut mistakes = Vec::new();
    let dialect = raw.check(&field.path, &mut mistakes);
    for mistake in mistakes {
        let (path, message) = mistake.split_once(": ").unwrap_or((&field.path, &mistake));
        let place = places.get(path).copied().unwrap_or(section.place());
        checker.mistake(place, path, message);
    }
    dialect.filter(|_| checker.mistakes.len() == before)
}

fn note_places(field: &Field<'_>, places: &mut HashMap<String, Place>) {
    places.insert(field.path.clone(), field.place());
    if let Some(section) = Section::peek(field) {
        for (_, inner) in section.fields() {
            note_places(&inner, places);
        }
    }
}

fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Integer(value) => i64::try_from(*value).map_or(Json::Null, Json::from),
        Value::Float(value) => Json::from(*value),
        Value::Text(text) => Json::String(text.clone()),
        Value::List(nodes) => Json::Array(nodes.iter().map(json).collect()),
        Value::Map(entries) => {
            let entries = entries.iter();
            Json::Object(
                entries
                    .map(|(key, node)| (key.name.clone(), json(node)))
                    .collect(),
            )
        }
    }
}
