//! The only place that writes to the API: the status of pools and events.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use picker::Entropy as _;
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};
use tracing::{debug, warn};

use super::{
    Settings,
    complaint::{Complaint, Complaints, event},
    kind::{INFERENCE_POOL, Kind},
    status::{Verdict, revised, withdrawn},
};
use crate::entropy;

/// Several agents see a change at the same moment. Each waits up to this long, so that most of the
/// time the first to write is the only one.
const SPREAD: Duration = Duration::from_millis(500);
/// Before what failed or had to wait is looked at again.
const AGAIN: Duration = Duration::from_secs(15);

const EVENT: Kind = Kind {
    group: "events.k8s.io",
    version: "v1",
    kind: "Event",
    plural: "events",
};

/// What is to be said about which objects.
#[derive(Debug, Clone, Default)]
pub(super) struct Work {
    /// Pools as they were seen last, with `None` for one that is none of ours.
    pub(super) pools: Vec<(Value, Option<Verdict>)>,
    /// Complaints with the objects that they are about.
    pub(super) complaints: Vec<(Complaint, Value)>,
}

/// Writes what there is to write, for ever.
pub(super) async fn run(client: Client, settings: Settings, mut work: watch::Receiver<Arc<Work>>) {
    let mut complaints = Complaints::new(Instant::now());
    let mut entropy = entropy::seeded();
    // Watching goes on while this waits, and only the latest work counts.
    while work.changed().await.is_ok() {
        loop {
            sleep(SPREAD.mul_f64(entropy.unit())).await;
            let now = Arc::clone(&work.borrow_and_update());
            let mut done = write_status(&client, &settings, &now.pools).await;
            done &= write_events(&client, &settings, &now.complaints, &mut complaints).await;
            if done {
                break;
            }
            tokio::select! {
                () = sleep(AGAIN) => {}
                changed = work.changed() => if changed.is_err() { return },
            }
        }
    }
}

async fn write_status(
    client: &Client,
    settings: &Settings,
    pools: &[(Value, Option<Verdict>)],
) -> bool {
    let resource = INFERENCE_POOL.resource();
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), &settings.namespace, &resource);
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut done = true;
    for (pool, verdict) in pools {
        let parents = match verdict {
            Some(verdict) => revised(pool, &settings.parent, verdict, &now),
            None => withdrawn(pool, &settings.parent),
        };
        let text = |place: &str| pool.pointer(place).and_then(Value::as_str);
        let (Some(parents), Some(name)) = (parents, text("/metadata/name")) else {
            continue;
        };
        // With the version that was seen: what somebody else wrote meanwhile is never overwritten.
        let patch = json!({
            "metadata": { "resourceVersion": text("/metadata/resourceVersion") },
            "status": { "parents": parents },
        });
        let written = api
            .patch_status(name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        match written {
            Ok(_) => debug!(pool = name, "status written"),
            // The watch brings what it has become, and then it is judged anew.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {
                debug!(pool = name, "the pool has changed meanwhile");
            }
            Err(error) => {
                warn!(pool = name, %error, "cannot write the status");
                done = false;
            }
        }
    }
    done
}

async fn write_events(
    client: &Client,
    settings: &Settings,
    current: &[(Complaint, Value)],
    complaints: &mut Complaints,
) -> bool {
    let objects: HashMap<&Complaint, &Value> = current
        .iter()
        .map(|(complaint, object)| (complaint, object))
        .collect();
    let all: Vec<Complaint> = current.iter().map(|(one, _)| one.clone()).collect();
    let (due, waiting) = complaints.due(&all, Instant::now());
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), &settings.namespace, &EVENT.resource());
    let now = Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
        .to_string();
    let mut done = !waiting;
    for complaint in due {
        let Some(object) = objects.get(&complaint) else {
            continue;
        };
        warn!(
            kind = complaint.key.kind.kind,
            name = complaint.key.name,
            note = complaint.note,
            "an object cannot be used"
        );
        let document = event(
            &complaint,
            object,
            &settings.namespace,
            &settings.host,
            &now,
        );
        let Ok(document) = serde_json::from_value::<DynamicObject>(document) else {
            continue;
        };
        match api.create(&PostParams::default(), &document).await {
            Ok(_) => {}
            // The other agent was quicker, or this one before its restart.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => {
                warn!(%error, "cannot write an event");
                complaints.forget(&complaint);
                done = false;
            }
        }
    }
    done
}
