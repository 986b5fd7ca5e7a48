//! The task that keeps one pod's adapters as they are declared.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::{AdapterClient, Board, Step, next_step};
use crate::{
    entropy::{jittered, seeded},
    hub::Hub,
    index::TargetId,
    scrape::{ScrapeClient, ScrapeTarget},
};

/// Between two looks at a pod that has what it shall have.
const STEADY: Duration = Duration::from_secs(2);
/// Between two looks at a pod that is not ready.
const UNREADY: Duration = Duration::from_millis(200);
/// After the first failure, doubled by each further one.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);
/// A failure that lasts is told again after so many.
const REMIND_AFTER: u32 = 10;

/// One pod of one pool.
pub(super) struct Keeper {
    pub(super) pool: Arc<str>,
    pub(super) target: TargetId,
    pub(super) address: SocketAddr,
    pub(super) board: Arc<Board>,
    pub(super) hub: Arc<Hub>,
    pub(super) lists: ScrapeClient,
    pub(super) steps: AdapterClient,
    /// Steps at work at a time, of all pods.
    pub(super) lanes: Arc<Semaphore>,
}

impl Keeper {
    /// Keeps the pod's adapters until the task is aborted.
    pub(super) async fn run(self) {
        let Ok(list) = ScrapeTarget::new(self.address, "/v1/models") else {
            return;
        };
        let mut entropy = seeded();
        let mut failures = 0_u32;
        let mut declared = self.board.declared();
        loop {
            declared.mark_unchanged();
            let pause = match self.round(&list).await {
                Ok(true) => {
                    failures = 0;
                    STEADY
                }
                Ok(false) => {
                    failures = 0;
                    UNREADY
                }
                Err(problem) => {
                    self.hub.telemetry.adapter_failures.inc();
                    if failures.is_multiple_of(REMIND_AFTER) {
                        let (pool, endpoint) = (&*self.pool, self.address);
                        warn!(pool, %endpoint, problem, "adapters cannot be kept as declared");
                    }
                    failures = failures.saturating_add(1);
                    let doubled = FIRST_RETRY.saturating_mul(1 << (failures - 1).min(6));
                    doubled.min(LAST_RETRY)
                }
            };
            let pause = jittered(pause, 0.25, &mut entropy);
            if failures > 0 {
                sleep(pause).await;
            } else {
                // A new declaration is taken at once.
                drop(timeout(pause, declared.changed()).await);
            }
        }
    }

    /// Looks, takes steps and looks again until nothing is left to do; false when the pod is not
    /// ready for that.
    async fn round(&self, list: &ScrapeTarget) -> Result<bool, String> {
        let mut problem = None;
        let mut last = None;
        loop {
            let Some(orders) = self.board.orders(&self.pool, self.target) else {
                return Ok(false);
            };
            if !orders.ready {
                return Ok(false);
            }
            let models = self.lists.models(list).await;
            let models = models.map_err(|error| error.to_string())?;
            let adapters = &models.adapters;
            let step = next_step(&orders.wanted, &orders.ours, &orders.in_use, adapters);
            let names = models.listed.into_iter().map(|(name, _)| name);
            self.board.listed(&self.pool, self.target, names.collect());
            let Some(step) = step else { return Ok(true) };
            // The list decides, not what the engine answered: a step that was not needed any more is
            // an error in its words.
            if last.as_ref() == Some(&step) {
                return Err(problem.unwrap_or_else(|| {
                    format!("{step} was answered with success and shows no effect")
                }));
            }
            problem = self.take(&step).await;
            last = Some(step);
        }
    }

    /// Takes a step; what was wrong with it.
    async fn take(&self, step: &Step) -> Option<String> {
        let Ok(_permit) = self.lanes.acquire().await else {
            return Some("the agent is stopping".to_owned());
        };
        let (pool, endpoint) = (&*self.pool, self.address);
        match self.steps.take(endpoint, step).await {
            Ok(()) => {
                let telemetry = &self.hub.telemetry;
                match step {
                    Step::Load(_) => telemetry.adapter_loads.inc(),
                    Step::Unload(_) => telemetry.adapter_unloads.inc(),
                };
                info!(pool, %endpoint, "{step}");
                None
            }
            Err(error) => Some(format!("{step}: {error}")),
        }
    }
}
