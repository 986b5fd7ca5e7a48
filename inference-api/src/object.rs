//! One object of any kind that we know.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use crate::{
    endpoint_list,
    fields::{Checker, Field, Section},
    mistake::{Mistake, Origin},
    model::{self, InferenceModel},
    names,
    objective::{self, InferenceObjective},
    pod::{self, Pod},
    pool::{self, InferencePool},
    rewrite::{self, InferenceModelRewrite},
};

/// The kinds that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `inference.networking.k8s.io/v1`.
    InferencePool,
    /// `llm-d.ai/v1alpha2` and `inference.networking.x-k8s.io/v1alpha2`.
    InferenceObjective,
    /// `llm-d.ai/v1alpha2` and `inference.networking.x-k8s.io/v1alpha2`.
    InferenceModelRewrite,
    /// `inference.networking.x-k8s.io/v1alpha2`.
    InferenceModel,
    /// `zerohop.dev/v1alpha1`: what pods are on hosts without Kubernetes.
    EndpointList,
    /// `v1`.
    Pod,
}

const EXPERIMENTAL: &str = "inference.networking.x-k8s.io/v1alpha2";
const LLM_D: &str = "llm-d.ai/v1alpha2";

/// What we read: kind, group and version.
const KNOWN: [(&str, &str, Kind); 8] = [
    (
        "InferencePool",
        "inference.networking.k8s.io/v1",
        Kind::InferencePool,
    ),
    ("InferenceObjective", LLM_D, Kind::InferenceObjective),
    ("InferenceObjective", EXPERIMENTAL, Kind::InferenceObjective),
    ("InferenceModelRewrite", LLM_D, Kind::InferenceModelRewrite),
    (
        "InferenceModelRewrite",
        EXPERIMENTAL,
        Kind::InferenceModelRewrite,
    ),
    ("InferenceModel", EXPERIMENTAL, Kind::InferenceModel),
    ("EndpointList", "zerohop.dev/v1alpha1", Kind::EndpointList),
    ("Pod", "v1", Kind::Pod),
];

/// What names an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:?} {}/{}",
            self.kind, self.namespace, self.name
        )
    }
}

/// What every object has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// What names it.
    pub key: Key,
    /// Tells objects of the same name apart; files need not have it.
    pub uid: Option<String>,
    /// When it was created, as in `2026-01-31T12:00:00Z`; files need not have it.
    pub created: Option<String>,
    /// Counts the changes of its specification.
    pub generation: Option<i64>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Where it was read.
    pub origin: Origin,
}

/// A checked object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What every object has.
    pub meta: Meta,
    /// What it says.
    pub spec: Spec,
}

/// What an object says, by kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spec {
    /// Where models run.
    Pool(InferencePool),
    /// A priority.
    Objective(InferenceObjective),
    /// Names and their targets.
    Rewrite(InferenceModelRewrite),
    /// A name with its targets and its criticality.
    Model(InferenceModel),
    /// Pods that the list names.
    EndpointList(Vec<Pod>),
    /// A pod.
    Pod(Pod),
}

/// Where values come from, which decides how unknown fields and kinds are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Somebody wrote them: what is unknown is a typing error.
    File,
    /// The API server checked them: what is unknown is of a later version.
    Kubernetes,
}

/// Reads one object.
///
/// # Errors
/// With every mistake in it.
pub fn parse(value: &Value, source: Source, origin: &Origin) -> Result<Object, Vec<Mistake>> {
    let mut checker = Checker {
        strict: source == Source::File,
        mistakes: Vec::new(),
    };
    let mut meta = None;
    let object = read(&mut checker, value, origin, &mut meta);
    let key = meta.map(|meta: Meta| meta.key);
    let mistakes = checker.mistakes.into_iter();
    let mistakes: Vec<Mistake> = mistakes
        .map(|(path, message)| Mistake::new(origin, key.as_ref(), &path, message))
        .collect();
    match object {
        Some(object) if mistakes.is_empty() => Ok(object),
        _ => Err(mistakes),
    }
}

