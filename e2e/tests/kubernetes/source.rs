//! The cluster as a source: what is in it is in force, and never half of it.

use std::time::{Duration, Instant};

use e2e::rig::{cluster::Objects, eventually, process::Signal};
use serde_json::{Value, json};

use crate::{
    agent::{ACCOUNT, Agent, account},
    support::{NAMESPACE, SOON, cluster, pod, pool, running, start_pod},
};

fn rewrite(name: &str, pool: &str, weights: [u32; 2]) -> Value {
    json!({
        "apiVersion": "llm-d.ai/v1alpha2", "kind": "InferenceModelRewrite",
        "metadata": { "name": name, "namespace": NAMESPACE },
        "spec": {
            "poolRef": { "name": pool },
            "rules": [{
                "matches": [{ "model": { "type": "Exact", "value": "chat" } }],
                "targets": [
                    { "weight": weights[0], "modelRewrite": "chat-v1" },
                    { "weight": weights[1], "modelRewrite": "chat-v2" },
                ],
            }],
        },
    })
}

async fn annotate(objects: &Objects, pod: &Value, ports: &str) {
    let mut changed = pod.clone();
    changed["metadata"]["annotations"] = json!({ "llm-d.ai/active-ports": ports });
    objects.apply(&changed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs kube-apiserver: make test-kubernetes"]
async fn create_change_and_delete() {
    let (cluster, objects) = cluster().await;
    let token = account(&objects).await;
    objects.apply(&pool("a")).await.unwrap();
    start_pod(&objects, "a-0", "a", "127.0.1.1").await;
    start_pod(&objects, "other", "b", "127.0.1.9").await;
    let agent = Agent::start(&cluster, "one", &token).await;
    agent.has("a", &["127.0.1.1:8000"]).await;
    agent.ready().await;

    start_pod(&objects, "a-1", "a", "127.0.1.2").await;
    agent.has("a", &["127.0.1.1:8000", "127.0.1.2:8000"]).await;
    let second = pod("a-1", "a");
    objects
        .set_status(&second, &running("127.0.1.2", false))
        .await
        .unwrap();
    agent.has("a", &["127.0.1.1:8000"]).await;
    objects
        .set_status(&second, &running("127.0.1.2", true))
        .await
        .unwrap();

    // Two ports a pod; the annotation takes one of them away.
    let mut two = pool("a");
    two["spec"]["targetPorts"] = json!([{ "number": 8000 }, { "number": 8001 }]);
    objects.apply(&two).await.unwrap();
    let all = [
        "127.0.1.1:8000",
        "127.0.1.1:8001",
        "127.0.1.2:8000",
        "127.0.1.2:8001",
    ];
    agent.has("a", &all).await;
    annotate(&objects, &second, "8001").await;
    agent
        .has("a", &["127.0.1.1:8000", "127.0.1.1:8001", "127.0.1.2:8001"])
        .await;

    objects.delete(&pod("a-0", "a")).await.unwrap();
    agent.has("a", &["127.0.1.2:8001"]).await;

    // What models are called, and its change.
    objects
        .apply(&rewrite("chat", "a", [70, 30]))
        .await
        .unwrap();
    let weights = |wanted: [u32; 2]| {
        let agent = &agent;
        async move {
            let policy = agent.policy("a").await;
            let weight = |index: usize| policy["rules"][0]["targets"][index]["weight"].as_u64();
            weight(0) == Some(wanted[0].into()) && weight(1) == Some(wanted[1].into())
        }
    };
    eventually("70 to 30", SOON, || weights([70, 30]))
        .await
        .unwrap();
    objects.apply(&rewrite("chat", "a", [1, 99])).await.unwrap();
    let took = eventually("1 to 99", SOON, || weights([1, 99]))
        .await
        .unwrap();
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    objects
        .delete(&rewrite("chat", "a", [1, 99]))
        .await
        .unwrap();
    eventually("no rule", SOON, || async {
        agent.policy("a").await["rules"]
            .as_array()
            .is_none_or(Vec::is_empty)
    })
    .await
    .unwrap();

    objects.delete(&pool("a")).await.unwrap();
    eventually("no pool", SOON, || async { agent.pools().await.is_empty() })
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs kube-apiserver: make test-kubernetes"]
async fn a_restart_of_the_server_changes_nothing_and_a_lost_watch_is_listed_again() {
    let (mut cluster, objects) = cluster().await;
    let token = account(&objects).await;
    objects.apply(&pool("a")).await.unwrap();
    start_pod(&objects, "a-0", "a", "127.0.1.1").await;
    start_pod(&objects, "a-1", "a", "127.0.1.2").await;
    let agent = Agent::start(&cluster, "one", &token).await;
    let both = ["127.0.1.1:8000", "127.0.1.2:8000"];
    agent.has("a", &both).await;

    cluster.kill_api();
    for _ in 0..20 {
        let pools = agent.pools().await;
        assert_eq!(pools["a"], both, "what is known stays in force");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(
        agent.page("/readyz").await.is_ok(),
        "an agent that knows is ready"
    );
    cluster.restart_api().await.unwrap();
    start_pod(&objects, "a-2", "a", "127.0.1.3").await;
    agent
        .has("a", &["127.0.1.1:8000", "127.0.1.2:8000", "127.0.1.3:8000"])
        .await;

    // While the agent is frozen its connections are cut, things change, and history is forgotten: its
    // watches cannot go on from where they were. The changes come after the cut, as what was sent
    // before waits in the sockets.
    let listed = pod_lists(&cluster.audit(), 200);
    let before = expired(&agent);
    agent.process.signal(Signal::Stop).unwrap();
    cluster.restart_api().await.unwrap();
    objects.delete(&pod("a-0", "a")).await.unwrap();
    objects.delete(&pod("a-2", "a")).await.unwrap();
    start_pod(&objects, "a-3", "a", "127.0.1.4").await;
    cluster.kill_api();
    cluster.compact().await.unwrap();
    cluster.restart_api().await.unwrap();
    agent.process.signal(Signal::Continue).unwrap();
    agent.has("a", &["127.0.1.2:8000", "127.0.1.4:8000"]).await;
    assert!(expired(&agent) > before, "no watch was refused as expired");
    assert!(
        pod_lists(&cluster.audit(), 200) > listed,
        "pods were not listed again"
    );
}

fn by_agent(audit: &[Value]) -> impl Iterator<Item = &Value> {
    audit
        .iter()
        .filter(|entry| entry["user"]["username"] == ACCOUNT)
}

fn pod_lists(audit: &[Value], code: u64) -> usize {
    by_agent(audit)
        .filter(|entry| entry["verb"] == "list" && entry["objectRef"]["resource"] == "pods")
        .filter(|entry| entry["responseStatus"]["code"] == code)
        .count()
}

/// Watches that were refused because their version is gone. The server says so in a stream that it
/// has opened with 200, so the agent has to tell.
fn expired(agent: &Agent) -> usize {
    agent
        .process
        .log()
        .matches("too old resource version")
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs kube-apiserver: make test-kubernetes"]
async fn half_a_view_is_never_in_force() {
    let (cluster, objects) = cluster().await;
    let token = account(&objects).await;
    objects.apply(&pool("a")).await.unwrap();
    start_pod(&objects, "a-0", "a", "127.0.1.1").await;
    // Without the right to see pods a pool would look empty.
    let role = |pods: bool| {
        let mut role = crate::packaging::kustomize("base");
        role.retain(|document| document["kind"] == "Role");
        let mut role = role.remove(0);
        if !pods {
            role["rules"].as_array_mut().unwrap().remove(0);
        }
        role
    };
    objects.apply(&role(false)).await.unwrap();
    let agent = Agent::start(&cluster, "one", &token).await;
    eventually("pods were asked for in vain", SOON, || async {
        pod_lists(&cluster.audit(), 403) >= 2
    })
    .await
    .unwrap();
    assert!(agent.pools().await.is_empty());
    let why = agent.page("/readyz").await.unwrap_err().to_string();
    assert!(why.contains("not read yet"), "{why}");
    objects.apply(&role(true)).await.unwrap();
    agent.has("a", &["127.0.1.1:8000"]).await;
    agent.ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs kube-apiserver: make test-kubernetes"]
async fn five_hundred_pods_in_ten_seconds() {
    const PODS: usize = 500;
    let (cluster, objects) = cluster().await;
    let token = account(&objects).await;
    objects.apply(&pool("a")).await.unwrap();
    let agent = Agent::start(&cluster, "one", &token).await;
    agent.ready().await;
    let start = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    // Warm the knowledge of what a pod is, which all share.
    objects.list("v1", "Pod", NAMESPACE).await.unwrap();
    for writer in 0..8 {
        let objects = objects.clone();
        writers.spawn(async move {
            for number in (writer..PODS).step_by(8) {
                let ip = format!("127.1.{}.{}", number / 250, number % 250 + 1);
                start_pod(&objects, &format!("a-{number}"), "a", &ip).await;
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let wrote = start.elapsed();
    let took = eventually("all are known", SOON, || async {
        agent.pools().await["a"].len() == PODS
    })
    .await
    .unwrap();
    let memory = e2e::rig::proc::resident_kib(agent.process.id()).unwrap() / 1024;
    println!("{PODS} pods written in {wrote:.1?}, known {took:.1?} after the last; {memory} MiB");
    assert!(
        took < Duration::from_secs(10),
        "{took:?} behind the last pod"
    );
    assert!(memory <= 128, "the agent has {memory} MiB");
    println!(
        "{} updates taken",
        agent.process.log().matches("resources taken").count()
    );
}
