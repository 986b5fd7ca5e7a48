//! Open-loop load: requests leave at their time whether earlier ones have been answered or not.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{Client, Failure, RequestSpec, Response};

/// A steady stream of requests.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Requests per second.
    pub rate: f64,
    /// For how long they are sent.
    pub duration: Duration,
}

/// One request and what became of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its number, from 0.
    pub number: u64,
    /// When it was sent, from the start of the load.
    pub sent_at: Duration,
    /// Its response, or why there is none.
    pub result: Result<Response, Failure>,
}

/// Every request of a load, in the order sent.
#[derive(Debug, Clone, Default)]
pub struct LoadReport {
    /// One entry per request.
    pub outcomes: Vec<Outcome>,
}

impl Outcome {
    /// Whether a 2xx came back whole.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.result
            .as_ref()
            .is_ok_and(|response| response.status.is_success())
    }

    fn problem(&self) -> Option<String> {
        let what = match &self.result {
            Ok(response) if response.status.is_success() => return None,
            Ok(response) => {
                let via = response
                    .upstream()
                    .map_or_else(String::new, |at| format!(" from {at}"));
                let attempts = response.attempts();
                let text: String = response.text().chars().take(120).collect();
                format!("{}{via} after {attempts} attempts: {text}", response.status)
            }
            Err(failure) => failure.to_string(),
        };
        Some(format!("#{} at {:?}: {what}", self.number, self.sent_at))
    }
}

impl LoadReport {
    /// How many were sent.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.outcomes.len()
    }

    /// Every request without a whole 2xx, in words.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        self.outcomes.iter().filter_map(Outcome::problem).collect()
    }

    /// Answers per endpoint, for requests sent within `window`.
    #[must_use]
    pub fn per_upstream(
        &self,
        window: impl std::ops::RangeBounds<Duration>,
    ) -> BTreeMap<SocketAddr, u64> {
        let mut counts = BTreeMap::new();
        for outcome in &self.outcomes {
            let upstream = outcome.result.as_ref().ok().and_then(Response::upstream);
            if let Some(upstream) = upstream.filter(|_| window.contains(&outcome.sent_at)) {
                *counts.entry(upstream).or_default() += 1;
            }
        }
        counts
    }

    /// The latency below which `share` (0..1) of the successful requests lie.
    #[must_use]
    pub fn latency(&self, share: f64) -> Duration {
        let mut all: Vec<Duration> = self
            .outcomes
            .iter()
            .filter(|outcome| outcome.succeeded())
            .filter_map(|outcome| outcome.result.as_ref().ok().map(|response| response.total))
            .collect();
        all.sort_unstable();
        let rank = (all.len() as f64 * share) as usize;
        all.get(rank.min(all.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }
}

impl Client {
    /// Runs a load and waits for every outcome.
    pub async fn load(&self, load: Load, mut make: impl FnMut(u64) -> RequestSpec) -> LoadReport {
        let start = Instant::now();
        let total = (load.rate * load.duration.as_secs_f64()) as u64;
        let mut running = JoinSet::new();
        for number in 0..total {
            sleep_until(start + Duration::from_secs_f64(number as f64 / load.rate)).await;
            let (client, spec) = (self.clone(), make(number));
            let sent_at = start.elapsed();
            running.spawn(async move {
                let result = client.send(spec).await;
                Outcome {
                    number,
                    sent_at,
                    result,
                }
            });
        }
        let mut outcomes = running.join_all().await;
        outcomes.sort_unstable_by_key(|outcome| outcome.number);
        LoadReport { outcomes }
    }
}
