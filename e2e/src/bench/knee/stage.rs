//! All lanes, and one load sent through all of them at once.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    Balancer,
    lane::Lane,
    summary::{Cores, Sample, Step},
    traffic::Arrival,
};
use crate::rig::{Client, RequestSpec, RigError, proc};

/// Everything that runs.
pub(super) struct Stage {
    lanes: Vec<Lane>,
}

impl Stage {
    pub(super) async fn set(balancers: &[Balancer]) -> Result<Self, RigError> {
        let mut lanes = Vec::new();
        for balancer in balancers {
            lanes.push(Lane::start(*balancer).await?);
        }
        Ok(Self { lanes })
    }

    /// Sends the arrivals through every lane and waits for every answer.
    pub(super) async fn step(
        &self,
        arrivals: &Arc<Vec<Arrival>>,
        warm_up: Duration,
    ) -> Result<Step, RigError> {
        let before = self.cpu()?;
        let start = Instant::now();
        let mut running = JoinSet::new();
        for lane in &self.lanes {
            let (client, balancer) = (lane.client.clone(), lane.balancer);
            let arrivals = Arc::clone(arrivals);
            running.spawn(async move { (balancer, drive(client, arrivals, start).await) });
        }
        let end = arrivals.last().map_or(start, |last| start + last.at);
        sleep_until(end).await;
        // Up to the last arrival, so that the idle time in which the last answers come in does not
        // dilute it.
        let cores = self.cpu()?.since(before, start.elapsed());
        let mut step = Step::new(warm_up, end - start, cores);
        for (balancer, samples) in running.join_all().await {
            step.push(balancer, samples?);
        }
        Ok(step)
    }

    fn cpu(&self) -> Result<Cores, RigError> {
        let of_lanes: Result<u64, RigError> = self.lanes.iter().map(Lane::cpu_nanos).sum();
        Ok(Cores {
            client_and_pods: proc::cpu_nanos(std::process::id())? as f64 / 1e9,
            envoys_and_agents: of_lanes? as f64 / 1e9,
        })
    }
}

/// Sends every request at its moment, whether earlier ones have been answered or not; `None` for each
/// that the policy refused.
async fn drive(
    client: Client,
    arrivals: Arc<Vec<Arrival>>,
    start: Instant,
) -> Result<Vec<Option<Sample>>, RigError> {
    let mut running = JoinSet::new();
    for arrival in arrivals.iter() {
        let due = start + arrival.at;
        sleep_until(due).await;
        let (client, request, at) = (client.clone(), arrival.request.clone(), arrival.at);
        running.spawn(async move {
            let late = due.elapsed();
            let answered = answered(&client, request).await?;
            Ok(answered.map(|output_tokens| Sample {
                at,
                late,
                // From the moment when it was due: a client that is late must not flatter anybody.
                latency: due.elapsed(),
                output_tokens,
            }))
        });
    }
    running.join_all().await.into_iter().collect()
}

/// The tokens of the answer; `None` when the request was refused because no pod had capacity, as only
/// the trees do.
async fn answered(client: &Client, request: RequestSpec) -> Result<Option<u32>, RigError> {
    let failed =
        |problem: &dyn std::fmt::Display| RigError::http("a request of the bench", problem);
    let response = client.send(request).await.map_err(|error| failed(&error))?;
    if response.status == 429 {
        return Ok(None);
    }
    if response.status != 200 {
        return Err(failed(&response.text()));
    }
    let body: Value = serde_json::from_slice(&response.body).map_err(|error| failed(&error))?;
    let tokens = body.pointer("/usage/completion_tokens");
    tokens
        .and_then(Value::as_u64)
        .and_then(|tokens| u32::try_from(tokens).ok())
        .filter(|tokens| *tokens > 0)
        .map(Some)
        .ok_or_else(|| failed(&"its answer does not say how many tokens it has"))
}
