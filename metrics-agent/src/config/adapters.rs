//! The section `adapters`.

use std::{collections::HashMap, sync::Arc};

use super::{
    checked::{Adapter, MAX_POOLS, PoolAdapters},
    mistake::Place,
    section::{Checker, Field, Section},
};

/// Longest pool names; the wire's limit.
const MAX_POOL_NAME: usize = 128;
/// Longest names of models; the wire's limit.
const MAX_NAME: usize = 256;
const MAX_SOURCE: usize = 4_096;
const MAX_ADAPTERS: usize = 256;

pub(super) fn read(checker: &mut Checker, field: Option<&Field<'_>>) -> Vec<PoolAdapters> {
    let Some(field) = field else {
        return Vec::new();
    };
    let mut pools = HashMap::new();
    let entries = checker.list(field, MAX_POOLS);
    entries
        .iter()
        .filter_map(|entry| pool(checker, entry, &mut pools))
        .collect()
}

fn pool(
    checker: &mut Checker,
    field: &Field<'_>,
    pools: &mut HashMap<String, Place>,
) -> Option<PoolAdapters> {
    let known = ["pool", "present", "absent", "ready_share"];
    let section = checker.section(field, &known)?;
    let name = required_name(checker, &section, "pool", MAX_POOL_NAME);
    if let Some(name) = &name
        && let Some(first) = pools.insert(name.to_string(), field.place())
    {
        let line = first.line;
        checker.wrong(
            field,
            format!("the pool `{name}` is already given at line {line}"),
        );
    }
    let mut names = HashMap::new();
    let present = entries(checker, &section, "present");
    let present = present
        .iter()
        .filter_map(|entry| adapter(checker, entry, &mut names))
        .collect();
    let absent = entries(checker, &section, "absent");
    let absent = absent
        .iter()
        .filter_map(|entry| {
            let name: Arc<str> = Arc::from(checker.name(entry, MAX_NAME)?);
            once(checker, entry, &name, &mut names);
            Some(name)
        })
        .collect();
    let ready_share = section
        .get("ready_share")
        .and_then(|field| checker.number(&field, 0.01..=1.0))
        .unwrap_or(1.0);
    Some(PoolAdapters {
        pool: name?,
        present,
        absent,
        ready_share,
    })
}

fn entries<'a>(checker: &mut Checker, section: &Section<'a>, name: &str) -> Vec<Field<'a>> {
    match section.get(name) {
        Some(field) => checker.list(&field, MAX_ADAPTERS),
        None => Vec::new(),
    }
}

fn adapter(
    checker: &mut Checker,
    field: &Field<'_>,
    names: &mut HashMap<Arc<str>, Place>,
) -> Option<Adapter> {
    let section = checker.section(field, &["name", "source"])?;
    let name = required_name(checker, &section, "name", MAX_NAME);
    if let Some(name) = &name {
        once(checker, field, name, names);
    }
    let source = match section.get("source") {
        Some(field) => source(checker, &field),
        None => {
            checker.missing(&section, "source");
            None
        }
    };
    Some(Adapter {
        name: name?,
        source: source?,
    })
}

fn once(
    checker: &mut Checker,
    field: &Field<'_>,
    name: &Arc<str>,
    names: &mut HashMap<Arc<str>, Place>,
) {
    let first = *names.entry(Arc::clone(name)).or_insert(field.place());
    if first != field.place() {
        let line = first.line;
        checker.wrong(
            field,
            format!("the adapter `{name}` is already given at line {line}"),
        );
    }
}

fn source(checker: &mut Checker, field: &Field<'_>) -> Option<Arc<str>> {
    let text = checker.text(field)?;
    if text.is_empty() || text.len() > MAX_SOURCE || text.chars().any(char::is_control) {
        checker.wrong(
            field,
            format!(
                "expected a path on the pods or a repository's name, at most {MAX_SOURCE} bytes"
            ),
        );
        return None;
    }
    Some(Arc::from(text))
}

fn required_name(
    checker: &mut Checker,
    section: &Section<'_>,
    name: &str,
    max: usize,
) -> Option<Arc<str>> {
    match section.get(name) {
        Some(field) => checker.name(&field, max).map(Arc::from),
        None => {
            checker.missing(section, name);
            None
        }
    }
}
