//! The section `pools`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use super::{
    checked::{Endpoint, Engine, Host, MAX_ENDPOINTS, MAX_POOLS, MetricsPlace, Pool},
    engines::Engines,
    mistake::Place,
    section::{Checker, Field, Section},
    values,
};

/// Longest pool and endpoint names; the wire's limits.
const MAX_NAME: usize = 128;
const MAX_LABELS: usize = 32;

pub(super) fn read(checker: &mut Checker, top: &Section<'_>, engines: &Engines) -> Vec<Pool> {
    // Without it there must be resources, which the command line may give.
    let Some(field) = top.get("pools") else {
        return Vec::new();
    };
    let mut names = HashMap::new();
    let mut pools: Vec<Pool> = Vec::new();
    let entries = checker.list(&field, MAX_POOLS);
    if entries.is_empty() && checker.mistakes.is_empty() {
        checker.wrong(&field, "at least one pool is needed");
    }
    for entry in &entries {
        if let Some(pool) = pool(checker, entry, engines, &mut names) {
            pools.push(pool);
        }
    }
    let endpoints: usize = pools.iter().map(|pool| pool.endpoints.len()).sum();
    if endpoints > MAX_ENDPOINTS {
        checker.wrong(
            &field,
            format!("at most {MAX_ENDPOINTS} endpoints are allowed, got {endpoints}"),
        );
    }
    pools
}

fn pool(
    checker: &mut Checker,
    field: &Field<'_>,
    engines: &Engines,
    names: &mut HashMap<String, Place>,
) -> Option<Pool> {
    let known = ["name", "engine", "metrics", "price", "endpoints"];
    let section = checker.section(field, &known)?;
    let name = match section.get("name") {
        Some(field) => {
            let name = checker.name(&field, MAX_NAME);
            if let Some(name) = name
                && let Some(first) = names.insert(name.to_owned(), field.place())
            {
                checker.wrong(
                    &field,
                    format!("the pool `{name}` is already given at line {}", first.line),
                );
            }
            name
        }
        None => {
            checker.missing(&section, "name");
            None
        }
    };
    let engine = match section.get("engine") {
        Some(field) => engines.choose(checker, &field),
        None => Engine::auto(),
    };
    let metrics = metrics(
        checker,
        section.get("metrics").as_ref(),
        &MetricsPlace::default(),
    );
    let inherited = Inherited {
        engine,
        metrics,
        price: factor(checker, &section, "price").unwrap_or(1.0),
    };
    let endpoints = match section.get("endpoints") {
        Some(field) => endpoints(checker, &field, engines, &inherited),
        None => Vec::new(),
    };
    Some(Pool {
        name: Arc::from(name?),
        endpoints,
    })
}

/// What a pool says for all its endpoints.
struct Inherited {
    engine: Engine,
    metrics: MetricsPlace,
    price: f32,
}

fn endpoints(
    checker: &mut Checker,
    field: &Field<'_>,
    engines: &Engines,
    inherited: &Inherited,
) -> Vec<Endpoint> {
    let mut seen = HashSet::new();
    let mut endpoints = Vec::new();
    for entry in checker.list(field, MAX_ENDPOINTS) {
        if let Some(endpoint) = endpoint(checker, &entry, engines, inherited) {
            if seen.insert((endpoint.host.clone(), endpoint.port)) {
                endpoints.push(endpoint);
            } else {
                checker.wrong(&entry, "the address is already an endpoint of this pool");
            }
        }
    }
    endpoints
}

fn endpoint(
    checker: &mut Checker,
    field: &Field<'_>,
    engines: &Engines,
    inherited: &Inherited,
) -> Option<Endpoint> {
    let known = [
        "address", "name", "weight", "price", "labels", "engine", "metrics",
    ];
    let section = checker.section(field, &known)?;
    let address = address(checker, &section);
    let name = section
        .get("name")
        .and_then(|field| checker.name(&field, MAX_NAME))
        .map(Arc::from);
    let weight = factor(checker, &section, "weight").unwrap_or(1.0);
    let price = factor(checker, &section, "price").unwrap_or(inherited.price);
    let labels = section
        .get("labels")
        .map(|field| labels(checker, &field))
        .unwrap_or_default();
    let engine = match section.get("engine") {
        Some(field) => engines.choose(checker, &field),
        None => inherited.engine.clone(),
    };
    let metrics = metrics(checker, section.get("metrics").as_ref(), &inherited.metrics);
    let (host, port) = address?;
    Some(Endpoint {
        host,
        port,
        name,
        weight,
        price,
        labels: Arc::new(labels),
        engine,
        metrics,
    })
}

/// A relative number, if the section has it and it makes sense.
fn factor(checker: &mut Checker, section: &Section<'_>, name: &str) -> Option<f32> {
    let field = section.get(name)?;
    let value = checker.number(&field, 0.01..=100.0)?;
    Some(value as f32)
}

fn address(checker: &mut Checker, section: &Section<'_>) -> Option<(Host, u16)> {
    let Some(field) = section.get("address") else {
        checker.missing(section, "address");
        return None;
    };
    let text = checker.text(&field)?;
    values::host_and_port(text)
        .map_err(|why| checker.wrong(&field, why))
        .ok()
}

fn metrics(
    checker: &mut Checker,
    field: Option<&Field<'_>>,
    inherited: &MetricsPlace,
) -> MetricsPlace {
    let mut place = inherited.clone();
    let Some(section) = field.and_then(|field| checker.section(field, &["port", "path"])) else {
        return place;
    };
    if let Some(port) = section.get("port").and_then(|field| checker.port(&field)) {
        place.port = Some(port);
    }
    if let Some(field) = section.get("path")
        && let Some(path) = checker.text(&field)
    {
        match values::http_path(path) {
            Ok(()) => place.path = Some(Arc::from(path)),
            Err(why) => checker.wrong(&field, why),
        }
    }
    place
}

fn labels(checker: &mut Checker, field: &Field<'_>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let Some(section) = checker.mapping(field) else {
        return labels;
    };
    for (index, (key, field)) in section.fields().enumerate() {
        if index == MAX_LABELS {
            checker.wrong(&field, format!("at most {MAX_LABELS} labels are allowed"));
            break;
        }
        if let Err(why) = values::visible(&key.name, MAX_NAME) {
            checker.mistake(key.place, &field.path, why);
        }
        if let Some(value) = checker.text(&field) {
            if value.len() > 256 || value.chars().any(char::is_control) {
                checker.wrong(
                    &field,
                    "expected at most 256 bytes without control characters",
                );
            }
            labels.insert(key.name.clone(), value.to_owned());
        }
    }
    labels
}
