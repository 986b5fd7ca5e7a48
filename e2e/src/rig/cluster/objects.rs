//! What a test does to the objects of a cluster.

use std::{collections::HashMap, path::Path, sync::Mutex, time::Duration};

use kube::{
    Api, Client,
    api::{
        ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
        ValidationDirective,
    },
    core::GroupVersionKind,
    discovery::{Scope, pinned_kind},
};
use serde_json::{Value, json};

use super::super::{error::RigError, eventually::eventually};

/// Who writes, for server-side apply.
const MANAGER: &str = "zerohop-tests";

/// The objects of a cluster, as documents.
#[derive(Clone)]
pub struct Objects {
    client: Client,
    known: std::sync::Arc<Mutex<HashMap<GroupVersionKind, (ApiResource, bool)>>>,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Objects").finish_non_exhaustive()
    }
}

impl Objects {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            known: std::sync::Arc::default(),
        }
    }

    /// The client itself.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Creates the object or brings it into the given form.
    ///
    /// # Errors
    /// When the server refuses, in its words.
    pub async fn apply(&self, object: &Value) -> Result<Value, RigError> {
        self.send(object, false).await
    }

    /// Adds resource definitions and waits until their objects are served.
    ///
    /// # Errors
    /// When the server refuses one, in its words, or does not serve it within `limit`.
    pub async fn define(&self, definitions: &[Value], limit: Duration) -> Result<(), RigError> {
        for definition in definitions {
            self.apply(definition).await?;
        }
        for definition in definitions {
            eventually("a definition is served", limit, || async {
                let found = self.get(definition).await.ok().flatten();
                let found = found.unwrap_or_default();
                let conditions = found.pointer("/status/conditions");
                let mut conditions = conditions.and_then(Value::as_array).into_iter().flatten();
                conditions.any(|one| one["type"] == "Established" && one["status"] == "True")
            })
            .await?;
        }
        Ok(())
    }

    /// What the server would make of the object, with every unknown field and every breach of its
    /// schema refused.
    ///
    /// # Errors
    /// When the server refuses, in its words.
    pub async fn dry_run(&self, object: &Value) -> Result<Value, RigError> {
        self.send(object, true).await
    }

    async fn send(&self, object: &Value, dry_run: bool) -> Result<Value, RigError> {
        let (api, name) = self.api_of(object).await?;
        let parameters = PatchParams {
            dry_run,
            force: true,
            field_manager: Some(MANAGER.to_owned()),
            field_validation: Some(ValidationDirective::Strict),
        };
        let applied = api.patch(&name, &parameters, &Patch::Apply(object)).await;
        answer(&format!("apply {}", shown(object)), applied)
    }

    /// Creates an object, quicker than `apply`.
    ///
    /// # Errors
    /// When the server refuses, in its words.
    pub async fn create(&self, object: &Value) -> Result<Value, RigError> {
        let (api, _) = self.api_of(object).await?;
        let doing = format!("create {}", shown(object));
        let typed: DynamicObject = serde_json::from_value(object.clone())
            .map_err(|error| RigError::http(&*doing, &error))?;
        answer(&doing, api.create(&PostParams::default(), &typed).await)
    }

    /// Merges `status` into the status of the object of this type, namespace and name.
    ///
    /// # Errors
    /// When the server refuses, in its words.
    pub async fn set_status(&self, object: &Value, status: &Value) -> Result<Value, RigError> {
        let (api, name) = self.api_of(object).await?;
        let patch = Patch::Merge(json!({ "status": status }));
        let done = api
            .patch_status(&name, &PatchParams::default(), &patch)
            .await;
        answer(&format!("status of {}", shown(object)), done)
    }

    /// The object as it is; `None` when there is none.
    ///
    /// # Errors
    /// When the server refuses, in its words.
    pub async fn get(&self, object: &Value) -> Result<Option<Value>, RigError> {
        let (api, name) = self.api_of(object).await?;
        let doing = format!("get {}", shown(object));
        match api.get_opt(&name).await {
            Ok(Some(found)) => answer(&doing, Ok(found)).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(RigError::http(doing, &error)),
        }
    }

    /// All objects of a type in a namespace.
    ///
    /// # Errors
    /// When the server refuses, in its words.
    pub async fn list(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
    ) -> Result<Vec<Value>, RigError> {
        let example = json!({
            "apiVersion": api_version, "kind": kind,
            "metadata": { "namespace": namespace, "name": "any" },
        });
        let (api, _) = self.api_of(&example).await?;
        let doing = format!("list {kind}");
        let listed = api.list(&ListParams::default()).await;
        let listed = listed.map_err(|error| RigError::http(&*doing, &error))?;
        listed
            .into_iter()
            .map(|object| answer(&doing, Ok(object)))
            .collect()
    }

    /// Deletes the object of this type, namespace and name, at once.
    ///
    /// # Errors
    /// When the server refuses, in its words.
    pub async fn delete(&self, object: &Value) -> Result<(), RigError> {
        let (api, name) = self.api_of(object).await?;
        let parameters = DeleteParams::default().grace_period(0);
        api.delete(&name, &parameters)
            .await
            .map(drop)
            .map_err(|error| RigError::http(format!("delete {}", shown(object)), &error))
    }

    async fn api_of(&self, object: &Value) -> Result<(Api<DynamicObject>, String), RigError> {
        let wrong = |problem: &dyn std::fmt::Display| RigError::http(shown(object), problem);
        let text = |place: &str| object.pointer(place).and_then(Value::as_str);
        let (Some(version), Some(kind), Some(name)) =
            (text("/apiVersion"), text("/kind"), text("/metadata/name"))
        else {
            return Err(wrong(&"has no apiVersion, kind or name"));
        };
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let kind = GroupVersionKind::gvk(group, version, kind);
        let known = self
            .known
            .lock()
            .ok()
            .and_then(|known| known.get(&kind).cloned());
        let (resource, namespaced) = match known {
            Some(known) => known,
            None => {
                let found = pinned_kind(&self.client, &kind).await;
                let (resource, capabilities) = found.map_err(|error| wrong(&error))?;
                let found = (resource, capabilities.scope == Scope::Namespaced);
                if let Ok(mut known) = self.known.lock() {
                    known.insert(kind, found.clone());
                }
                found
            }
        };
        let namespace = text("/metadata/namespace").unwrap_or("default");
        let api = if namespaced {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        } else {
            Api::all_with(self.client.clone(), &resource)
        };
        Ok((api, name.to_owned()))
    }
}

fn answer(doing: &str, outcome: kube::Result<DynamicObject>) -> Result<Value, RigError> {
    let object = outcome.map_err(|error| RigError::http(doing, &error))?;
    serde_json::to_value(object).map_err(|error| RigError::http(doing, &error))
}

fn shown(object: &Value) -> String {
    let text = |place: &str| object.pointer(place).and_then(Value::as_str).unwrap_or("?");
    format!("{} {}", text("/kind"), text("/metadata/name"))
}

/// The documents of a YAML stream; empty ones are left out.
///
/// # Errors
/// When it is no YAML.
pub fn documents(path: &Path, yaml: &str) -> Result<Vec<Value>, RigError> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(yaml).map_err(|error| RigError::Config {
            path: path.to_path_buf(),
            problem: error.to_string(),
        })?;
    Ok(documents
        .into_iter()
        .filter(|document| !document.is_null())
        .collect())
}
