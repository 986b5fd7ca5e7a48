//! What is written into the status of an InferencePool.
//!
//! A status has one entry for each parent that uses the pool, written by that parent's controller.
//! Only our own entry is touched, and only when it says something else than before: several agents
//! agree on its text and need no leader.

use serde_json::{Map, Value, json};

/// Who writes: the name in `controllerName`, of the form `domain/path`.
pub const CONTROLLER: &str = "zerohop.dev/agent";
/// Entries that a status may have.
const MAX_PARENTS: usize = 32;
/// Characters that a condition's message may have.
const MAX_MESSAGE: usize = 32_768;

/// The resource on whose behalf the pool is used, usually a Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Its API group; empty for the core group.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// What zerohop makes of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Why the pool is not routed to; `None` when it is.
    pub refused: Option<String>,
    /// What is wrong with the reference to the endpoint picker; `None` when it is right or absent.
    pub bad_reference: Option<String>,
}

impl Verdict {
    /// The conditions as (type, good, reason, message).
    fn conditions(&self) -> [(&'static str, bool, &'static str, String); 2] {
        let accepted = match &self.refused {
            None => (
                "Accepted",
                true,
                "Accepted",
                "zerohop routes to this pool".to_owned(),
            ),
            Some(why) => ("Accepted", false, "NotSupportedByParent", cut(why)),
        };
        let resolved = match &self.bad_reference {
            None => (
                "ResolvedRefs",
                true,
                "ResolvedRefs",
                "every reference was found".to_owned(),
            ),
            Some(why) => ("ResolvedRefs", false, "InvalidExtensionRef", cut(why)),
        };
        [accepted, resolved]
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_MESSAGE).collect()
}

/// The `status.parents` that `pool` should have, or `None` when its own say that already.
///
/// `now` is the time of a change as RFC 3339; a condition whose status stays keeps its own.
#[must_use]
pub(super) fn revised(
    pool: &Value,
    parent: &Parent,
    verdict: &Verdict,
    now: &str,
) -> Option<Value> {
    let mut parents = entries(pool);
    let generation = pool
        .pointer("/metadata/generation")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    let place = parents.iter().position(|entry| is_ours(entry, parent));
    let before = place.and_then(|place| parents.get(place));
    let conditions = verdict
        .conditions()
        .map(|wanted| condition(before, &wanted, generation, now));
    if let Some(before) = before
        && conditions
            .iter()
            .all(|wanted| condition_of(before, wanted.get("type")) == Some(wanted))
    {
        return None;
    }
    let mut entry = before
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_else(|| parent_entry(parent));
    let kept = others(before);
    let all: Vec<Value> = conditions.into_iter().chain(kept).collect();
    entry.insert("conditions".to_owned(), all.into());
    match place {
        Some(place) => *parents.get_mut(place)? = entry.into(),
        // A status that is full of others' entries is left alone.
        None if parents.len() >= MAX_PARENTS => return None,
        None => parents.push(entry.into()),
    }
    Some(parents.into())
}

/// The `status.parents` without our entry, or `None` when there is none: for a pool that has come to
/// name another endpoint picker.
#[must_use]
pub(super) fn withdrawn(pool: &Value, parent: &Parent) -> Option<Value> {
    let mut parents = entries(pool);
    let before = parents.len();
    parents.retain(|entry| !is_ours(entry, parent));
    (parents.len() < before).then(|| parents.into())
}

fn entries(pool: &Value) -> Vec<Value> {
    pool.pointer("/status/parents")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

fn is_ours(entry: &Value, parent: &Parent) -> bool {
    let named = |field: &str| {
        let text = entry.pointer(&format!("/parentRef/{field}"));
        text.and_then(Value::as_str).unwrap_or_default()
    };
    entry.get("controllerName").and_then(Value::as_str) == Some(CONTROLLER)
        && named("name") == parent.name
        && named("kind") == parent.kind
        && named("group") == parent.group
}

fn parent_entry(parent: &Parent) -> Map<String, Value> {
    let mut entry = Map::new();
    let reference = json!({ "group": parent.group, "kind": parent.kind, "name": parent.name });
    entry.insert("parentRef".to_owned(), reference);
    entry.insert("controllerName".to_owned(), CONTROLLER.into());
    entry
}

fn condition(
    before: Option<&Value>,
    (name, good, reason, message): &(&'static str, bool, &'static str, String),
    generation: i64,
    now: &str,
) -> Value {
    let status = if *good { "True" } else { "False" };
    let since = before
        .and_then(|entry| condition_of(entry, Some(&Value::from(*name))))
        .filter(|old| old.get("status").and_then(Value::as_str) == Some(status))
        .and_then(|old| old.get("lastTransitionTime")?.as_str())
        .unwrap_or(now);
    json!({
        "type": name,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": generation,
        "lastTransitionTime": since,
    })
}

fn condition_of<'a>(entry: &'a Value, name: Option<&Value>) -> Option<&'a Value> {
    let conditions = entry.get("conditions")?.as_array()?;
    conditions
        .iter()
        .find(|condition| condition.get("type") == name)
}

