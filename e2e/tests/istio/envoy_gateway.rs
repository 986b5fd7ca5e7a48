//! Envoy Gateway's own definitions take the files for it. That they work is shown in `configs.rs`.

use std::{fs, path::Path};

use e2e::rig::{
    artifacts,
    cluster::{ADMIN, Cluster, documents, istiod},
};
use serde_json::json;

use crate::stage::{NAMESPACE, SOON};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs kube-apiserver and definitions: make test-istio"]
async fn envoy_gateway_takes_its_files_to_the_last_field() {
    let cluster = Cluster::start().await.unwrap();
    let objects = cluster.objects(ADMIN).await.unwrap();
    for product in ["istio", "envoy-gateway"] {
        let definitions = istiod::definitions(product).unwrap();
        objects.define(&definitions, SOON).await.unwrap();
    }
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    objects.apply(&namespace).await.unwrap();
    let folder = artifacts::repository().join("envoy-config/envoy-gateway");
    let mut resources = Vec::new();
    for file in ["gateway.yaml", "filter.yaml"] {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        resources.extend(documents(Path::new(file), &text).unwrap());
    }
    assert_eq!(resources.len(), 5);
    for resource in &resources {
        objects.dry_run(resource).await.unwrap();
    }
    // Were the server lenient, all of the above would say nothing.
    let mut traffic = resources.remove(2);
    traffic["spec"]["loadBalancer"]["endpointOverride"]["extractFrom"][0]["heder"] = json!("x");
    let refused = objects.dry_run(&traffic).await.unwrap_err().to_string();
    assert!(refused.contains("heder"), "{refused}");
}
