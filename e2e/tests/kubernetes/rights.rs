//! The Role has every right that the agent uses, and none that it does not use.

use std::collections::BTreeSet;

use e2e::rig::{cluster::Objects, eventually};
use serde_json::{Value, json};

use crate::{
    agent::{ACCOUNT, Agent, account},
    packaging::kustomize,
    support::{NAMESPACE, SOON, cluster, pool, start_pod},
};

/// Group, resource with subresource, verb.
type Right = (String, String, String);

fn granted() -> BTreeSet<Right> {
    let texts = |value: &Value| -> Vec<String> {
        let list = value.as_array().unwrap().iter();
        list.map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for role in kustomize("base") {
        if role["kind"] != "Role" {
            assert_ne!(
                role["kind"], "ClusterRole",
                "rights in one namespace are enough"
            );
            continue;
        }
        for rule in role["rules"].as_array().unwrap() {
            for group in texts(&rule["apiGroups"]) {
                for resource in texts(&rule["resources"]) {
                    for verb in texts(&rule["verbs"]) {
                        rights.insert((group.clone(), resource.clone(), verb));
                    }
                }
            }
        }
    }
    rights
}

/// What the agent has asked for, and what of that was forbidden.
fn used(audit: &[Value]) -> (BTreeSet<Right>, Vec<&Value>) {
    let mut rights = BTreeSet::new();
    let mut forbidden = Vec::new();
    for entry in audit {
        if entry["user"]["username"] != ACCOUNT {
            continue;
        }
        let object = &entry["objectRef"];
        assert_eq!(object["namespace"], NAMESPACE, "{entry:#}");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut resource = text(&object["resource"]);
        if let Some(below) = object["subresource"].as_str() {
            resource = format!("{resource}/{below}");
        }
        rights.insert((text(&object["apiGroup"]), resource, text(&entry["verb"])));
        if entry["responseStatus"]["code"] == 403 {
            forbidden.push(entry);
        }
    }
    (rights, forbidden)
}

async fn everything_happens(objects: &Objects) {
    objects.apply(&pool("a")).await.unwrap();
    start_pod(objects, "a-0", "a", "127.0.1.1").await;
    let lost = json!({
        "apiVersion": "inference.networking.x-k8s.io/v1alpha2", "kind": "InferenceModel",
        "metadata": { "name": "lost", "namespace": NAMESPACE },
        "spec": { "modelName": "m", "poolRef": { "name": "nowhere" } },
    });
    objects.apply(&lost).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs kube-apiserver: make test-kubernetes"]
async fn the_rights_granted_are_the_rights_used() {
    let (cluster, objects) = cluster().await;
    let token = account(&objects).await;
    everything_happens(&objects).await;
    let agent = Agent::start(&cluster, "one", &token).await;
    agent.has("a", &["127.0.1.1:8000"]).await;
    let granted = granted();
    let waited = eventually("every right is used", SOON, || async {
        used(&cluster.audit()).0.is_superset(&granted)
    })
    .await;
    let audit = cluster.audit();
    let (used, forbidden) = used(&audit);
    assert!(forbidden.is_empty(), "forbidden: {forbidden:#?}");
    let unused: Vec<_> = granted.difference(&used).collect();
    assert!(waited.is_ok(), "granted and not used: {unused:?}");
    let missing: Vec<_> = used.difference(&granted).collect();
    assert!(missing.is_empty(), "used and not granted: {missing:?}");
}
