use std::sync::{Arc, Mutex};

use serde_json::json;

use super::{
    super::kind::{POD, trimmed},
    *,
};

type Published = Arc<Mutex<Compiled>>;

fn resources() -> (Resources<impl FnMut(Compiled) + Send>, Published) {
    let published = Published::default();
    let to = Arc::clone(&published);
    (
        Resources::new(move |compiled| *to.lock().unwrap() = compiled),
        published,
    )
}

fn kind(group: &str, name: &str) -> Kind {
    let mut found = WATCHED.into_iter();
    found
        .find(|kind| kind.group == group && kind.kind == name)
        .unwrap()
}

fn put(sink: &mut impl Sink, kind: Kind, name: &str, spec: &Value) {
    let object = json!({
        "metadata": { "name": name, "namespace": "inference", "uid": "u" },
        "spec": spec,
    });
    let key = Key {
        kind,
        name: name.to_owned(),
    };
    sink.apply(&key, &trimmed(kind, object));
}

fn pool(picker: Option<&str>) -> Value {
    let mut spec = json!({
        "selector": { "matchLabels": { "app": "vllm" } },
        "targetPorts": [{ "number": 8000 }],
    });
    if let Some(name) = picker {
        spec["endpointPickerRef"] = json!({ "name": name, "port": { "number": 9002 } });
    }
    spec
}

fn pod(sink: &mut impl Sink, name: &str, ip: &str, ready: bool) {
    let status = if ready { "True" } else { "False" };
    let object = json!({
        "metadata": {
            "name": name, "namespace": "inference", "uid": name, "labels": { "app": "vllm" },
        },
        "status": {
            "phase": "Running", "podIP": ip,
            "conditions": [{ "type": "Ready", "status": status }],
        },
    });
    let key = Key {
        kind: POD,
        name: name.to_owned(),
    };
    sink.apply(&key, &trimmed(POD, object));
}

#[test]
fn ready_pods_are_members() {
    let (mut sink, published) = resources();
    put(&mut sink, INFERENCE_POOL, "chat", &pool(None));
    pod(&mut sink, "a", "10.0.0.1", true);
    pod(&mut sink, "b", "10.0.0.2", false);
    let report = sink.commit();
    let sound = Verdict {
        refused: None,
        bad_reference: None,
    };
    assert_eq!(report.pools["chat"], Some(sound));
    assert!(report.complaints.is_empty());
    let compiled = published.lock().unwrap().clone();
    assert_eq!(compiled.pools[0].endpoints.len(), 1);
    assert_eq!(compiled.pools[0].endpoints[0].port, 8000);
}

#[test]
fn a_pool_of_another_picker_is_none_of_ours() {
    let (mut sink, published) = resources();
    put(&mut sink, INFERENCE_POOL, "theirs", &pool(Some("epp")));
    let objective = json!({ "priority": 1, "poolRef": { "name": "theirs" } });
    let kind = kind("llm-d.ai", "InferenceObjective");
    put(&mut sink, kind, "batch", &objective);
    let report = sink.commit();
    assert_eq!(report.pools["theirs"], None);
    assert!(report.complaints.is_empty(), "{:?}", report.complaints);
    assert!(published.lock().unwrap().pools.is_empty());
}

#[test]
fn what_is_wrong_is_said_of_the_object_itself() {
    let (mut sink, _) = resources();
    put(
        &mut sink,
        INFERENCE_POOL,
        "chat",
        &pool(Some("zerohop-agent")),
    );
    let kind = kind("inference.networking.x-k8s.io", "InferenceObjective");
    put(
        &mut sink,
        kind,
        "lost",
        &json!({ "poolRef": { "name": "nowhere" } }),
    );
    let mut broken = pool(None);
    broken["targetPorts"] = json!([]);
    put(&mut sink, INFERENCE_POOL, "broken", &broken);
    let report = sink.commit();
    assert!(report.pools["broken"].as_ref().unwrap().refused.is_some());
    assert!(report.pools["chat"].as_ref().unwrap().refused.is_none());
    let said: Vec<(&str, &str)> = report
        .complaints
        .iter()
        .map(|complaint| (complaint.key.name.as_str(), complaint.reason))
        .collect();
    assert_eq!(said, [("broken", REFUSED), ("lost", UNUSED)]);
    assert!(report.complaints[1].note.contains("nowhere"));
    sink.delete(&Key {
        kind,
        name: "lost".to_owned(),
    });
    put(&mut sink, INFERENCE_POOL, "broken", &pool(None));
    assert!(sink.commit().complaints.is_empty());
}

#[test]
fn the_newer_group_counts_where_both_have_a_name() {
    let (mut sink, published) = resources();
    put(&mut sink, INFERENCE_POOL, "chat", &pool(None));
    let objective = |priority: i32| json!({ "priority": priority, "poolRef": { "name": "chat" } });
    let newer = kind("llm-d.ai", "InferenceObjective");
    let older = kind("inference.networking.x-k8s.io", "InferenceObjective");
    put(&mut sink, newer, "batch", &objective(5));
    put(&mut sink, older, "batch", &objective(9));
    let priority = |published: &Published| {
        let compiled = published.lock().unwrap();
        let policy = compiled.pools[0].policy.clone();
        policy.into_parts().objectives.get("batch").copied()
    };
    sink.commit();
    assert_eq!(priority(&published), Some(5));
    sink.delete(&Key {
        kind: newer,
        name: "batch".to_owned(),
    });
    sink.commit();
    assert_eq!(
        priority(&published),
        Some(9),
        "the older one is still there"
    );
}