/// Conditions in our entry that are not ours, such as one of a later version.
fn others(before: Option<&Value>) -> Vec<Value> {
    let conditions = before.and_then(|entry| entry.get("conditions")?.as_array());
    let ours = [Value::from("Accepted"), Value::from("ResolvedRefs")];
    conditions
        .into_iter()
        .flatten()
        .filter(|condition| {
            !condition
                .get("type")
                .is_some_and(|name| ours.contains(name))
        })
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEN: &str = "2026-01-01T00:00:00Z";
    const NOW: &str = "2026-01-02T00:00:00Z";

    fn parent() -> Parent {
        Parent {
            group: "gateway.networking.k8s.io".to_owned(),
            kind: "Gateway".to_owned(),
            name: "inference-gateway".to_owned(),
        }
    }

    fn good() -> Verdict {
        Verdict {
            refused: None,
            bad_reference: None,
        }
    }

    fn pool(generation: i64, parents: &Value) -> Value {
        json!({ "metadata": { "generation": generation }, "status": { "parents": parents } })
    }

    #[test]
    fn an_entry_is_written_once() {
        let parents = revised(
            &json!({ "metadata": { "generation": 1 } }),
            &parent(),
            &good(),
            THEN,
        )
        .unwrap();
        assert_eq!(parents[0]["controllerName"], CONTROLLER);
        assert_eq!(parents[0]["parentRef"]["name"], "inference-gateway");
        assert_eq!(parents[0]["conditions"][0]["reason"], "Accepted");
        assert_eq!(parents[0]["conditions"][1]["reason"], "ResolvedRefs");
        assert_eq!(
            revised(&pool(1, &parents), &parent(), &good(), NOW),
            None,
            "the second agent finds nothing to do"
        );
    }

    #[test]
    fn the_time_of_a_condition_moves_only_with_its_status() {
        let first = revised(&pool(1, &json!([])), &parent(), &good(), THEN).unwrap();
        let second = revised(&pool(2, &first), &parent(), &good(), NOW).unwrap();
        assert_eq!(second[0]["conditions"][0]["observedGeneration"], 2);
        assert_eq!(second[0]["conditions"][0]["lastTransitionTime"], THEN);
        let bad = Verdict {
            refused: Some("two pools of one name".to_owned()),
            bad_reference: None,
        };
        let third = revised(&pool(2, &second), &parent(), &bad, NOW).unwrap();
        assert_eq!(third[0]["conditions"][0]["status"], "False");
        assert_eq!(third[0]["conditions"][0]["reason"], "NotSupportedByParent");
        assert_eq!(third[0]["conditions"][0]["lastTransitionTime"], NOW);
        assert_eq!(third[0]["conditions"][1]["lastTransitionTime"], THEN);
    }

    #[test]
    fn entries_and_conditions_of_others_stay() {
        let theirs = json!({
            "parentRef": { "name": "inference-gateway" },
            "controllerName": "istio.io/gateway-controller",
            "conditions": [{ "type": "Accepted", "status": "False" }],
        });
        let mut parents =
            revised(&pool(1, &json!([theirs.clone()])), &parent(), &good(), THEN).unwrap();
        assert_eq!(parents[0], theirs);
        let exported = json!({ "type": "Exported", "status": "True" });
        parents[1]["conditions"]
            .as_array_mut()
            .unwrap()
            .push(exported.clone());
        let again = revised(&pool(2, &parents), &parent(), &good(), NOW).unwrap();
        assert_eq!(again[0], theirs);
        assert_eq!(again[1]["conditions"][2], exported);
        let left = withdrawn(&pool(2, &again), &parent()).unwrap();
        assert_eq!(left, json!([theirs]));
        assert_eq!(withdrawn(&pool(2, &left), &parent()), None);
    }

    #[test]
    fn a_full_status_is_left_alone() {
        let full: Vec<Value> = (0..MAX_PARENTS)
            .map(|_| json!({ "controllerName": "other/one" }))
            .collect();
        assert_eq!(
            revised(&pool(1, &full.into()), &parent(), &good(), NOW),
            None
        );
    }
}
