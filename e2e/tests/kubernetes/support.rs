//! What the tests share.

use std::{fs, path::Path, time::Duration};

use e2e::rig::{
    artifacts,
    cluster::{ADMIN, Cluster, Objects, documents},
};
use serde_json::{Value, json};

/// The namespace of everything.
pub(crate) const NAMESPACE: &str = "inference";

/// Everything that is waited for happens within this time, also on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A pool of the pods with the label `app: <name>`, on port 8000.
pub(crate) fn pool(name: &str) -> Value {
    json!({
        "apiVersion": "inference.networking.k8s.io/v1", "kind": "InferencePool",
        "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "targetPorts": [{ "number": 8000 }],
        },
    })
}

/// A pod that no kubelet runs: what is in its status is what the test says.
pub(crate) fn pod(name: &str, app: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": NAMESPACE, "labels": { "app": app } },
        "spec": {
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": "server", "image": "model-server",
                "securityContext": {
                    "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
                },
            }],
        },
    })
}

/// The status of a pod that runs at an address.
pub(crate) fn running(ip: &str, ready: bool) -> Value {
    json!({
        "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }],
        "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }],
    })
}

/// Creates a pod and makes it ready.
pub(crate) async fn start_pod(objects: &Objects, name: &str, app: &str, ip: &str) {
    let pod = pod(name, app);
    objects.create(&pod).await.unwrap();
    objects.set_status(&pod, &running(ip, true)).await.unwrap();
}

/// All documents of a YAML file.
pub(crate) fn read(path: &Path) -> Vec<Value> {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    documents(path, &text).unwrap()
}

/// The resource definitions of the tests.
pub(crate) fn definitions() -> Vec<Value> {
    let directory = artifacts::repository().join("testdata/kubernetes/crds");
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    files.iter().flat_map(|file| read(file)).collect()
}

/// A running API with every definition and the namespace, and everything in it for the asking.
pub(crate) async fn cluster() -> (Cluster, Objects) {
    let cluster = Cluster::start().await.unwrap();
    let objects = cluster.objects(ADMIN).await.unwrap();
    objects.define(&definitions(), SOON).await.unwrap();
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {
            "name": NAMESPACE,
            "labels": { "pod-security.kubernetes.io/enforce": "restricted" },
        },
    });
    objects.apply(&namespace).await.unwrap();
    (cluster, objects)
}
