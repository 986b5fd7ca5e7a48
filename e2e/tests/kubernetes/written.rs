//! What the agent writes: its entry in the status of pools, and events. Nothing else.

use std::time::Duration;

use e2e::rig::{cluster::Objects, eventually};
use serde_json::{Value, json};

use crate::{
    agent::{ACCOUNT, Agent, account},
    support::{NAMESPACE, SOON, cluster, pool},
};

const OURS: &str = "zerohop.dev/agent";

/// Our entry in a pool's status.
async fn entry(objects: &Objects, name: &str) -> Option<Value> {
    let pool = objects.get(&pool(name)).await.unwrap()?;
    let mut parents = pool["status"]["parents"].as_array()?.iter();
    parents
        .find(|entry| entry["controllerName"] == OURS)
        .cloned()
}

fn condition<'a>(entry: &'a Value, name: &str) -> &'a Value {
    let conditions = entry["conditions"].as_array().unwrap();
    conditions.iter().find(|one| one["type"] == name).unwrap()
}

async fn reason(objects: &Objects, pool: &str, name: &str) -> Option<String> {
    let entry = entry(objects, pool).await?;
    Some(condition(&entry, name)["reason"].as_str()?.to_owned())
}

async fn wait_for(objects: &Objects, pool: &str, name: &str, wanted: &str) {
    let what = format!("{pool} {name} {wanted}");
    eventually(&what, SOON, || async {
        reason(objects, pool, name).await.as_deref() == Some(wanted)
    })
    .await
    .unwrap();
}

async fn events(objects: &Objects) -> Vec<Value> {
    objects
        .list("events.k8s.io/v1", "Event", NAMESPACE)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs kube-apiserver: make test-kubernetes"]
async fn two_agents_agree_on_status_and_events() {
    let (cluster, objects) = cluster().await;
    let token = account(&objects).await;
    let mut named = pool("named");
    named["spec"]["endpointPickerRef"] =
        json!({ "name": "zerohop-agent", "port": { "number": 9002 } });
    let mut foreign = pool("foreign");
    foreign["spec"]["endpointPickerRef"] =
        json!({ "name": "some-epp", "port": { "number": 9002 } });
    for pool in [pool("a"), named, foreign] {
        objects.apply(&pool).await.unwrap();
    }
    // Another controller's entry, which stays as it is.
    let theirs = json!({
        "parentRef": { "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "inference-gateway" },
        "controllerName": "example.com/gateway",
        "conditions": [{
            "type": "Accepted", "status": "True", "reason": "Accepted", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }],
    });
    objects
        .set_status(&pool("a"), &json!({ "parents": [theirs.clone()] }))
        .await
        .unwrap();
    let agents = [
        Agent::start(&cluster, "one", &token).await,
        Agent::start(&cluster, "two", &token).await,
    ];
    for agent in &agents {
        agent.ready().await;
    }
    for name in ["a", "named"] {
        wait_for(&objects, name, "Accepted", "Accepted").await;
        wait_for(&objects, name, "ResolvedRefs", "ResolvedRefs").await;
    }
    let found = objects.get(&pool("a")).await.unwrap().unwrap();
    let parents = found["status"]["parents"].as_array().unwrap();
    assert_eq!(parents.len(), 2, "one entry of theirs and one of ours");
    assert_eq!(parents[0], theirs);
    let ours = &parents[1];
    assert_eq!(ours["parentRef"]["name"], "inference-gateway");
    assert_eq!(
        condition(ours, "Accepted")["observedGeneration"],
        found["metadata"]["generation"]
    );
    assert!(entry(&objects, "foreign").await.is_none());

    // What a schema lets through and we cannot use.
    let lost = json!({
        "apiVersion": "llm-d.ai/v1alpha2", "kind": "InferenceObjective",
        "metadata": { "name": "lost", "namespace": NAMESPACE },
        "spec": { "priority": 1, "poolRef": { "name": "nowhere" } },
    });
    let of_foreign = json!({
        "apiVersion": "llm-d.ai/v1alpha2", "kind": "InferenceObjective",
        "metadata": { "name": "of-foreign", "namespace": NAMESPACE },
        "spec": { "priority": 1, "poolRef": { "name": "foreign" } },
    });
    for object in [&lost, &of_foreign] {
        objects.apply(object).await.unwrap();
    }
    eventually("an event", SOON, || async {
        !events(&objects).await.is_empty()
    })
    .await
    .unwrap();
    // Long enough for the other agent to say it again, if it did.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let said = events(&objects).await;
    assert_eq!(said.len(), 1, "{said:#?}");
    assert_eq!(said[0]["regarding"]["name"], "lost");
    assert_eq!(said[0]["regarding"]["kind"], "InferenceObjective");
    assert_eq!(said[0]["type"], "Warning");
    assert!(said[0]["note"].as_str().unwrap().contains("nowhere"));

    // Nobody writes again what stands there.
    let writes = |audit: &[Value]| {
        let writes = audit.iter().filter(|entry| {
            entry["user"]["username"] == ACCOUNT
                && !matches!(entry["verb"].as_str(), Some("list" | "watch"))
        });
        writes.count()
    };
    let before = writes(&cluster.audit());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(writes(&cluster.audit()), before);
    for agent in &agents {
        assert!(
            agent.page("/readyz").await.is_ok(),
            "a bad object is no reason to stop serving"
        );
    }

    // A pool that goes over to another picker loses our entry and keeps theirs.
    let mut gone_over = pool("a");
    gone_over["spec"]["endpointPickerRef"] =
        json!({ "name": "some-epp", "port": { "number": 9002 } });
    objects.apply(&gone_over).await.unwrap();
    eventually("our entry is gone", SOON, || async {
        entry(&objects, "a").await.is_none()
    })
    .await
    .unwrap();
    let found = objects.get(&pool("a")).await.unwrap().unwrap();
    assert_eq!(found["status"]["parents"], json!([theirs]));
}
