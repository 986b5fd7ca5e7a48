//! What `deploy/` makes is taken by the API server, to the last field.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use e2e::rig::{
    artifacts,
    cluster::{Objects, documents},
};
use serde_json::{Value, json};

use crate::support::{NAMESPACE, cluster, read};

fn deploy() -> PathBuf {
    artifacts::repository().join("deploy")
}

/// Standard output, or standard error when it fails.
fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(artifacts::kubernetes(program).unwrap())
        .args(arguments)
        .output()
        .unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn helm(settings: &[&str]) -> Result<Vec<Value>, String> {
    let chart = deploy().join("helm/zerohop");
    let mut arguments = vec!["template", "zerohop", chart.to_str().unwrap()];
    arguments.extend(["--namespace", NAMESPACE]);
    for setting in settings {
        arguments.extend(["--set-json", setting]);
    }
    run("helm", &arguments).map(|text| documents(Path::new("helm template"), &text).unwrap())
}

/// What Kustomize makes of an overlay.
pub(crate) fn kustomize(overlay: &str) -> Vec<Value> {
    let directory = deploy().join("kustomize").join(overlay);
    let text = run("kustomize", &["build", directory.to_str().unwrap()]).unwrap();
    documents(&directory, &text).unwrap()
}

const EVERYTHING: [&str; 7] = [
    r#"envoy.enabled=true"#,
    r#"serviceMonitor={"enabled":true,"interval":"30s","labels":{"team":"a"}}"#,
    r#"networkPolicy.monitoringNamespaceLabels={"kubernetes.io/metadata.name":"monitoring"}"#,
    r#"imagePullSecrets=["registry"]"#,
    r#"pools=[{"name":"a","cluster":"x","models":{"list":true}},{"name":"b","cluster":"y"}]"#,
    r#"filter={"models":{"unknown":"refuse"}}"#,
    r#"agent={"nodeSelector":{"disk":"fast"},"tolerations":[{"key":"gpu","operator":"Exists"}],"apiKeySecret":{"name":"engines"},"adapters":[{"pool":"inference/a","present":[{"name":"sql","source":"/adapters/sql"}]}]}"#,
];

