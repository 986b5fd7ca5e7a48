//! Events about objects that cannot be used.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use xxhash_rust::xxh64::xxh64;

use super::view::Key;

/// Events that may be written in a burst, and the time after which one more may.
const BURST: u32 = 25;
const REFILL: Duration = Duration::from_secs(3);
/// Events live for an hour; a mistake that stays is told again after that.
const REPEAT: Duration = Duration::from_secs(3_600);
/// Characters that an event's note may have.
const MAX_NOTE: usize = 1_024;
/// Characters that a name may have.
const MAX_NAME: usize = 253;

/// What is wrong with an object, in one line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Complaint {
    /// The object.
    pub key: Key,
    /// The event's reason: one word for machines.
    pub reason: &'static str,
    /// What is wrong, for people.
    pub note: String,
}

/// Remembers what was said, and says nothing twice nor too much at once.
#[derive(Debug)]
pub(super) struct Complaints {
    said: HashMap<Complaint, Instant>,
    tokens: u32,
    refilled: Instant,
}

impl Complaints {
    /// Nothing was said yet.
    #[must_use]
    pub(super) fn new(now: Instant) -> Self {
        Self {
            said: HashMap::new(),
            tokens: BURST,
            refilled: now,
        }
    }

    /// Which of the complaints that hold now are to be told, and whether there are more, which have
    /// to wait.
    pub(super) fn due(&mut self, current: &[Complaint], now: Instant) -> (Vec<Complaint>, bool) {
        self.refill(now);
        let holding: HashSet<&Complaint> = current.iter().collect();
        self.said.retain(|complaint, said| {
            holding.contains(complaint) && now.duration_since(*said) < REPEAT
        });
        let mut due = Vec::new();
        for complaint in current {
            if self.said.contains_key(complaint) {
                continue;
            }
            if self.tokens == 0 {
                return (due, true);
            }
            self.tokens -= 1;
            self.said.insert(complaint.clone(), now);
            due.push(complaint.clone());
        }
        (due, false)
    }

    /// Takes back that it was told, because that failed.
    pub(super) fn forget(&mut self, complaint: &Complaint) {
        self.said.remove(complaint);
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.duration_since(self.refilled);
        let refills = u32::try_from(elapsed.as_millis() / REFILL.as_millis()).unwrap_or(u32::MAX);
        if refills > 0 {
            self.tokens = self.tokens.saturating_add(refills).min(BURST);
            self.refilled = now;
        }
    }
}

/// The event as `events.k8s.io/v1` wants it.
///
/// Its name follows from what it says, so that a second agent, or this one after a restart, finds
/// that it exists already.
#[must_use]
pub(super) fn event(
    complaint: &Complaint,
    object: &Value,
    namespace: &str,
    host: &str,
    now: &str,
) -> Value {
    let field = |name: &str| object.pointer(&format!("/metadata/{name}")).cloned();
    let uid = field("uid").unwrap_or_default();
    let identity = format!("{uid}\n{}\n{}", complaint.reason, complaint.note);
    let hash = format!("{:016x}", xxh64(identity.as_bytes(), 0));
    let room = MAX_NAME - hash.len() - 1;
    let object_name: String = complaint.key.name.chars().take(room).collect();
    let kind = complaint.key.kind;
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": { "name": format!("{object_name}.{hash}"), "namespace": namespace },
        "eventTime": now,
        "type": "Warning",
        "reason": complaint.reason,
        "action": "Read",
        "note": complaint.note.chars().take(MAX_NOTE).collect::<String>(),
        "regarding": {
            "apiVersion": kind.api_version(),
            "kind": kind.kind,
            "namespace": namespace,
            "name": complaint.key.name,
            "uid": uid,
            "resourceVersion": field("resourceVersion").unwrap_or_default(),
        },
        "reportingController": super::status::CONTROLLER,
        "reportingInstance": host.chars().take(128).collect::<String>(),
    })
}

#[cfg(test)]
mod tests {
    use super::{super::kind::INFERENCE_POOL, *};

    fn complaint(name: &str, note: &str) -> Complaint {
        Complaint {
            key: Key {
                kind: INFERENCE_POOL,
                name: name.to_owned(),
            },
            reason: "Refused",
            note: note.to_owned(),
        }
    }

    fn told(complaints: &mut Complaints, current: &[Complaint], now: Instant) -> Vec<Complaint> {
        complaints.due(current, now).0
    }

    #[test]
    fn a_mistake_is_told_once_and_again_when_it_comes_back() {
        let start = Instant::now();
        let mut complaints = Complaints::new(start);
        let one = [complaint("a", "bad")];
        assert_eq!(told(&mut complaints, &one, start), one);
        assert!(told(&mut complaints, &one, start).is_empty());
        assert_eq!(
            told(&mut complaints, &[complaint("a", "worse")], start).len(),
            1,
            "another mistake of the same object is news"
        );
        assert_eq!(told(&mut complaints, &one, start), one);
        let later = start + REPEAT;
        assert_eq!(
            told(&mut complaints, &one, later),
            one,
            "its event has expired"
        );
    }

    #[test]
    fn a_flood_is_told_at_a_bounded_rate_and_nothing_is_lost() {
        let start = Instant::now();
        let mut complaints = Complaints::new(start);
        let flood: Vec<Complaint> = (0..100).map(|n| complaint(&n.to_string(), "bad")).collect();
        assert_eq!(complaints.due(&flood, start).0.len(), 25);
        assert_eq!(complaints.due(&flood, start), (vec![], true));
        assert_eq!(told(&mut complaints, &flood, start + REFILL * 3).len(), 3);
        let mut now = start + REFILL * 3;
        let mut count = 28;
        for _ in 0..100 {
            now += REFILL;
            count += told(&mut complaints, &flood, now).len();
        }
        assert_eq!(count, 100);
    }

    #[test]
    fn two_agents_write_the_same_event() {
        let object = json!({ "metadata": { "uid": "u", "resourceVersion": "7" } });
        let said = complaint(&"n".repeat(253), &"x".repeat(5_000));
        let first = event(&said, &object, "ns", "agent-a", "t1");
        let second = event(&said, &object, "ns", "agent-b", "t2");
        assert_eq!(first["metadata"], second["metadata"]);
        assert_eq!(first["metadata"]["name"].as_str().unwrap().len(), 253);
        assert_eq!(first["note"].as_str().unwrap().len(), 1_024);
        let other = event(&complaint("a", "other"), &object, "ns", "a", "t");
        assert_ne!(first["metadata"]["name"], other["metadata"]["name"]);
    }
}
