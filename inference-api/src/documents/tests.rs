//! Files: what is read, and how mistakes are told.

use super::*;
use crate::{
    compile,
    object::{Kind, Spec},
    set::ResourceSet,
};

fn mistakes(text: &str) -> Vec<String> {
    let (_, mistakes) = documents("a.yaml", text);
    mistakes.iter().map(ToString::to_string).collect()
}

fn pool(spec: &str) -> String {
    format!(
        "apiVersion: inference.networking.k8s.io/v1\nkind: InferencePool\n\
         metadata: {{name: p}}\nspec: {spec}\n"
    )
}

fn of_model(kind: &str, spec: &str) -> String {
    format!("apiVersion: llm-d.ai/v1alpha2\nkind: {kind}\nmetadata: {{name: r}}\nspec: {spec}\n")
}

#[test]
fn the_complete_example_is_good() {
    let text = include_str!("../../../testdata/resources/complete.yaml");
    let (objects, mistakes) = documents("complete.yaml", text);
    assert_eq!(mistakes, []);
    let kinds: Vec<Kind> = objects.iter().map(|object| object.meta.key.kind).collect();
    assert_eq!(
        kinds,
        [
            Kind::InferencePool,
            Kind::EndpointList,
            Kind::InferenceModelRewrite,
            Kind::InferenceObjective,
            Kind::InferenceModel,
        ]
    );
    let mut set = ResourceSet::new();
    for object in objects {
        set.apply(object);
    }
    let compiled = compile(&set);
    assert_eq!(compiled.mistakes, []);
    assert_eq!(compiled.pools.len(), 1);
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let text = format!(
        "# a comment\n---\n{}---\n{}--- # another\n{}",
        pool(
            "{selector: {matchLabels: {}}, targetPorts: [{number: 80}, {number: 80}, {number: 0}], appProtocol: grpc, colour: red}"
        ),
        of_model(
            "InferenceModelRewrite",
            "{rules: [{matches: [{model: {type: Regex, value: x}}], targets: [{modelRewrite: a, weight: 0}, {modelRewrite: b}]}]}"
        ),
        of_model(
            "InferenceObjective",
            "{priority: high, poolRef: {group: apps, name: P}}"
        ),
    );
    assert_eq!(
        mistakes(&text),
        [
            "a.yaml: document 1: InferencePool default/p: spec.colour: is not a field here, there are: selector, targetPorts, appProtocol, endpointPickerRef",
            "a.yaml: document 1: InferencePool default/p: spec.selector.matchLabels: expected 1 to 64 labels, found 0",
            "a.yaml: document 1: InferencePool default/p: spec.targetPorts[1].number: port 80 occurs twice",
            "a.yaml: document 1: InferencePool default/p: spec.targetPorts[2].number: expected a whole number from 1 to 65535, found 0",
            "a.yaml: document 1: InferencePool default/p: spec.appProtocol: expected http or kubernetes.io/h2c, found `grpc`",
            "a.yaml: document 2: InferenceModelRewrite default/r: spec.poolRef: is missing",
            "a.yaml: document 2: InferenceModelRewrite default/r: spec.rules[0].matches[0].model.type: expected Exact, found `Regex`",
            "a.yaml: document 2: InferenceModelRewrite default/r: spec.rules[0].targets[0].weight: expected a whole number from 1 to 1000000, found 0",
            "a.yaml: document 2: InferenceModelRewrite default/r: spec.rules[0].targets: all targets have a weight or none has",
            "a.yaml: document 3: InferenceObjective default/r: spec.priority: expected a whole number from -2147483648 to 2147483647, found `high`",
            "a.yaml: document 3: InferenceObjective default/r: spec.poolRef.group: expected inference.networking.k8s.io or inference.networking.x-k8s.io, found `apps`",
            "a.yaml: document 3: InferenceObjective default/r: spec.poolRef.name: expected the name of an InferencePool, found `P`",
        ]
    );
}

#[test]
fn weights_are_for_all_targets_or_for_none() {
    let rewrite = |targets: &str| {
        let spec = format!("{{poolRef: {{name: p}}, rules: [{{targets: {targets}}}]}}");
        mistakes(&of_model("InferenceModelRewrite", &spec))
    };
    assert!(rewrite("[{modelRewrite: a}, {modelRewrite: b}]").is_empty());
    assert!(
        rewrite("[{modelRewrite: a, weight: 1}, {modelRewrite: b, weight: 1000000}]").is_empty()
    );
    assert_eq!(
        rewrite("[{modelRewrite: a, weight: 1}, {modelRewrite: b, weight: 0}]"),
        [
            "a.yaml: document 1: InferenceModelRewrite default/r: spec.rules[0].targets[1].weight: expected a whole number from 1 to 1000000, found 0"
        ]
    );
    assert_eq!(
        rewrite("[{modelRewrite: a, weight: 1}, {modelRewrite: b}]"),
        [
            "a.yaml: document 1: InferenceModelRewrite default/r: spec.rules[0].targets: all targets have a weight or none has"
        ]
    );
    assert!(rewrite("[]")[0].ends_with("expected 1 to 100 elements, found 0"));
}

