//! The resources of the inference APIs.

use inference_api::{Origin, Source};
use serde_json::{Value, json};

use crate::{
    comments::Owner,
    parser::Mistake,
    section::{Document, Section, elsewhere, said},
};

const POOL: &str = "inference-api/src/pool.rs";
const REWRITE: &str = "inference-api/src/rewrite.rs";
const TARGET: Owner = Owner::of("pool-state/src/policy.rs", "Target");

fn parse(document: &Value) -> Result<String, Vec<Mistake>> {
    match inference_api::parse(document, Source::File, &Origin::default()) {
        Ok(object) => Ok(format!("{object:#?}")),
        Err(mistakes) => {
            let list = mistakes.into_iter();
            Err(list.map(|one| (one.path, one.message)).collect())
        }
    }
}

pub(crate) fn chapter() -> String {
    [
        "## Resources\n\nHow they work together: [policy.md](policy.md). A complete file: \
         [testdata/resources/complete.yaml](../testdata/resources/complete.yaml). From Kubernetes unknown fields are \
         ignored, since a later version may have them.\n"
            .to_owned(),
        kind(
            "InferencePool",
            "inference.networking.k8s.io/v1",
            &json!({
                "selector": {"matchLabels": {"app": "vllm"}},
                "targetPorts": [{"number": 8000}],
                "endpointPickerRef": {"name": "zerohop", "port": {"number": 9002}},
            }),
            pool(),
        ),
        kind(
            "InferenceModelRewrite",
            "llm-d.ai/v1alpha2` or `inference.networking.x-k8s.io/v1alpha2",
            &json!({
                "poolRef": {"name": "default"},
                "rules": [{
                    "matches": [{"model": {"value": "chat"}}],
                    "targets": [{"modelRewrite": "chat-v1"}],
                }],
            }),
            rewrite(),
        ),
        kind(
            "InferenceObjective",
            "llm-d.ai/v1alpha2` or `inference.networking.x-k8s.io/v1alpha2",
            &json!({"poolRef": {"name": "default"}}),
            vec![
                Section {
                    elsewhere: vec![elsewhere(
                        "priority",
                        Owner::of("inference-api/src/objective.rs", "InferenceObjective"),
                        "priority",
                        "=`0`",
                    )],
                    ..section("spec", "inference-api/src/objective.rs", "InferenceObjective")
                },
                pool_ref(),
            ],
        ),
        kind(
            "InferenceModel",
            "inference.networking.x-k8s.io/v1alpha2",
            &json!({
                "poolRef": {"name": "default"},
                "modelName": "chat",
                "targetModels": [{"name": "chat-v1"}],
            }),
            model(),
        ),
        kind(
            "EndpointList",
            "zerohop.dev/v1alpha1",
            &json!({"endpoints": [{"name": "gpu-0", "address": "10.0.0.1"}]}),
            vec![
                section("spec", "inference-api/src/pod.rs", "Pod"),
                endpoint(),
            ],
        ),
    ]
    .join("\n")
}

fn kind(name: &str, version: &str, spec: &Value, sections: Vec<Section>) -> String {
    let first = version.split('`').next().unwrap_or(version);
    let document = Document {
        parse,
        base: json!({
            "apiVersion": first,
            "kind": name,
            "metadata": {"name": "default"},
            "spec": spec,
        }),
        sections,
    };
    let table = document.table(|_| true);
    format!("### {name}\n\n`apiVersion` is `{version}`.\n\n{table}")
}

fn section(path: &'static str, file: &'static str, name: &'static str) -> Section {
    Section {
        path,
        owner: Owner::of(file, name),
        checked: "spec",
        elsewhere: Vec::new(),
    }
}

fn pool_ref() -> Section {
    Section {
        elsewhere: vec![
            said("group", "The pool's group.", "=the pool's"),
            said("kind", "The pool's kind.", "=`InferencePool`"),
        ],
        ..section("spec.poolRef", "inference-api/src/pool_ref.rs", "PoolRef")
    }
}

