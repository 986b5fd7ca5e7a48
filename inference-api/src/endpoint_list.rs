//! EndpointList: what stands in for pods where there is no Kubernetes.

use std::net::IpAddr;

use crate::{
    fields::{Checker, Field},
    names,
    pod::{self, Pod},
};

const MAX_ENDPOINTS: usize = 10_000;
const MAX_PORTS: usize = 8;

pub(crate) fn read(checker: &mut Checker, field: &Field<'_>) -> Option<Vec<Pod>> {
    let section = checker.section(field, &["endpoints"])?;
    let field = checker.required(&section, "endpoints")?;
    let mut pods: Vec<Pod> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for field in checker.list(&field, 0..=MAX_ENDPOINTS) {
        if let Some(pod) = endpoint(checker, &field) {
            if !seen.insert(pod.name.clone()) {
                let message = format!("`{}` occurs twice", pod.name);
                checker.wrong(&format!("{}.name", field.path), message);
            }
            pods.push(pod);
        }
    }
    Some(pods)
}

fn endpoint(checker: &mut Checker, field: &Field<'_>) -> Option<Pod> {
    let known = [
        "name",
        "address",
        "ports",
        "labels",
        "annotations",
        "ready",
        "uid",
    ];
    let section = checker.section(field, &known)?;
    let address = checker.required(&section, "address");
    let expected = "an IP address or a DNS name";
    let address = address.and_then(|field| checker.text(&field, is_host, expected));
    let is_name = "a name of `a-z`, `0-9`, `-` and `.`";
    let name = checker.required(&section, "name");
    let name = name.and_then(|field| checker.text(&field, names::is_object_name, is_name));
    let uid = section.get("uid");
    let visible = |text: &str| {
        (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let uid = uid.and_then(|field| checker.text(&field, visible, "1 to 128 visible characters"));
    let ports = section.get("ports").map(|field| ports_in(checker, &field));
    let labels = section
        .get("labels")
        .map(|field| checker.texts(&field, true));
    let field = section.get("annotations");
    let annotations = field.as_ref().map(|field| checker.texts(field, false));
    let active = pod::active_ports(&annotations.unwrap_or_default()).map(|(name, ports)| {
        let path = section.path_of(&format!("annotations.{name}"));
        for port in ports.iter().filter_map(|port| port.as_ref().err()) {
            let found = names::printable(port);
            checker.wrong(
                &path,
                format!("expected ports from 1 to 65535, found `{found}`"),
            );
        }
        ports.into_iter().flatten().collect()
    });
    let ready = section.get("ready");
    let ready = ready.and_then(|field| checker.boolean(&field));
    Some(Pod {
        name: name?,
        uid,
        address: Some(address?),
        ports,
        labels: labels.unwrap_or_default(),
        active_ports: active,
        ready: ready.unwrap_or(true),
    })
}

fn ports_in(checker: &mut Checker, field: &Field<'_>) -> Vec<u16> {
    let fields = checker.list(field, 1..=MAX_PORTS);
    let ports = fields.iter();
    ports
        .filter_map(|field| checker.integer(field, 1..=65_535))
        .collect()
}

fn is_host(text: &str) -> bool {
    match text.parse::<IpAddr>() {
        Ok(ip) => !ip.is_unspecified() && !ip.is_multicast(),
        // What is all digits and dots would be a mistyped address.
        Err(_) => names::is_object_name(text) && text.bytes().any(|byte| byte.is_ascii_lowercase()),
    }
}