#[test]
fn what_is_no_resource_of_ours_is_told() {
    assert_eq!(
        mistakes("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n"),
        [
            "a.yaml: document 1: kind: expected one of InferencePool, InferenceObjective, InferenceModelRewrite, InferenceModel, EndpointList, Pod, found `Deployment`"
        ]
    );
    assert_eq!(
        mistakes(
            "apiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferencePool\nmetadata: {name: a}\n"
        ),
        [
            "a.yaml: document 1: apiVersion: expected inference.networking.k8s.io/v1, found `inference.networking.x-k8s.io/v1alpha2`"
        ]
    );
    assert!(mistakes("just text")[0].ends_with("expected a mapping, found `just text`"));
    assert!(mistakes("a: [1")[0].starts_with("a.yaml: document 1: not valid YAML: "));
    assert!(
        mistakes("a: 1\na: 2\n")[0].contains("not valid YAML"),
        "a key that is there twice"
    );
    for empty in ["", "---\n---\n", "# nothing\n", "---"] {
        assert_eq!(mistakes(empty), [""; 0], "{empty:?}");
    }
}

#[test]
fn documents_are_split_where_yaml_splits_them() {
    let objective = of_model("InferenceObjective", "{poolRef: {name: p}}");
    for text in [
        format!("{objective}---\n{objective}"),
        format!("---\n{objective}---\n---\n{objective}"),
        format!("--- # one\n{objective}---\t# two\n{objective}---\n"),
        format!("{objective}---\r\n{objective}"),
    ] {
        let (objects, mistakes) = documents("a.yaml", &text);
        assert_eq!((objects.len(), mistakes.len()), (2, 0), "{text}");
    }
    let dashes = "apiVersion: llm-d.ai/v1alpha2\nkind: InferenceObjective\n\
        metadata:\n  name: r\n  annotations:\n    note: |\n      ---\n      ----\nspec: {poolRef: {name: p}}\n";
    assert_eq!(mistakes(dashes), [""; 0], "indented dashes are text");
}

#[test]
fn a_list_counts_as_its_objects() {
    let text = "apiVersion: v1\nkind: List\nitems:\n\
        - {apiVersion: llm-d.ai/v1alpha2, kind: InferenceObjective, metadata: {name: a}, spec: {poolRef: {name: p}}}\n\
        - {apiVersion: llm-d.ai/v1alpha2, kind: InferenceObjective, metadata: {name: b}, spec: {priority: 3, poolRef: {name: p}}}\n";
    let (objects, mistakes) = documents("a.yaml", text);
    assert_eq!(mistakes, []);
    let priority = |spec: &Spec| match spec {
        Spec::Objective(objective) => objective.priority,
        _ => panic!("an objective"),
    };
    let priorities: Vec<i32> = objects
        .iter()
        .map(|object| priority(&object.spec))
        .collect();
    assert_eq!(priorities, [0, 3], "unset is 0");
}

#[test]
fn both_groups_of_the_same_kind_mean_the_same() {
    for kind in ["InferenceObjective", "InferenceModelRewrite"] {
        let spec = "{poolRef: {group: inference.networking.k8s.io, kind: InferencePool, name: p}, rules: [{targets: [{modelRewrite: a}]}]}";
        let spec = if kind == "InferenceObjective" {
            "{poolRef: {name: p}}"
        } else {
            spec
        };
        let new = of_model(kind, spec);
        let old = new.replace("llm-d.ai/", "inference.networking.x-k8s.io/");
        assert_eq!(documents("a.yaml", &new), documents("a.yaml", &old));
    }
}

#[test]
fn a_hostile_name_forges_no_line() {
    let text =
        "apiVersion: v1\nkind: \"x\\nInferencePool default/p: all is well\"\nmetadata: {name: a}\n";
    assert!(mistakes(text).iter().all(|line| !line.contains('\n')));
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "[a-z:{}\\[\\]\"'|>&*#\n -]{0,200}") {
        let _read = documents("a.yaml", &text);
    }

    #[test]
    fn no_change_of_the_example_panics(at in 0usize..2_000, byte in 32u8..127) {
        let mut text = include_str!("../../../testdata/resources/complete.yaml").as_bytes().to_vec();
        let at = at % text.len();
        text[at] = byte;
        if let Ok(text) = std::str::from_utf8(&text) {
            let (objects, _) = documents("a.yaml", text);
            let mut set = ResourceSet::new();
            for object in objects {
                set.apply(object);
            }
            let _compiled = compile(&set);
        }
    }
}