fn read(
    checker: &mut Checker,
    value: &Value,
    origin: &Origin,
    found: &mut Option<Meta>,
) -> Option<Object> {
    let path = String::new();
    let top = Field { path, value };
    let known = ["apiVersion", "kind", "metadata", "spec", "status"];
    let section = checker.section(&top, &known)?;
    let kind = kind(checker, &section);
    let meta = metadata(checker, &section, kind, origin);
    found.clone_from(&meta);
    let kind = kind?;
    // Pods say where they are in their status.
    let field = if kind == Kind::Pod { "status" } else { "spec" };
    let field = checker.required(&section, field)?;
    let spec = match kind {
        Kind::InferencePool => pool::read(checker, &field).map(Spec::Pool),
        Kind::InferenceObjective => objective::read(checker, &field).map(Spec::Objective),
        Kind::InferenceModelRewrite => rewrite::read(checker, &field).map(Spec::Rewrite),
        Kind::InferenceModel => model::read(checker, &field).map(Spec::Model),
        Kind::EndpointList => endpoint_list::read(checker, &field).map(Spec::EndpointList),
        Kind::Pod => pod::read(checker, &field, meta.as_ref()?).map(Spec::Pod),
    }?;
    Some(Object { meta: meta?, spec })
}

fn kind(checker: &mut Checker, section: &Section<'_>) -> Option<Kind> {
    let any = |_: &str| true;
    let kind = checker.required(section, "kind")?;
    let version = checker.required(section, "apiVersion")?;
    let kind_name = checker.text(&kind, any, "a kind")?;
    let version_name = checker.text(&version, any, "a group and a version")?;
    let same = KNOWN.iter().filter(|(name, ..)| *name == kind_name);
    let versions: Vec<&str> = same.clone().map(|(_, version, _)| *version).collect();
    let found = same
        .clone()
        .find(|(_, version, _)| *version == version_name);
    if let Some((_, _, kind)) = found {
        return Some(*kind);
    }
    if versions.is_empty() {
        let mut kinds: Vec<&str> = KNOWN.iter().map(|(name, ..)| *name).collect();
        kinds.dedup();
        let (kinds, found) = (kinds.join(", "), names::printable(&kind_name));
        checker.wrong(
            &kind.path,
            format!("expected one of {kinds}, found `{found}`"),
        );
    } else {
        let (versions, found) = (versions.join(" or "), names::printable(&version_name));
        checker.wrong(
            &version.path,
            format!("expected {versions}, found `{found}`"),
        );
    }
    None
}

fn metadata(
    checker: &mut Checker,
    top: &Section<'_>,
    kind: Option<Kind>,
    origin: &Origin,
) -> Option<Meta> {
    let field = checker.required(top, "metadata")?;
    // What the API server adds is allowed, so that its answers can be saved as files.
    let known = [
        "name",
        "namespace",
        "labels",
        "annotations",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "finalizers",
        "generation",
        "managedFields",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
    ];
    let section = checker.section(&field, &known)?;
    let name = checker.required(&section, "name");
    let allowed = "a name of `a-z`, `0-9`, `-` and `.`";
    let name = name.and_then(|name| checker.text(&name, names::is_object_name, allowed));
    let namespace = match section.get("namespace") {
        Some(field) => checker.text(
            &field,
            names::is_namespace,
            "a name of `a-z`, `0-9` and `-`",
        ),
        None => Some("default".to_owned()),
    };
    let time = "a time such as 2026-01-31T12:00:00Z";
    let mut text = |name, allowed: fn(&str) -> bool, expected| {
        let field = section.get(name)?;
        checker.text(&field, allowed, expected)
    };
    let created = text("creationTimestamp", names::is_timestamp, time);
    let deleted = text("deletionTimestamp", names::is_timestamp, time);
    let is_uid = |text: &str| {
        (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let uid = text("uid", is_uid, "1 to 128 visible characters");
    let generation = section.get("generation");
    let generation = generation.and_then(|field| checker.integer(&field, 0..=i64::MAX));
    let labels = section
        .get("labels")
        .map(|field| checker.texts(&field, true));
    let annotations = section
        .get("annotations")
        .map(|field| checker.texts(&field, false));
    Some(Meta {
        key: Key {
            kind: kind?,
            namespace: namespace?,
            name: name?,
        },
        uid,
        created,
        generation,
        labels: labels.unwrap_or_default(),
        annotations: annotations.unwrap_or_default(),
        deleting: deleted.is_some(),
        origin: origin.clone(),
    })
}
