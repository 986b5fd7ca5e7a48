//! Precedence, priorities and membership, by the reference's rules; its vectors F about the precedence
//! of rewrites are among them.

use pool_state::policy::Target;
use serde_json::json;

use super::*;
use crate::{Key, documents, object::Source, parse};

fn set(text: &str) -> ResourceSet {
    let (objects, mistakes) = documents("a.yaml", text);
    assert_eq!(mistakes, []);
    let mut set = ResourceSet::new();
    for object in objects {
        set.apply(object);
    }
    set
}

const POOL: &str = "apiVersion: inference.networking.k8s.io/v1\nkind: InferencePool\n\
    metadata: {name: p}\n\
    spec: {selector: {matchLabels: {app: m}}, targetPorts: [{number: 8000}, {number: 8002}]}\n";

fn rewrite(name: &str, created: &str, rules: &str) -> String {
    let created = match created {
        "" => String::new(),
        year => format!(", creationTimestamp: \"{year}-01-01T00:00:00Z\""),
    };
    format!(
        "---\napiVersion: llm-d.ai/v1alpha2\nkind: InferenceModelRewrite\n\
         metadata: {{name: {name}{created}}}\nspec: {{poolRef: {{name: p}}, rules: [{rules}]}}\n"
    )
}

fn exact(model: &str, target: &str) -> String {
    format!("{{matches: [{{model: {{value: {model}}}}}], targets: [{{modelRewrite: {target}}}]}}")
}

fn generic(target: &str) -> String {
    format!("{{targets: [{{modelRewrite: {target}}}]}}")
}

/// Model (`None` for all others), source and first target of each rule.
fn rules(text: &str) -> Vec<(Option<String>, String, Option<String>)> {
    let compiled = compile(&set(text));
    assert_eq!(compiled.mistakes, []);
    let rules = &compiled.pools[0].policy.parts().rules;
    let shown = rules.iter().map(|rule| {
        let target = rule.targets.first().map(|target| target.model.clone());
        (rule.model.clone(), rule.source.clone(), target)
    });
    shown.collect()
}

fn row(model: &str, source: &str, target: &str) -> (Option<String>, String, Option<String>) {
    let model = (!model.is_empty()).then(|| model.to_owned());
    (model, source.to_owned(), Some(target.to_owned()))
}

#[test]
fn the_oldest_rule_for_a_model_counts() {
    let young = rewrite("a-young", "2026", &exact("m", "young"));
    let old = rewrite("z-old", "2025", &exact("m", "old"));
    for order in [[&young, &old], [&old, &young]] {
        let text = format!("{POOL}{}{}", order[0], order[1]);
        assert_eq!(rules(&text), [row("m", "z-old", "old")]);
    }
}

#[test]
fn what_has_no_date_is_younger_and_counts_in_the_order_of_the_file() {
    let dated = rewrite("z", "2026", &exact("m", "dated"));
    let (first, second) = (
        rewrite("y", "", &exact("m", "first")),
        rewrite("x", "", &exact("m", "second")),
    );
    assert_eq!(
        rules(&format!("{POOL}{first}{second}")),
        [row("m", "y", "first")]
    );
    assert_eq!(
        rules(&format!("{POOL}{first}{second}{dated}")),
        [row("m", "z", "dated")]
    );
}

#[test]
fn equal_dates_count_by_name() {
    let (a, b) = (
        rewrite("a", "2026", &exact("m", "one")),
        rewrite("b", "2026", &exact("m", "two")),
    );
    let json = |text: &str| {
        let (objects, _) = documents("", text);
        objects
            .into_iter()
            .map(|mut object| {
                object.meta.origin = crate::Origin::default();
                object
            })
            .collect::<Vec<Object>>()
    };
    for text in [format!("{POOL}{a}{b}"), format!("{POOL}{b}{a}")] {
        let mut set = ResourceSet::new();
        for object in json(&text) {
            set.apply(object);
        }
        let compiled = compile(&set);
        assert_eq!(compiled.pools[0].policy.parts().rules[0].source, "a");
    }
}

