//! Resources of the inference APIs for tests: one pool and what is said about it.

use std::{fmt::Write as _, net::SocketAddr};

use serde_json::json;

use super::{EnvoyConfig, RigError, config::at};

/// The pool's name for gateways.
pub const POOL: &str = "default/llama";

/// The pool and its endpoints, as YAML documents; more may follow.
#[must_use]
pub fn pool(endpoints: &[SocketAddr]) -> String {
    let mut text = "apiVersion: inference.networking.k8s.io/v1\n\
        kind: InferencePool\n\
        metadata: {name: llama}\n\
        spec: {selector: {matchLabels: {app: llama}}, targetPorts: [{number: 8000}]}\n\
        ---\n\
        apiVersion: zerohop.dev/v1alpha1\n\
        kind: EndpointList\n\
        metadata: {name: hosts}\n\
        spec:\n  endpoints:\n"
        .to_owned();
    let labels = "labels: {app: llama, llm-d.ai/engine-type: vllm}";
    for (index, endpoint) in endpoints.iter().enumerate() {
        let (ip, port) = (endpoint.ip(), endpoint.port());
        // Writing to a String cannot fail.
        writeln!(
            text,
            "  - {{name: pod-{index}, address: \"{ip}\", ports: [{port}], {labels}}}"
        )
        .ok();
    }
    text
}

/// A rewrite with one rule a model, each with its targets and their weights, as a YAML document.
#[must_use]
pub fn rewrite(rules: &[(String, Vec<(String, u32)>)]) -> String {
    let mut text = "---\n\
        apiVersion: llm-d.ai/v1alpha2\n\
        kind: InferenceModelRewrite\n\
        metadata: {name: models}\n\
        spec:\n  poolRef: {name: llama}\n  rules:\n"
        .to_owned();
    for (model, targets) in rules {
        writeln!(
            text,
            "  - matches: [{{model: {{value: \"{model}\"}}}}]\n    targets:"
        )
        .ok();
        for (target, weight) in targets {
            writeln!(
                text,
                "    - {{modelRewrite: \"{target}\", weight: {weight}}}"
            )
            .ok();
        }
    }
    text
}

/// Lets the filter and the cluster follow [`POOL`].
///
/// # Errors
/// When the shipped file has no such places.
pub fn follow(config: &mut EnvoyConfig) -> Result<(), RigError> {
    config.change_plugin(|plugin| {
        if let Some(name) = plugin.pointer_mut("/pools/0/name") {
            *name = json!(POOL);
        }
    })?;
    let service = format!("{}/eds_cluster_config/service_name", at::MODEL_SERVERS);
    config.set(&service, json!(POOL))
}

/// Objectives with their priorities, as YAML documents.
#[must_use]
pub fn objectives(priorities: &[(&str, i32)]) -> String {
    let mut text = String::new();
    for (name, priority) in priorities {
        writeln!(
            text,
            "---\n\
            apiVersion: llm-d.ai/v1alpha2\n\
            kind: InferenceObjective\n\
            metadata: {{name: {name}}}\n\
            spec: {{priority: {priority}, poolRef: {{name: llama}}}}"
        )
        .ok();
    }
    text
}
