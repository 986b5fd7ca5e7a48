//! What istiod and Istio's agent make of the files in `envoy-config/istio/`, so far as those files
//! need it: the same Envoy configuration, without a control plane.
//!
//! ```text
//!   WasmPlugin            -> an HTTP filter each, higher priority first
//!   EXTENSION_CONFIG ADD  -> kept by name
//!   HTTP_FILTER           -> inserted before the named filter, or removed
//!   CLUSTER, VIRTUAL_HOST, HTTP_ROUTE MERGE -> merged field by field, lists appended
//!   code.remote           -> code.local, as Istio's agent rewrites it
//! ```

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};

use super::{
    config::{EnvoyConfig, at},
    error::RigError,
};

/// The model servers' Service in the example files.
pub const MODEL_SERVERS: &str = "model-servers.inference.svc.cluster.local";
/// The agent's Service in the example files.
pub const AGENT: &str = "zerohop-agent.inference.svc.cluster.local";
/// Istio's name of the agent's cluster.
pub const AGENT_CLUSTER: &str = "outbound|9002||zerohop-agent.inference.svc.cluster.local";

const ROUTER: &str = "envoy.filters.http.router";

/// A gateway's configuration before our files are applied: what Istio makes of a Gateway, an
/// HTTPRoute and two Services, cut to what matters here.
///
/// # Errors
/// When the shipped local file, from which the listener is borrowed, has changed its shape.
pub fn gateway() -> Result<EnvoyConfig, RigError> {
    let mut config = EnvoyConfig::shipped()?;
    config.remove_filter()?;
    let host = at::VIRTUAL_HOST;
    config.set(
        host,
        json!({
            "name": "inference", "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "model-servers"}}],
        }),
    )?;
    // The limit of Istio's gateways, which the files have to live with.
    config.set(
        &format!("{}/per_connection_buffer_limit_bytes", at::LISTENER),
        json!(32_768),
    )?;
    config.set(
        at::MODEL_SERVERS,
        json!({"name": "model-servers", "type": "STATIC", "load_assignment": {
            "cluster_name": "model-servers", "endpoints": []}}),
    )?;
    // A port named grpc makes Istio speak HTTP/2 to the Service.
    config.set(
        at::AGENT,
        json!({
            "name": AGENT_CLUSTER, "type": "STATIC",
            "load_assignment": {"cluster_name": AGENT_CLUSTER, "endpoints": []},
            "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}}
                }
            }
        }),
    )?;
    Ok(config)
}

/// The documents of a YAML file.
///
/// # Errors
/// When it cannot be read.
pub fn documents(path: &Path) -> Result<Vec<Value>, RigError> {
    let text =
        fs::read_to_string(path).map_err(RigError::io(format!("read {}", path.display())))?;
    text.split("\n---")
        .map(|part| {
            serde_saphyr::from_str(part).map_err(|error| RigError::Config {
                path: path.to_path_buf(),
                problem: error.to_string(),
            })
        })
        .collect()
}

/// Applies documents to a gateway's configuration; `wasm` stands for the image.
///
/// # Errors
/// When a document holds something that this reader does not know.
pub fn apply(config: &mut EnvoyConfig, documents: &[Value], wasm: &Path) -> Result<(), RigError> {
    apply_plugins(config, documents, wasm)?;
    let mut extensions = BTreeMap::new();
    for document in documents {
        let patches = document
            .pointer("/spec/configPatches")
            .and_then(Value::as_array);
        for patch in patches.into_iter().flatten() {
            apply_patch(config, patch, &mut extensions, wasm)?;
        }
    }
    Ok(())
}