#[test]
fn the_first_rule_of_a_resource_counts_and_generic_ones_stand_apart() {
    let list = [
        exact("m", "first"),
        generic("any"),
        exact("m", "second"),
        generic("other"),
    ]
    .join(", ");
    let text = format!("{POOL}{}", rewrite("r", "2025", &list));
    assert_eq!(rules(&text), [row("", "r", "any"), row("m", "r", "first")]);
    // An exact rule beats an older generic one: both stay, and the lookup prefers the exact one.
    let text = format!(
        "{POOL}{}{}",
        rewrite("old", "2020", &generic("any")),
        rewrite("young", "2026", &exact("m", "exact"))
    );
    assert_eq!(
        rules(&text),
        [row("", "old", "any"), row("m", "young", "exact")]
    );
}

#[test]
fn several_matches_are_each_a_rule() {
    let rule = "{matches: [{model: {value: a}}, {model: {type: Exact, value: b}}], targets: [{modelRewrite: x, weight: 70}, {modelRewrite: y, weight: 30}]}";
    let text = format!("{POOL}{}", rewrite("r", "2025", rule));
    assert_eq!(rules(&text), [row("a", "r", "x"), row("b", "r", "x")]);
    let compiled = compile(&set(&text));
    let targets = &compiled.pools[0].policy.parts().rules[0].targets;
    assert_eq!(
        targets,
        &[Target::new("x", Some(70)), Target::new("y", Some(30))]
    );
}

#[test]
fn criticalities_are_priorities_around_zero() {
    let model = |name: &str, criticality: &str| {
        format!(
            "---\napiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferenceModel\n\
             metadata: {{name: {name}}}\n\
             spec: {{modelName: {name}, {criticality} poolRef: {{name: p}}}}\n"
        )
    };
    let text = format!(
        "{POOL}{}{}{}{}",
        model("a", "criticality: Critical,"),
        model("b", "criticality: Standard,"),
        model("c", "criticality: Sheddable,"),
        model("d", ""),
    );
    let compiled = compile(&set(&text));
    let rules = &compiled.pools[0].policy.parts().rules;
    let priorities: Vec<_> = rules.iter().map(|rule| rule.priority.unwrap()).collect();
    assert_eq!(priorities, [1, 0, -1, 0]);
    assert!(
        rules.iter().all(|rule| rule.targets.is_empty()),
        "the names stay"
    );
}

#[test]
fn what_names_no_pool_of_ours_is_told_and_left_out() {
    let text = format!(
        "{POOL}---\n{}{}",
        POOL.replace("name: p", "name: q").replace(
            "spec: {",
            "spec: {endpointPickerRef: {name: epp, port: {number: 9002}}, "
        ),
        rewrite("r", "", &generic("x")).replace("poolRef: {name: p}", "poolRef: {name: missing}"),
    );
    let compiled = compile(&set(&text));
    let mistakes: Vec<String> = compiled.mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(
        mistakes,
        [
            "a.yaml: document 2: InferencePool default/q: spec.endpointPickerRef.name: expected zerohop, a name that begins with `zerohop-`, or no endpointPickerRef, found `epp`",
            "a.yaml: document 3: InferenceModelRewrite default/r: spec.poolRef.name: there is no InferencePool `missing` for us in namespace `default`",
        ]
    );
    assert_eq!(compiled.pools.len(), 1);
    assert_eq!(compiled.pools[0].name, "default/p");
    assert!(
        !compiled.pools[0].policy.parts().fail_open,
        "FailClose unless said"
    );
}

fn pod(name: &str, change: &serde_json::Value) -> serde_json::Value {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "uid": "u", "labels": {"app": "m", "other": "x"}},
        "spec": {"containers": []},
        "status": {
            "podIP": "10.0.0.1",
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}]
        }
    });
    for (path, value) in change.as_object().unwrap() {
        *pod.pointer_mut(path).unwrap() = value.clone();
    }
    pod
}

/// The endpoints of the pool with this one pod.
fn members(change: &serde_json::Value) -> Vec<(String, u16)> {
    let mut set = set(POOL);
    let object = parse(
        &pod("m-0", change),
        Source::Kubernetes,
        &crate::Origin::default(),
    );
    set.apply(object.unwrap());
    let endpoints = &compile(&set).pools[0].endpoints;
    endpoints
        .iter()
        .map(|endpoint| (endpoint.name.clone(), endpoint.port))
        .collect()
}

