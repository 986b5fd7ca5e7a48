//! Which kinds of objects are watched.

use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

/// A kind of object and where its API is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The version of the group.
    pub version: &'static str,
    /// The kind, as in documents.
    pub kind: &'static str,
    /// The resource, as in URLs and roles.
    pub plural: &'static str,
}

const fn kind(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
) -> Kind {
    Kind {
        group,
        version,
        kind,
        plural,
    }
}

/// Model servers.
pub const POD: Kind = kind("", "v1", "Pod", "pods");
/// Pools of them.
pub const INFERENCE_POOL: Kind = kind(
    "inference.networking.k8s.io",
    "v1",
    "InferencePool",
    "inferencepools",
);

const GROUP: &str = "llm-d.ai";
const OLDER_GROUP: &str = "inference.networking.x-k8s.io";

/// Everything that is watched. A cluster that does not serve one of them simply has none of it.
pub const WATCHED: [Kind; 7] = [
    POD,
    INFERENCE_POOL,
    kind(
        GROUP,
        "v1alpha2",
        "InferenceObjective",
        "inferenceobjectives",
    ),
    kind(
        GROUP,
        "v1alpha2",
        "InferenceModelRewrite",
        "inferencemodelrewrites",
    ),
    kind(
        OLDER_GROUP,
        "v1alpha2",
        "InferenceObjective",
        "inferenceobjectives",
    ),
    kind(
        OLDER_GROUP,
        "v1alpha2",
        "InferenceModelRewrite",
        "inferencemodelrewrites",
    ),
    kind(OLDER_GROUP, "v1alpha2", "InferenceModel", "inferencemodels"),
];

impl Kind {
    /// `group/version`, or the version alone in the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// What the client needs to address it.
    #[must_use]
    pub fn resource(&self) -> ApiResource {
        let gvk = GroupVersionKind::gvk(self.group, self.version, self.kind);
        ApiResource::from_gvk_with_plural(&gvk, self.plural)
    }
}

/// Takes from an object what nobody reads and what would take most of the memory: who last wrote
/// which field, and the containers of pods. Names its type, which lists leave out.
#[must_use]
pub(super) fn trimmed(kind: Kind, mut object: Value) -> Value {
    if let Some(document) = object.as_object_mut() {
        document.insert("apiVersion".to_owned(), kind.api_version().into());
        document.insert("kind".to_owned(), kind.kind.into());
        if kind == POD {
            document.remove("spec");
        }
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        if kind == POD {
            // Nothing is written to pods, and a change of what is left out is none.
            metadata.remove("resourceVersion");
        }
        for field in ["managedFields", "ownerReferences", "finalizers", "selfLink"] {
            metadata.remove(field);
        }
        if let Some(annotations) = metadata
            .get_mut("annotations")
            .and_then(Value::as_object_mut)
        {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    if kind == POD
        && let Some(status) = object.get_mut("status").and_then(Value::as_object_mut)
    {
        status.retain(|field, _| matches!(&**field, "phase" | "podIP" | "podIPs" | "conditions"));
        if let Some(conditions) = status.get_mut("conditions").and_then(Value::as_array_mut) {
            conditions.retain(|condition| condition.get("type") == Some(&Value::from("Ready")));
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_keeps_what_makes_it_an_endpoint() {
        let pod = trimmed(
            POD,
            json!({
                "metadata": {
                    "name": "a", "uid": "u", "labels": { "app": "vllm" },
                    "deletionTimestamp": "2026-01-01T00:00:00Z",
                    "annotations": {
                        "llm-d.ai/active-ports": "8000",
                        "kubectl.kubernetes.io/last-applied-configuration": "{}",
                    },
                    "managedFields": [{}],
                },
                "spec": { "containers": [] },
                "status": {
                    "phase": "Running", "podIP": "10.0.0.1", "podIPs": [{ "ip": "10.0.0.1" }],
                    "containerStatuses": [{}],
                    "conditions": [{ "type": "Ready", "status": "True" }, { "type": "Other" }],
                },
            }),
        );
        let wanted = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "a", "uid": "u", "labels": { "app": "vllm" },
                "deletionTimestamp": "2026-01-01T00:00:00Z",
                "annotations": { "llm-d.ai/active-ports": "8000" },
            },
            "status": {
                "phase": "Running", "podIP": "10.0.0.1", "podIPs": [{ "ip": "10.0.0.1" }],
                "conditions": [{ "type": "Ready", "status": "True" }],
            },
        });
        assert_eq!(pod, wanted);
    }

    #[test]
    fn a_pool_keeps_its_spec_and_gets_its_type() {
        let pool = trimmed(
            INFERENCE_POOL,
            json!({ "metadata": { "name": "p" }, "spec": { "x": 1 } }),
        );
        assert_eq!(pool["apiVersion"], "inference.networking.k8s.io/v1");
        assert_eq!(pool["kind"], "InferencePool");
        assert_eq!(pool["spec"]["x"], 1);
    }
}
