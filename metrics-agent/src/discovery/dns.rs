//! Names to addresses, again every few seconds.
//!
//! One task a name, so that a slow answer delays no other name. An answer that fails or is empty
//! changes nothing: the last good addresses stay, because a name server that is down must not empty
//! a pool.

use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use tokio::{sync::mpsc, task::AbortHandle};
use tracing::{info, warn};

use crate::{
    entropy::{jittered, seeded},
    telemetry::Telemetry,
};

/// Between two look-ups of a name, with a quarter of jitter.
const REFRESH: Duration = Duration::from_secs(5);
/// Between two look-ups of a name that has no addresses yet.
const RETRY: Duration = Duration::from_secs(1);
/// Addresses used of one name.
const MAX_ADDRESSES: usize = 1_024;

/// The addresses of each name, sorted; names without an answer so far are absent.
pub type DnsTable = HashMap<String, Vec<IpAddr>>;

type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Asks for the addresses of a name; tests bring their own.
pub type Lookup = Arc<dyn Fn(String) -> Answer + Send + Sync>;

/// Asks the system's resolver (`getaddrinfo`), for A and AAAA.
#[must_use]
pub fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// Keeps a table of names up to date.
pub struct Resolver {
    lookup: Lookup,
    telemetry: Arc<Telemetry>,
    tasks: HashMap<String, AbortHandle>,
    answers: mpsc::Sender<(String, Vec<IpAddr>)>,
}

impl Resolver {
    /// A resolver without names; the receiver gets a name's addresses whenever they changed.
    #[must_use]
    pub fn new(
        lookup: Lookup,
        telemetry: Arc<Telemetry>,
    ) -> (Self, mpsc::Receiver<(String, Vec<IpAddr>)>) {
        let (answers, receiver) = mpsc::channel(64);
        let resolver = Self {
            lookup,
            telemetry,
            tasks: HashMap::new(),
            answers,
        };
        (resolver, receiver)
    }

    /// Follows exactly these names from now on.
    pub fn follow(&mut self, names: &BTreeSet<String>) {
        self.tasks.retain(|name, task| {
            let stays = names.contains(name);
            if !stays {
                task.abort();
            }
            stays
        });
        for name in names {
            if !self.tasks.contains_key(name) {
                let following = follow(
                    name.clone(),
                    Arc::clone(&self.lookup),
                    Arc::clone(&self.telemetry),
                    self.answers.clone(),
                );
                let task = tokio::spawn(following).abort_handle();
                self.tasks.insert(name.clone(), task);
            }
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.tasks.values().for_each(AbortHandle::abort);
    }
}

async fn follow(
    name: String,
    lookup: Lookup,
    telemetry: Arc<Telemetry>,
    answers: mpsc::Sender<(String, Vec<IpAddr>)>,
) {
    let mut entropy = seeded();
    let mut last: Option<Vec<IpAddr>> = None;
    let mut failing = false;
    loop {
        match lookup(name.clone()).await.map(usable) {
            Ok(addresses) if !addresses.is_empty() => {
                if failing {
                    info!(name, "name resolves again");
                }
                failing = false;
                if last.as_ref() != Some(&addresses) {
                    info!(name, addresses = addresses.len(), "name resolved");
                    last = Some(addresses.clone());
                    if answers.send((name.clone(), addresses)).await.is_err() {
                        return;
                    }
                }
            }
            other => {
                telemetry.dns_failures.inc();
                if !failing {
                    let error = other.err().map(|error| error.to_string());
                    let error = error.unwrap_or_else(|| "no usable address".to_owned());
                    warn!(
                        name,
                        error, "name does not resolve, its last addresses stay"
                    );
                }
                failing = true;
            }
        }
        let pause = if last.is_some() { REFRESH } else { RETRY };
        tokio::time::sleep(jittered(pause, 0.25, &mut entropy)).await;
    }
}

/// Sorted, each once, and without those that cannot be scraped.
fn usable(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let canonical = addresses.into_iter().map(|ip| ip.to_canonical());
    let sorted: BTreeSet<IpAddr> = canonical
        .filter(|ip| !ip.is_unspecified() && !ip.is_multicast())
        .collect();
    sorted.into_iter().take(MAX_ADDRESSES).collect()
}