#[test]
fn each_port_of_a_ready_pod_is_an_endpoint() {
    let both = [
        ("m-0-rank-0".to_owned(), 8000),
        ("m-0-rank-1".to_owned(), 8002),
    ];
    assert_eq!(members(&json!({})), both);
    let none: [(String, u16); 0] = [];
    for gone in [
        json!({"/status/conditions/0/status": "False"}),
        json!({"/status/conditions": []}),
        json!({"/status/phase": "Failed"}),
        json!({"/status/podIP": null}),
        json!({"/metadata": {"name": "m-0", "labels": {"app": "m"}, "deletionTimestamp": "2026-01-01T00:00:00Z"}}),
        json!({"/metadata/labels": {"app": "n"}}),
        json!({"/metadata": {"name": "m-0", "namespace": "elsewhere", "labels": {"app": "m"}}}),
    ] {
        assert_eq!(members(&gone), none, "{gone}");
    }
}

#[test]
fn the_annotation_says_which_ports_are_live() {
    let annotated = |annotations: serde_json::Value| {
        let meta = json!({"name": "m-0", "labels": {"app": "m"}, "annotations": annotations});
        members(&json!({"/metadata": meta}))
    };
    let second = [("m-0-rank-1".to_owned(), 8002)];
    assert_eq!(annotated(json!({"llm-d.ai/active-ports": "8002"})), second);
    assert_eq!(
        annotated(json!({"inference.networking.k8s.io/active-ports": " 8002 ,9"})),
        second
    );
    assert_eq!(
        annotated(
            json!({"inference.networking.k8s.io/active-ports": "8000", "llm-d.ai/active-ports": "8002"})
        ),
        second,
        "the newer name counts"
    );
    assert_eq!(
        annotated(json!({"llm-d.ai/active-ports": "8002,x,0,70000"})),
        second
    );
    assert_eq!(annotated(json!({"llm-d.ai/active-ports": ""})).len(), 0);
}

#[test]
fn an_endpoint_list_stands_in_for_pods() {
    let text = include_str!("../../../testdata/resources/complete.yaml");
    let compiled = compile(&set(text));
    let pool = &compiled.pools[0];
    let shown: Vec<_> = pool
        .endpoints
        .iter()
        .map(|endpoint| (endpoint.name.as_str(), endpoint.host.clone(), endpoint.port))
        .collect();
    let ip = |text: &str| Host::Ip(text.parse().unwrap());
    assert_eq!(
        shown,
        [
            ("gpu-1-rank-0", ip("10.0.0.1"), 8000),
            ("gpu-1-rank-1", ip("10.0.0.1"), 8001),
            (
                "gpu-2-rank-1",
                Host::Name("gpu-2.example.com".to_owned()),
                8001
            ),
            ("gpu-3-rank-0", ip("fd00::3"), 9000),
        ]
    );
    assert_eq!(pool.endpoints[0].engine.as_deref(), Some("vllm"));
    assert_eq!(pool.endpoints[2].uid.as_deref(), Some("second-life"));
    let policy = pool.policy.parts();
    assert!(policy.fail_open);
    assert_eq!(policy.objectives.get("batch"), Some(&-10));
    assert_eq!(policy.rules.len(), 3);
}

#[test]
fn what_is_deleted_no_longer_counts() {
    let mut set = set(&format!("{POOL}{}", rewrite("r", "", &generic("x"))));
    let key = Key {
        kind: Kind::InferenceModelRewrite,
        namespace: "default".into(),
        name: "r".into(),
    };
    assert!(set.remove(&key).is_some());
    assert!(set.remove(&key).is_none());
    assert!(compile(&set).pools[0].policy.parts().rules.is_empty());
}

#[test]
fn kubernetes_may_know_more_fields_than_we() {
    let value = json!({
        "apiVersion": "llm-d.ai/v1alpha2",
        "kind": "InferenceObjective",
        "metadata": {"name": "o", "namespace": "n", "colour": "red"},
        "spec": {"priority": 5, "poolRef": {"name": "p"}, "deadline": "1s"},
        "status": {"conditions": []}
    });
    let origin = crate::Origin::default();
    assert!(parse(&value, Source::Kubernetes, &origin).is_ok());
    assert_eq!(parse(&value, Source::File, &origin).unwrap_err().len(), 2);
}