/// Sends all documents for a dry run, and pods as the Deployments would make them.
async fn taken(objects: &Objects, what: &str, documents: &[Value]) {
    assert!(!documents.is_empty(), "{what} is empty");
    for document in documents {
        objects
            .dry_run(document)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        if document["kind"] != "Deployment" {
            continue;
        }
        // A Deployment that breaks the standard of its namespace is taken with a warning; its pods
        // are not.
        let mut pod = document["spec"]["template"].clone();
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod["metadata"]["name"] = document["metadata"]["name"].clone();
        pod["metadata"]["namespace"] = NAMESPACE.into();
        objects
            .dry_run(&pod)
            .await
            .unwrap_or_else(|error| panic!("{what}, pod: {error}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs kube-apiserver: make test-kubernetes"]
async fn everything_is_taken_by_the_server() {
    let (_cluster, objects) = cluster().await;
    taken(&objects, "helm with its defaults", &helm(&[]).unwrap()).await;
    for mode in [r#"istio.mode="envoyfilter""#, r#"istio.mode="wasmplugin""#] {
        let mut settings = EVERYTHING.to_vec();
        settings.push(mode);
        taken(&objects, mode, &helm(&settings).unwrap()).await;
    }
    for overlay in ["base", "istio", "envoy", "monitoring"] {
        taken(&objects, overlay, &kustomize(overlay)).await;
    }

    // Were the server lenient, all of the above would say nothing.
    let mut service = helm(&[]).unwrap();
    service.retain(|document| document["kind"] == "Service");
    service[0]["spec"]["selektor"] = json!({});
    let refused = objects.dry_run(&service[0]).await.unwrap_err().to_string();
    assert!(refused.contains("selektor"), "{refused}");
    let mut filter = kustomize("istio");
    filter.retain(|document| document["kind"] == "EnvoyFilter");
    filter[0]["spec"]["configPatches"][0]["patch"]["operation"] = "MERGED".into();
    let refused = objects.dry_run(&filter[0]).await.unwrap_err().to_string();
    assert!(refused.contains("MERGED"), "{refused}");
}

#[test]
#[ignore = "needs helm: make test-kubernetes"]
fn wrong_values_are_refused_by_name() {
    for (setting, named) in [
        ("agnet.replicas=2", "agnet"),
        (r#"agent.replicas="two""#, "replicas"),
        ("agent.replicas=0", "replicas"),
        (r#"istio.mode="sidecar""#, "mode"),
        ("pools=[]", "pools"),
        (r#"pools=[{"name":"a"},{"name":"b"}]"#, "cluster"),
        (r#"filter={"mode":"single"}"#, "filter"),
        (r#"gateway.allowedCidrs=["10.0.0.0"]"#, "allowedCidrs"),
        (r#"agent.scrape={"interval":"often"}"#, "interval"),
        (r#"agent.adapters=[{"pool":"a","presnt":[]}]"#, "presnt"),
        (r#"pools=[{"name":"a","models":{"route":true}}]"#, "route"),
        ("networkPolicy.enable=true", "enable"),
    ] {
        let refused = helm(&[setting]).expect_err(setting);
        assert!(refused.contains(named), "{setting}: {refused}");
    }
}

/// What one document is about, without what the ways of packaging may say differently.
fn bare(document: &Value) -> (String, Value) {
    let mut document = document.clone();
    let name = format!("{} {}", document["kind"], document["metadata"]["name"]);
    strip(&mut document);
    (name, document)
}

/// Takes labels of the packaging itself away, wherever they stand.
fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for label in ["managed-by", "instance", "version", "part-of"] {
                map.remove(&format!("app.kubernetes.io/{label}"));
            }
            map.remove("helm.sh/chart");
            map.remove("zerohop/settings");
            map.values_mut().for_each(strip);
            map.retain(|field, value| {
                !(matches!(&**field, "labels" | "annotations")
                    && value.as_object().is_some_and(serde_json::Map::is_empty))
            });
        }
        Value::Array(list) => list.iter_mut().for_each(strip),
        _ => {}
    }
}

fn same(left: &[Value], right: &[Value]) {
    let sorted = |documents: &[Value]| {
        let mut bare: Vec<_> = documents.iter().map(bare).collect();
        bare.sort_by(|a, b| a.0.cmp(&b.0));
        bare
    };
    let (left, right) = (sorted(left), sorted(right));
    for (left, right) in left.iter().zip(&right) {
        assert_eq!(left, right);
    }
    assert_eq!(left.len(), right.len());
}

#[test]
#[ignore = "needs helm and kustomize: make test-kubernetes"]
fn helm_and_kustomize_say_the_same() {
    same(&helm(&[]).unwrap(), &kustomize("base"));
    same(
        &helm(&[r#"istio.mode="envoyfilter""#]).unwrap(),
        &kustomize("istio"),
    );
    same(&helm(&["envoy.enabled=true"]).unwrap(), &kustomize("envoy"));
}

#[test]
#[ignore = "needs helm: make test-kubernetes"]
fn istio_gets_what_the_tests_on_envoy_run() {
    let examples = artifacts::repository().join("envoy-config/istio");
    let of = |mode: &str, name: &str| {
        let rendered = helm(&[&format!(r#"istio.mode="{mode}""#)]).unwrap();
        let found = rendered
            .into_iter()
            .find(|document| document["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("{name} is missing"))
    };
    let filter = read(&examples.join("envoyfilter.yaml"));
    let mut rendered = of("envoyfilter", "zerohop");
    let place = "/spec/configPatches/0/patch/value/typed_config/config/configuration/value";
    // JSON in a string, whose spaces say nothing.
    let parsed = |document: &mut Value| -> Value {
        let text = document.pointer_mut(place).unwrap().take();
        serde_json::from_str(text.as_str().unwrap()).unwrap()
    };
    let mut example = filter[0].clone();
    // The example's pool is one of the agent's own file; those of the cluster have its namespace.
    let pool: Value = json!({ "name": "inference/default" });
    let mut settings = parsed(&mut example);
    settings["pools"][0] = pool.clone();
    assert_eq!(parsed(&mut rendered), settings);
    assert_eq!(bare(&rendered), bare(&example));
    for mut plugin in read(&examples.join("wasmplugin.yaml")) {
        if let Some(pools) = plugin.pointer_mut("/spec/pluginConfig/pools/0") {
            *pools = pool.clone();
        }
        let name = plugin["metadata"]["name"].as_str().unwrap();
        assert_eq!(bare(&of("wasmplugin", name)), bare(&plugin));
    }
    let pool = read(&examples.join("inferencepool.yaml"));
    assert_eq!(
        bare(&of("envoyfilter", "zerohop-inferencepool")),
        bare(&pool[0])
    );
    // Only the first patch is left out: it is for a Service where a pool has a cluster of its own.
    let mut traffic = read(&examples.join("cluster.yaml")).remove(0);
    let patches = traffic["spec"]["configPatches"].as_array_mut().unwrap();
    patches.remove(0);
    assert_eq!(bare(&of("envoyfilter", "zerohop-traffic")), bare(&traffic));
}

#[test]
#[ignore = "needs helm and Envoy: make test-kubernetes"]
fn the_plain_envoy_is_the_one_that_is_tested() {
    let rendered = helm(&["envoy.enabled=true"]).unwrap();
    let config = rendered
        .iter()
        .find(|document| document["data"]["envoy.yaml"].is_string())
        .unwrap();
    let text = config["data"]["envoy.yaml"].as_str().unwrap();
    let ours = documents(Path::new("envoy.yaml"), text).unwrap().remove(0);
    let local = read(&artifacts::repository().join("envoy-config/local/envoy.yaml")).remove(0);
    let mut differences = Vec::new();
    differ("", &local, &ours, &mut differences);
    let filter = "static_resources.listeners.0.filter_chains.0.filters.0.typed_config\
                  .http_filters.0.typed_config.config";
    let agent = "static_resources.clusters.1";
    let mut expected = vec![
        "node.id".to_owned(),
        format!("{filter}.configuration.value"),
        format!("{filter}.vm_config.code.local.filename"),
        format!(
            "{agent}.load_assignment.endpoints.0.lb_endpoints.0.endpoint.address.socket_address.address"
        ),
        format!("{agent}.type"),
        "static_resources.clusters.0.eds_cluster_config.service_name".to_owned(),
        "static_resources.clusters.2".to_owned(),
        "static_resources.listeners.1".to_owned(),
    ];
    expected.sort();
    differences.sort();
    assert_eq!(differences, expected);

    let scratch = std::env::temp_dir().join(format!("zerohop-envoy-{}.yaml", std::process::id()));
    let wasm = artifacts::filter_wasm().unwrap();
    let runnable = text.replace("/zerohop/plugin.wasm", wasm.to_str().unwrap());
    std::fs::write(&scratch, runnable).unwrap();
    let output = Command::new(artifacts::envoy().unwrap())
        .args(["--mode", "validate", "-c"])
        .arg(&scratch)
        .output()
        .unwrap();
    std::fs::remove_file(&scratch).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// The paths where two documents differ.
fn differ(path: &str, left: &Value, right: &Value, found: &mut Vec<String>) {
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let mut names: Vec<&String> = left.keys().chain(right.keys()).collect();
            names.sort();
            names.dedup();
            for name in names {
                match (left.get(name), right.get(name)) {
                    (Some(left), Some(right)) => differ(&below(name), left, right, found),
                    _ => found.push(below(name)),
                }
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            for index in 0..left.len().max(right.len()) {
                let name = index.to_string();
                match (left.get(index), right.get(index)) {
                    (Some(left), Some(right)) => differ(&below(&name), left, right, found),
                    _ => found.push(below(&name)),
                }
            }
        }
        (left, right) if left != right => found.push(path.to_owned()),
        _ => {}
    }
}
