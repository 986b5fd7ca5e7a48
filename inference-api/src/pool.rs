//! InferencePool: where models run.

use std::collections::BTreeMap;

use crate::{
    fields::{Checker, Field},
    names,
};

const MAX_PORTS: usize = 8;
const MAX_LABELS: usize = 64;

/// What an InferencePool says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InferencePool {
    /// The labels that its pods have, all of them.
    pub selector: BTreeMap<String, String>,
    /// The ports of each pod, each an endpoint of its own; 1 to 8, no two equal.
    pub target_ports: Vec<u16>,
    /// What the ports speak.
    pub app_protocol: AppProtocol,
    /// Who picks its endpoints, when it says so.
    pub picker: Option<PickerRef>,
}

impl InferencePool {
    /// What becomes of requests when nobody can pick.
    #[must_use]
    pub fn failure_mode(&self) -> FailureMode {
        let picker = self.picker.as_ref();
        picker.map_or(FailureMode::default(), |picker| picker.failure_mode)
    }
}

/// What the model servers speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AppProtocol {
    /// HTTP/1.1.
    #[default]
    Http,
    /// HTTP/2 without TLS (`kubernetes.io/h2c`).
    H2c,
}

/// What becomes of requests when nobody can pick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailureMode {
    /// They go to any endpoint.
    FailOpen,
    /// They are refused.
    #[default]
    FailClose,
}

/// Who picks the endpoints of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PickerRef {
    /// The name of the Service.
    pub name: String,
    /// Its port.
    pub port: Option<u16>,
    /// What becomes of requests without it.
    pub failure_mode: FailureMode,
}

impl PickerRef {
    /// Whether it means us: a Service that is called `zerohop` or begins with `zerohop-`.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.name == "zerohop" || self.name.starts_with("zerohop-")
    }
}

pub(crate) fn read(checker: &mut Checker, field: &Field<'_>) -> Option<InferencePool> {
    let known = [
        "selector",
        "targetPorts",
        "appProtocol",
        "endpointPickerRef",
    ];
    let section = checker.section(field, &known)?;
    let selector = checker.required(&section, "selector");
    let selector = selector.and_then(|field| selector_in(checker, &field));
    let ports = checker.required(&section, "targetPorts");
    let ports = ports.map(|field| ports_in(checker, &field));
    let protocols = [
        ("http", AppProtocol::Http),
        ("kubernetes.io/h2c", AppProtocol::H2c),
    ];
    let protocol = section.get("appProtocol");
    let protocol = protocol.and_then(|field| checker.one_of(&field, &protocols));
    let picker = section.get("endpointPickerRef");
    let picker = picker.and_then(|field| picker_in(checker, &field));
    Some(InferencePool {
        selector: selector?,
        target_ports: ports?,
        app_protocol: protocol.unwrap_or_default(),
        picker,
    })
}

fn selector_in(checker: &mut Checker, field: &Field<'_>) -> Option<BTreeMap<String, String>> {
    let section = checker.section(field, &["matchLabels"])?;
    let field = checker.required(&section, "matchLabels")?;
    let labels = checker.texts(&field, true);
    if !(1..=MAX_LABELS).contains(&labels.len()) {
        let found = labels.len();
        let message = format!("expected 1 to {MAX_LABELS} labels, found {found}");
        checker.wrong(&field.path, message);
    }
    Some(labels)
}

fn ports_in(checker: &mut Checker, field: &Field<'_>) -> Vec<u16> {
    let mut ports = Vec::new();
    for field in checker.list(field, 1..=MAX_PORTS) {
        let section = checker.section(&field, &["number"]);
        let number = section.and_then(|section| checker.required(&section, "number"));
        let Some(number) = number else { continue };
        if let Some(port) = checker.integer(&number, 1..=65_535) {
            if ports.contains(&port) {
                checker.wrong(&number.path, format!("port {port} occurs twice"));
            }
            ports.push(port);
        }
    }
    ports
}

fn picker_in(checker: &mut Checker, field: &Field<'_>) -> Option<PickerRef> {
    let section = checker.section(field, &["group", "kind", "name", "port", "failureMode"])?;
    let group = section.get("group");
    let group = group.and_then(|field| checker.text(&field, |_| true, "a group"));
    let kind = section.get("kind");
    let kind = kind.and_then(|field| checker.text(&field, |_| true, "a kind"));
    let is_service = group.is_none_or(|group| group.is_empty() || group == "core")
        && kind.is_none_or(|kind| kind == "Service");
    let name = checker.required(&section, "name");
    let name = name.and_then(|field| checker.text(&field, names::is_object_name, "a name"));
    let port = section.get("port");
    if port.is_none() && is_service {
        checker.wrong(&section.path_of("port"), "is missing, a Service needs one");
    }
    let port = port.and_then(|field| checker.section(&field, &["number"]));
    let port = port.and_then(|section| checker.required(&section, "number"));
    let port = port.and_then(|field| checker.integer(&field, 1..=65_535));
    let modes = [
        ("FailOpen", FailureMode::FailOpen),
        ("FailClose", FailureMode::FailClose),
    ];
    let mode = section.get("failureMode");
    let mode = mode.and_then(|field| checker.one_of(&field, &modes));
    Some(PickerRef {
        name: name?,
        port,
        failure_mode: mode.unwrap_or_default(),
    })
}
