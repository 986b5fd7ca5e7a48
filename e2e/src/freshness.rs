//! How long it takes from "a pod changed" to "every worker's picks changed".

use std::{net::SocketAddr, time::Duration};

use tokio::time::{Instant, sleep};

use crate::rig::{Client, Protocol, RequestSpec, Rig, RigError};

/// Connections to probe by. The kernel spreads connections over Envoy's workers, so that with this
/// many of them every worker serves some.
const CONNECTIONS: usize = 16;
/// Changes slower than this are an error rather than a figure.
const LIMIT: Duration = Duration::from_secs(3);
const BUSY: f64 = 60.0;

/// Delays of many changes, sorted.
#[derive(Debug, Clone, Default)]
pub struct Freshness(Vec<Duration>);

impl Freshness {
    /// The delay that `share` (0..1) of the changes did not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = (self.0.len() as f64 * share).ceil() as usize;
        let last = self.0.len().saturating_sub(1);
        let at = rank.saturating_sub(1).min(last);
        self.0.get(at).copied().unwrap_or_default()
    }

    /// How many changes were measured.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// Lets two pods change places `changes` times and measures each time until no worker picks the
/// busy one any more.
///
/// # Errors
/// When a change is not seen at all.
pub async fn measure(rig: &Rig, changes: usize) -> Result<Freshness, RigError> {
    let clients: Vec<Client> = (0..CONNECTIONS)
        .map(|_| Client::new(rig.envoy.address(), Protocol::Http1))
        .collect();
    let mut delays = Vec::with_capacity(changes);
    for change in 0..changes {
        // Pods other than these two stay busy, so that they are no alternative.
        for (index, pod) in rig.pods.iter().enumerate() {
            let idle = index == change % 2;
            pod.metrics(|metrics| metrics.waiting = if idle { 0.0 } else { BUSY });
        }
        let start = Instant::now();
        let wanted = rig.pods.get(change % 2).map(crate::rig::Pod::address);
        while !all_pick(&clients, wanted, change).await? {
            if start.elapsed() > LIMIT {
                return Err(RigError::TimedOut {
                    what: format!("every worker picks {wanted:?}"),
                    waited: start.elapsed(),
                });
            }
        }
        // Measured at the last probe that was still wrong plus the one that was right.
        delays.push(start.elapsed());
        // Out of step with the scrapes, as real changes are.
        sleep(Duration::from_millis(20 + (change as u64 * 37) % 190)).await;
    }
    delays.sort_unstable();
    Ok(Freshness(delays))
}

async fn all_pick(
    clients: &[Client],
    wanted: Option<SocketAddr>,
    change: usize,
) -> Result<bool, RigError> {
    for (number, client) in clients.iter().enumerate() {
        let spec = RequestSpec::completion("tiny", &format!("change {change} probe {number}"));
        let response = client
            .send(spec)
            .await
            .map_err(|failure| RigError::http("probe", &failure))?;
        if response.upstream() != wanted {
            return Ok(false);
        }
    }
    Ok(true)
}