fn apply_plugins(
    config: &mut EnvoyConfig,
    documents: &[Value],
    wasm: &Path,
) -> Result<(), RigError> {
    let mut plugins: Vec<&Value> = documents
        .iter()
        .filter(|document| text(document, "/kind") == "WasmPlugin")
        .collect();
    let priority = |plugin: &Value| plugin.pointer("/spec/priority").and_then(Value::as_i64);
    plugins.sort_by_key(|plugin| std::cmp::Reverse(priority(plugin).unwrap_or(0)));
    for plugin in plugins {
        let name = format!(
            "{}.{}",
            text(plugin, "/metadata/namespace"),
            text(plugin, "/metadata/name")
        );
        let strategy = match text(plugin, "/spec/failStrategy") {
            "" => "FAIL_CLOSED",
            "FAIL_CLOSE" => "FAIL_CLOSED",
            other => other,
        };
        let configuration = plugin.pointer("/spec/pluginConfig").unwrap_or(&Value::Null);
        // No vm_id and no flag: istiod sets neither.
        let filter = json!({
            "name": name,
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                "config": {
                    "name": name,
                    "failure_policy": strategy,
                    "configuration": {
                        "@type": "type.googleapis.com/google.protobuf.StringValue",
                        "value": configuration.to_string(),
                    },
                    "vm_config": {
                        "runtime": "envoy.wasm.runtime.v8",
                        "code": {"local": {"filename": wasm}},
                    },
                }
            }
        });
        insert_before(config, ROUTER, filter)?;
    }
    Ok(())
}

fn apply_patch(
    config: &mut EnvoyConfig,
    patch: &Value,
    extensions: &mut BTreeMap<String, Value>,
    wasm: &Path,
) -> Result<(), RigError> {
    let value = patch
        .pointer("/patch/value")
        .cloned()
        .unwrap_or(Value::Null);
    let filter = "/match/listener/filterChain/filter/subFilter/name";
    match (text(patch, "/applyTo"), text(patch, "/patch/operation")) {
        ("EXTENSION_CONFIG", "ADD") => {
            let mut typed = value.get("typed_config").cloned().unwrap_or(Value::Null);
            if let Some(code) = typed.pointer_mut("/config/vm_config/code") {
                *code = json!({"local": {"filename": wasm}});
            }
            extensions.insert(text(&value, "/name").to_owned(), typed);
            Ok(())
        }
        ("HTTP_FILTER", "INSERT_BEFORE") => {
            let name = text(&value, "/name");
            let inserted = match value.get("config_discovery") {
                None => value.clone(),
                Some(_) => {
                    let typed = extensions
                        .get(name)
                        .ok_or_else(|| unknown(&format!("no EXTENSION_CONFIG named {name}")))?;
                    json!({"name": name, "typed_config": typed})
                }
            };
            insert_before(config, text(patch, filter), inserted)
        }
        ("HTTP_FILTER", "REMOVE") => change_filters(config, |filters| {
            filters.retain(|each| text(each, "/name") != text(patch, filter));
            Ok(())
        }),
        ("CLUSTER", "MERGE") => {
            let place = match text(patch, "/match/cluster/service") {
                MODEL_SERVERS => at::MODEL_SERVERS,
                AGENT => at::AGENT,
                other => return Err(unknown(&format!("a CLUSTER of {other}"))),
            };
            merge_at(config, place, &value)
        }
        ("VIRTUAL_HOST", "MERGE") => merge_at(config, at::VIRTUAL_HOST, &value),
        ("HTTP_ROUTE", "MERGE") => {
            merge_at(config, &format!("{}/routes/0", at::VIRTUAL_HOST), &value)
        }
        (place, operation) => Err(unknown(&format!("{operation} of {place}"))),
    }
}

fn insert_before(config: &mut EnvoyConfig, name: &str, filter: Value) -> Result<(), RigError> {
    change_filters(config, |filters| {
        let place = filters
            .iter()
            .position(|each| text(each, "/name") == name)
            .ok_or_else(|| unknown(&format!("no filter {name} to insert before")))?;
        filters.insert(place, filter);
        Ok(())
    })
}

fn change_filters(
    config: &mut EnvoyConfig,
    change: impl FnOnce(&mut Vec<Value>) -> Result<(), RigError>,
) -> Result<(), RigError> {
    let mut filters = config
        .get(at::HTTP_FILTERS)?
        .as_array()
        .cloned()
        .unwrap_or_default();
    change(&mut filters)?;
    config.set(at::HTTP_FILTERS, Value::Array(filters))
}

fn merge_at(config: &mut EnvoyConfig, pointer: &str, patch: &Value) -> Result<(), RigError> {
    let mut value = config.get(pointer)?.clone();
    merge(&mut value, patch);
    config.set(pointer, value)
}

/// As protobuf merges: messages field by field, repeated fields appended, anything else replaced.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) => into.extend(from.iter().cloned()),
        (into, from) => *into = from.clone(),
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn unknown(what: &str) -> RigError {
    RigError::Config {
        path: "envoy-config/istio".into(),
        problem: format!("the tests do not know how to apply {what}"),
    }
}