fn pool() -> Vec<Section> {
    let picker = Owner::of(POOL, "PickerRef");
    vec![
        section("spec", POOL, "InferencePool"),
        Section {
            elsewhere: vec![elsewhere(
                "matchLabels",
                Owner::of(POOL, "InferencePool"),
                "selector",
                "",
            )],
            ..section("spec.selector", POOL, "InferencePool")
        },
        Section {
            elsewhere: vec![elsewhere(
                "number",
                Owner::of(POOL, "InferencePool"),
                "target_ports",
                "",
            )],
            ..section("spec.targetPorts[0]", POOL, "InferencePool")
        },
        Section {
            elsewhere: vec![
                said("group", "The Service's group.", "=none"),
                said(
                    "kind",
                    "What it is; of other kinds than a Service the pool is somebody else's.",
                    "=`Service`",
                ),
                elsewhere("failureMode", picker, "failure_mode", "=`FailClose`"),
            ],
            ..section("spec.endpointPickerRef", POOL, "PickerRef")
        },
        Section {
            elsewhere: vec![elsewhere("number", picker, "port", "")],
            ..section("spec.endpointPickerRef.port", POOL, "PickerRef")
        },
    ]
}

fn rewrite() -> Vec<Section> {
    let rule = Owner::of(REWRITE, "RewriteRule");
    vec![
        section("spec", REWRITE, "InferenceModelRewrite"),
        pool_ref(),
        section("spec.rules[0]", REWRITE, "RewriteRule"),
        section("spec.rules[0].matches[0]", REWRITE, "RewriteRule"),
        Section {
            elsewhere: vec![
                said("type", "How names are compared.", "=`Exact`"),
                elsewhere("value", rule, "models", ""),
            ],
            ..section("spec.rules[0].matches[0].model", REWRITE, "RewriteRule")
        },
        Section {
            elsewhere: vec![
                elsewhere("modelRewrite", TARGET, "model", ""),
                elsewhere("weight", TARGET, "weight", "=equal parts"),
            ],
            ..section("spec.rules[0].targets[0]", REWRITE, "RewriteRule")
        },
    ]
}

fn model() -> Vec<Section> {
    let file = "inference-api/src/model.rs";
    let model = Owner::of(file, "InferenceModel");
    vec![
        Section {
            elsewhere: vec![
                elsewhere("modelName", model, "model", ""),
                elsewhere("criticality", model, "criticality", "=`Standard`"),
            ],
            ..section("spec", file, "InferenceModel")
        },
        pool_ref(),
        Section {
            elsewhere: vec![
                elsewhere("name", TARGET, "model", ""),
                elsewhere("weight", TARGET, "weight", "=equal parts"),
            ],
            ..section("spec.targetModels[0]", file, "InferenceModel")
        },
    ]
}

fn endpoint() -> Section {
    Section {
        elsewhere: vec![
            elsewhere(
                "ports",
                Owner::of("inference-api/src/pod.rs", "Pod"),
                "ports",
                "=the pool's `targetPorts`",
            ),
            elsewhere(
                "labels",
                Owner::of("inference-api/src/pod.rs", "Pod"),
                "labels",
                "=none",
            ),
            elsewhere(
                "uid",
                Owner::of("inference-api/src/pod.rs", "Pod"),
                "uid",
                "=none",
            ),
            elsewhere(
                "ready",
                Owner::of("inference-api/src/pod.rs", "Pod"),
                "ready",
                "=`true`",
            ),
            said(
                "annotations",
                "`llm-d.ai/active-ports: \"8000,8001\"` (or `inference.networking.k8s.io/active-ports`) says which of its ports are live.",
                "=none",
            ),
        ],
        ..section("spec.endpoints[0]", "inference-api/src/pod.rs", "Pod")
    }
}
