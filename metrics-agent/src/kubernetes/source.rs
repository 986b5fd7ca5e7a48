//! From watches to the sink: changes are gathered for a moment and taken together.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kube::Client;
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tracing::{info, warn};

use super::{
    Settings,
    complaint::Complaint,
    kind::{INFERENCE_POOL, WATCHED},
    status::Verdict,
    view::{Key, View},
    watch::watch as follow,
    writer::{self, Work},
};

/// Changes that come within this time of the first are taken together: a roll-out changes hundreds
/// of pods, and every taking looks at all of them.
const GATHER: Duration = Duration::from_millis(50);
/// The longest such time, where taking itself takes long.
const GATHER_AT_MOST: Duration = Duration::from_millis(500);
/// How much longer than the last taking the next changes are gathered, so that a flood leaves time
/// for scraping.
const REST: u32 = 4;
/// Updates on their way from the watches.
const QUEUE: usize = 1_024;
/// Between two complaints that the first lists do not come.
const WAITING: Duration = Duration::from_secs(10);

/// What came of the objects.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// What is wrong with which object.
    pub complaints: Vec<Complaint>,
    /// The pools by name; `None` for one that names another endpoint picker and is none of ours.
    pub pools: BTreeMap<String, Option<Verdict>>,
}

/// Takes objects and puts them in force.
pub trait Sink: Send {
    /// An object is new or has changed.
    fn apply(&mut self, key: &Key, object: &Value);
    /// An object is gone.
    fn delete(&mut self, key: &Key);
    /// Puts in force what has changed since the last call.
    fn commit(&mut self) -> Report;
}

/// Follows the cluster for ever. Nothing reaches the sink before every kind was listed.
pub async fn run(client: Client, settings: Settings, mut sink: impl Sink) {
    let (updates, mut inbox) = mpsc::channel(QUEUE);
    // Dropped with this future, which ends the watches.
    let mut tasks = JoinSet::new();
    for kind in WATCHED {
        let namespace = settings.namespace.clone();
        tasks.spawn(follow(client.clone(), namespace, kind, updates.clone()));
    }
    drop(updates);
    let (work, todo) = watch::channel(Arc::new(Work::default()));
    tasks.spawn(writer::run(client, settings, todo));

    let mut view = View::default();
    let mut batch = Vec::new();
    let mut complete = false;
    let mut pause = GATHER;
    loop {
        match timeout(WAITING, inbox.recv_many(&mut batch, QUEUE)).await {
            Ok(0) => return,
            Ok(_) => gather(&mut inbox, &mut batch, pause).await,
            Err(_) => say_what_is_missing(&view),
        }
        for update in batch.drain(..) {
            view.take(update);
        }
        if !view.is_complete() {
            continue;
        }
        let changes = view.changes();
        if changes.is_empty() && complete {
            continue;
        }
        let start = Instant::now();
        for (key, object) in changes {
            match object {
                Some(object) => sink.apply(&key, object),
                None => sink.delete(&key),
            }
        }
        let report = sink.commit();
        pause = (start.elapsed() * REST).clamp(GATHER, GATHER_AT_MOST);
        if !std::mem::replace(&mut complete, true) {
            let pools = report.pools.len();
            info!(pools, "the first lists of all kinds are in force");
        }
        work.send_replace(Arc::new(work_of(&view, &report)));
    }
}

/// Adds what comes until `pause` has passed.
async fn gather<T>(inbox: &mut mpsc::Receiver<T>, batch: &mut Vec<T>, pause: Duration) {
    let end = Instant::now() + pause;
    loop {
        tokio::select! {
            () = sleep_until(end) => return,
            received = inbox.recv_many(batch, QUEUE) => if received == 0 { return },
        }
    }
}

fn say_what_is_missing(view: &View) {
    let missing: Vec<String> = view
        .missing()
        .map(|kind| format!("{}.{}", kind.plural, kind.group))
        .collect();
    if !missing.is_empty() {
        let missing = missing.join(", ");
        warn!(
            missing,
            "waiting for the first lists, nothing is published before"
        );
    }
}

fn work_of(view: &View, report: &Report) -> Work {
    let pools = report.pools.iter().filter_map(|(name, verdict)| {
        let key = Key {
            kind: INFERENCE_POOL,
            name: name.clone(),
        };
        Some((view.get(&key)?.clone(), verdict.clone()))
    });
    let complaints = report.complaints.iter().filter_map(|complaint| {
        let object = view.get(&complaint.key)?;
        Some((complaint.clone(), object.clone()))
    });
    Work {
        pools: pools.collect(),
        complaints: complaints.collect(),
    }
}
