//! What the agent sees of the pods while traffic runs.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{sync::watch, time::sleep};

use crate::rig::Agent;

const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Means of a pod's signals over the looks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    looks: f64,
    waiting: f64,
    running: f64,
    kv_usage: f64,
}

impl Seen {
    /// Mean requests in the waiting queue, mean requests in the running batch and mean KV-cache
    /// utilization; `None` if nobody looked.
    pub(super) fn means(self) -> Option<[f64; 3]> {
        let sums = [self.waiting, self.running, self.kv_usage];
        (self.looks > 0.0).then(|| sums.map(|sum| sum / self.looks))
    }
}

/// Looks at `/debug/pools` again and again until `stop` changes.
pub(super) async fn watch(
    agent: &Agent,
    mut stop: watch::Receiver<bool>,
) -> BTreeMap<SocketAddr, Seen> {
    let mut seen = BTreeMap::new();
    while !*stop.borrow() {
        if let Ok(page) = agent.page("/debug/pools").await {
            look(&page, &mut seen);
        }
        tokio::select! {
            _ = stop.changed() => break,
            () = sleep(BETWEEN_LOOKS) => {}
        }
    }
    seen
}

fn look(page: &str, seen: &mut BTreeMap<SocketAddr, Seen>) {
    let Ok(page) = serde_json::from_str::<Value>(page) else {
        return;
    };
    let endpoints = page.pointer("/pools/0/endpoints").and_then(Value::as_array);
    for endpoint in endpoints.into_iter().flatten() {
        let address = endpoint.get("address").and_then(Value::as_str);
        let Some(Ok(address)) = address.map(str::parse) else {
            continue;
        };
        let signal = |name: &str| {
            let place = format!("/signals/{name}/value");
            endpoint
                .pointer(&place)
                .and_then(Value::as_f64)
                .unwrap_or(0.0)
        };
        let each: &mut Seen = seen.entry(address).or_default();
        each.looks += 1.0;
        each.waiting += signal("waiting");
        each.running += signal("running");
        each.kv_usage += signal("kv_usage");
    }
}
