//! A pod: an address with labels. Kubernetes has them; an EndpointList stands in for it elsewhere.

use std::collections::BTreeMap;

use crate::{
    fields::{Checker, Field},
    object::Meta,
};

/// The names of the annotation that limits which ports of a pod are live; the first found counts.
const ACTIVE_PORTS: [&str; 2] = [
    "llm-d.ai/active-ports",
    "inference.networking.k8s.io/active-ports",
];
/// The names of the label that says whose metrics a pod has.
const ENGINE_TYPE: [&str; 2] = [
    "llm-d.ai/engine-type",
    "inference.networking.k8s.io/engine-type",
];

/// A place where model servers run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name, unique in its namespace.
    pub name: String,
    /// Tells one life of the name from the next.
    pub uid: Option<String>,
    /// An IP address, or in an EndpointList also a DNS name; `None` as long as it has none.
    pub address: Option<String>,
    /// The ports that it serves on in place of its pool's, when it says so.
    pub ports: Option<Vec<u16>>,
    /// What selectors look at.
    pub labels: BTreeMap<String, String>,
    /// Which of its pool's ports are live; `None` for all.
    pub active_ports: Option<Vec<u16>>,
    /// Whether it can take requests: it is ready, and nobody is deleting it.
    pub ready: bool,
}

impl Pod {
    /// Whose metrics it has, when a label says so.
    #[must_use]
    pub fn engine(&self) -> Option<&str> {
        let label = ENGINE_TYPE.iter().find_map(|name| self.labels.get(*name));
        label.map(String::as_str)
    }
}

/// The ports in the annotation, if it is there; what is no port is left out, with its text.
pub(crate) fn active_ports(
    annotations: &BTreeMap<String, String>,
) -> Option<(&'static str, Vec<Result<u16, String>>)> {
    let found = |name: &'static str| annotations.get(name).map(|list| (name, list));
    let (name, list) = ACTIVE_PORTS.into_iter().find_map(found)?;
    let parts = list
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty());
    let port = |part: &str| match part.parse() {
        Ok(0) | Err(_) => Err(part.to_owned()),
        Ok(port) => Ok(port),
    };
    Some((name, parts.map(port).collect()))
}

/// The pod of Kubernetes whose status is in `field`. What it is not told about itself it has not:
/// every write of a kubelet brings it nearer to being whole.
pub(crate) fn read(checker: &mut Checker, field: &Field<'_>, meta: &Meta) -> Option<Pod> {
    // The API server wrote it: it is read as far as it is of use, in files too.
    checker.strict = false;
    let status = checker.section(field, &[])?;
    let text = |name: &str| status.get(name).and_then(|field| field.value.as_str());
    let address = text("podIP").map(str::to_owned);
    let ended = matches!(text("phase"), Some("Failed" | "Succeeded"));
    let conditions = status.get("conditions");
    let conditions = conditions.and_then(|field| field.value.as_array());
    let is_ready = |condition: &serde_json::Value| {
        let is =
            |name: &str, wanted: &str| condition.get(name).and_then(|v| v.as_str()) == Some(wanted);
        is("type", "Ready") && is("status", "True")
    };
    let ready = conditions.is_some_and(|conditions| conditions.iter().any(is_ready));
    let active_ports = active_ports(&meta.annotations);
    Some(Pod {
        name: meta.key.name.clone(),
        uid: meta.uid.clone(),
        address,
        ports: None,
        labels: meta.labels.clone(),
        active_ports: active_ports.map(|(_, ports)| ports.into_iter().flatten().collect()),
        ready: ready && !ended && !meta.deleting,
    })
}
