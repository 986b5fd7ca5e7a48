//! The task that scrapes one target for as long as it is one.

use std::{pin::pin, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use picker::{Entropy, SplitMix64};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};
use tracing::{info, warn};

use super::{
    Shared,
    judge::Judge,
    models::Asking,
    notices::{Leave, Notices, Tell, Told},
};
use crate::{
    discovery::Target,
    entropy::{jittered, seeded},
    hub::Hub,
    index::{Observation, TargetId},
    scrape::{Dialect, ScrapeError, ScrapeTarget, Scraped},
    telemetry::{PageProblem, ScrapeCounters},
};

/// The first scrapes of all targets are spread over this time.
const FIRST_WITHIN: Duration = Duration::from_millis(100);
/// A scrape that takes longer gives up its place in the lane: it waits for its server and costs
/// nothing meanwhile.
const AT_WORK: Duration = Duration::from_millis(100);
/// So many scrapes follow each other at the full pace whoever follows the agent: a list of models is taken
/// over by the scrape after the one that asked for it, and a gateway that comes back to an agent just
/// started must not get a policy without the models first.
const FIRST_SCRAPES: u32 = 3;
/// A tenth more or less than the interval, so that targets do not fall into step.
const JITTER: f64 = 0.1;

pub(super) struct Task {
    id: TargetId,
    target: Arc<Target>,
    hub: Arc<Hub>,
    shared: Arc<ArcSwap<Shared>>,
    notices: Arc<Notices>,
    told: Told,
    models: Option<Asking>,
    /// Scrapes so far, up to [`FIRST_SCRAPES`].
    scrapes: u32,
    entropy: SplitMix64,
    counters: ScrapeCounters,
}

impl Task {
    pub(super) fn new(
        id: TargetId,
        target: Arc<Target>,
        hub: Arc<Hub>,
        shared: Arc<ArcSwap<Shared>>,
        notices: Arc<Notices>,
    ) -> Self {
        let counters = hub.telemetry.scrape_counters(target.address);
        Self {
            id,
            target,
            hub,
            shared,
            notices,
            told: Told::default(),
            models: None,
            scrapes: 0,
            entropy: seeded(),
            counters,
        }
    }

    /// Scrapes until the task is aborted.
    pub(super) async fn run(mut self) {
        let Some((page, dialect)) = self.page() else {
            warn!(endpoint = %self.target.address, "endpoint has no metrics page");
            return;
        };
        let mut judge = Judge::new(&self.shared.load().settings);
        let mut slow = false;
        sleep(FIRST_WITHIN.mul_f64(self.entropy.unit())).await;
        slow = self.attempt(&page, &dialect, &mut judge, slow).await;
        let mut followers = self.hub.followers();
        let mut next = self.within(self.interval(&followers));
        loop {
            tokio::select! {
                () = sleep_until(next) => {
                    slow = self.attempt(&page, &dialect, &mut judge, slow).await;
                    let interval = self.interval(&followers);
                    next += jittered(interval, JITTER, &mut self.entropy);
                    // Beats that were missed are left out.
                    next = next.max(Instant::now());
                }
                // The first gateway came: what is known may be old. Or the last went.
                Ok(()) = followers.changed() => {
                    next = next.min(self.within(self.interval(&followers)));
                }
            }
        }
    }

    /// Between two scrapes: an agent that nobody follows keeps warm with fewer.
    fn interval(&self, followers: &watch::Receiver<usize>) -> Duration {
        let shared = self.shared.load();
        match *followers.borrow() {
            0 if self.scrapes >= FIRST_SCRAPES => shared.settings.standby_interval,
            _ => shared.settings.interval,
        }
    }

    /// Some moment within this time.
    fn within(&mut self, time: Duration) -> Instant {
        Instant::now() + time.mul_f64(self.entropy.unit())
    }

    fn page(&self) -> Option<(ScrapeTarget, Dialect)> {
        let dialect = self.target.engine.dialect()?;
        let path = self.target.path.as_deref();
        let path = path.unwrap_or(dialect.metrics_path());
        let page = ScrapeTarget::new(self.target.metrics, path).ok()?;
        Some((page, dialect))
    }

    /// One attempt; says whether it was slow or failed.
    async fn attempt(
        &mut self,
        page: &ScrapeTarget,
        dialect: &Dialect,
        judge: &mut Judge,
        slow: bool,
    ) -> bool {
        self.scrapes = (self.scrapes + 1).min(FIRST_SCRAPES);
        let shared = self.shared.load_full();
        let permit = shared.lanes.enter(slow).await;
        let started = Instant::now();
        judge.started(self.hub.clock.now());
        let mut scrape = pin!(shared.client.scrape(page, dialect));
        let mut outcome = timeout(AT_WORK, scrape.as_mut()).await;
        drop(permit);
        if outcome.is_err() {
            outcome = timeout_at(started + Judge::PATIENCE, scrape.as_mut()).await;
        }
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(_) => {
                self.learn(judge.overdue(self.hub.clock.now()));
                scrape.await
            }
        };
        let took = started.elapsed();
        self.count(&outcome, took);
        let models = self.models.as_ref().and_then(Asking::news);
        if let Some(models) = &models {
            self.hub.set_models(self.id, &models.listed);
        }
        self.learn(judge.ended(&outcome, models, self.hub.clock.now()));
        self.follow_models(&outcome);
        outcome.is_err() || took > shared.settings.interval
    }

    fn learn(&mut self, observation: Observation) {
        self.tell(&observation);
        self.hub.observe(self.id, observation);
    }

    fn follow_models(&mut self, outcome: &Result<Scraped, ScrapeError>) {
        if let (Ok(scraped), None) = (outcome, &self.models)
            && &*scraped.dialect == "vllm"
        {
            let shared = Arc::clone(&self.shared);
            self.models = Some(Asking::follow(self.target.address, shared));
        }
    }

    fn count(&self, outcome: &Result<Scraped, ScrapeError>, took: Duration) {
        let telemetry = &self.hub.telemetry;
        match outcome {
            Ok(scraped) => {
                self.counters.ok.inc();
                telemetry.scraped(took);
                let problems = &scraped.problems;
                telemetry.page_problem(PageProblem::BadLine, problems.bad_lines);
                telemetry.page_problem(PageProblem::BadValue, problems.bad_values);
                telemetry.page_problem(PageProblem::Truncated, problems.truncated.into());
                telemetry.page_problem(PageProblem::NothingKnown, problems.nothing_known.into());
                if !problems.is_clean() {
                    telemetry.extract_errors.inc();
                }
            }
            Err(error) => {
                telemetry.poll_errors.inc();
                if let Some(counter) = self.counters.failed(error.kind().as_str()) {
                    counter.inc();
                }
            }
        }
    }

    fn tell(&mut self, observation: &Observation) {
        let trouble = Some(&*observation.reason).filter(|reason| *reason != Judge::WELL);
        let tell = self.told.update(trouble, observation.at);
        if tell == Tell::Nothing {
            return;
        }
        let Leave::Given(suppressed) = self.notices.ask(observation.at) else {
            return;
        };
        let (endpoint, health) = (self.target.address, observation.health);
        let reason = &*observation.reason;
        if tell == Tell::Failing {
            warn!(%endpoint, ?health, reason, suppressed, "endpoint is in trouble");
        } else {
            info!(%endpoint, suppressed, "endpoint is well again");
        }
    }
}
