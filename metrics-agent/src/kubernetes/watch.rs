//! One watch a kind.

use std::{pin::pin, time::Duration};

use kube::{
    Api, Client,
    api::DynamicObject,
    core::{NotUsed, Object},
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Config, Event},
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::StreamExt as _;
use tracing::{debug, warn};

use super::{
    kind::{Kind, POD, trimmed},
    view::Update,
};

/// How long the server may leave a watch open, in seconds. A connection that died silently is
/// noticed five seconds later.
const WATCH_SECONDS: u32 = 60;
/// Between two looks for a kind that the cluster does not serve.
const ABSENT_PAUSE: Duration = Duration::from_secs(10);
/// A kind that was there counts as gone when this many looks in a row say that it is not served:
/// while a server starts it may not know all its kinds.
const ABSENT_LOOKS: u32 = 3;

/// Pods without their spec, which is most of them: it is not even parsed.
type Pod = Object<NotUsed, PodStatus>;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    phase: Option<String>,
    #[serde(rename = "podIP", default, skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    #[serde(rename = "podIPs", default, skip_serializing_if = "Vec::is_empty")]
    ips: Vec<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<Value>,
}

/// Tells everything about a kind for ever, or until nobody listens.
pub(super) async fn watch(
    client: Client,
    namespace: String,
    kind: Kind,
    updates: mpsc::Sender<Update>,
) {
    let resource = kind.resource();
    if kind == POD {
        let api: Api<Pod> = Api::namespaced_with(client, &namespace, &resource);
        follow(api, kind, updates).await;
    } else {
        let api: Api<DynamicObject> = Api::namespaced_with(client, &namespace, &resource);
        follow(api, kind, updates).await;
    }
}

async fn follow<K>(api: Api<K>, kind: Kind, updates: mpsc::Sender<Update>)
where
    K: Clone + std::fmt::Debug + Serialize + DeserializeOwned + Send + 'static,
    K: kube::Resource,
{
    let mut absent = 0;
    let mut listed = false;
    loop {
        let config = Config::default().timeout(WATCH_SECONDS);
        let mut events = pin!(watcher::watcher(api.clone(), config).default_backoff());
        // What is listed, until the list is whole.
        let mut list = Vec::new();
        while let Some(event) = events.next().await {
            let update = match event {
                Ok(Event::Init) => {
                    list.clear();
                    continue;
                }
                Ok(Event::InitApply(object)) => {
                    list.extend(document(kind, &object));
                    continue;
                }
                Ok(Event::InitDone) => {
                    debug!(kind = kind.kind, objects = list.len(), "listed");
                    (absent, listed) = (0, true);
                    Some(Update::Listed(kind, std::mem::take(&mut list)))
                }
                Ok(Event::Apply(object)) => {
                    document(kind, &object).map(|object| Update::Applied(kind, object))
                }
                Ok(Event::Delete(object)) => {
                    document(kind, &object).map(|object| Update::Deleted(kind, object))
                }
                Err(error) if is_not_served(&error) => {
                    absent += 1;
                    break;
                }
                Err(error) => {
                    warn!(
                        group = kind.group,
                        kind = kind.kind,
                        %error,
                        "cannot watch, what is known stays in force"
                    );
                    continue;
                }
            };
            let Some(update) = update else { continue };
            if updates.send(update).await.is_err() {
                return;
            }
        }
        if absent >= ABSENT_LOOKS || (absent == 1 && !listed) {
            debug!(
                group = kind.group,
                kind = kind.kind,
                "not served by this cluster"
            );
            listed = true;
            if updates
                .send(Update::Listed(kind, Vec::new()))
                .await
                .is_err()
            {
                return;
            }
        }
        sleep(ABSENT_PAUSE).await;
    }
}

fn document<K: Serialize>(kind: Kind, object: &K) -> Option<Value> {
    match serde_json::to_value(object) {
        Ok(object) => Some(trimmed(kind, object)),
        Err(error) => {
            warn!(kind = kind.kind, %error, "an object cannot be read and is left out");
            None
        }
    }
}

/// Whether the cluster has no such kind, as opposed to any failure to ask.
fn is_not_served(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) =
        error
    else {
        return false;
    };
    matches!(error, kube::Error::Api(status) if status.code == 404)
}
