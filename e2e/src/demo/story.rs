//! The order of events.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::sleep};

use super::{
    fleet::Fleet,
    observe::{self, Seen},
    table,
};
use crate::rig::{
    Agent, AgentConfig, Client, Envoy, Load, LoadReport, Protocol, RequestSpec, RigError,
    base_config, eventually,
};

const CALM: Duration = Duration::from_secs(15);
const WITH_A_FAULT: Duration = Duration::from_secs(8);
/// When within its load a fault happens.
const FAULT_AFTER: Duration = Duration::from_secs(2);

/// Everything that runs.
struct Stage {
    fleet: Fleet,
    agent: Agent,
    envoy: Envoy,
    client: Client,
    sent: u64,
}

/// Tells the story; whether no request failed.
///
/// # Errors
/// When something does not start.
pub async fn run(vllm: bool, keep: bool) -> Result<bool, RigError> {
    let start = Instant::now();
    let mut stage = Stage::set(vllm).await?;
    let mut good = stage.calm().await?;
    good &= stage.agent_dies().await?;
    good &= stage.pod_dies().await?;
    println!(
        "\n{} in {:.0} s.",
        if good {
            "No request failed"
        } else {
            "Requests FAILED"
        },
        start.elapsed().as_secs_f64()
    );
    if keep {
        stage.stay().await?;
    }
    Ok(good)
}

impl Stage {
    async fn set(vllm: bool) -> Result<Self, RigError> {
        println!(
            "Starting {}, the agent and Envoy ...",
            if vllm {
                "vLLM (takes a minute or two)"
            } else {
                "4 unequal simulated pods"
            }
        );
        let fleet = if vllm {
            Fleet::vllm().await?
        } else {
            Fleet::simulated().await?
        };
        let members = fleet.addresses();
        let agent = Agent::start(AgentConfig::new(members.clone())).await?;
        let envoy = Envoy::start(base_config(&members, agent.config().grpc)?, 2).await?;
        let client = Client::new(envoy.address(), Protocol::Http1);
        let stage = Self {
            fleet,
            agent,
            envoy,
            client,
            sent: 0,
        };
        stage.informed().await?;
        Ok(stage)
    }

    /// Until the filter has the agent's first snapshot.
    async fn informed(&self) -> Result<(), RigError> {
        let (admin, client) = (self.envoy.admin(), &self.client);
        eventually(
            "the filter picks by signals",
            Duration::from_secs(20),
            || async {
                client
                    .send(RequestSpec::chat("tiny", "Hello.", false))
                    .await
                    .ok();
                admin.picked_by_signals().await
            },
        )
        .await
        .map(|_| ())
    }

    async fn calm(&mut self) -> Result<bool, RigError> {
        println!(
            "\nMixed traffic for {} s: conversations, long prompts, adapters, half of it streamed.",
            CALM.as_secs()
        );
        let (stop, stopped) = watch::channel(false);
        let before = self.picks().await?;
        let (report, seen) = tokio::join!(
            async {
                let report = self.traffic(CALM, true).await;
                stop.send(true).ok();
                report
            },
            observe::watch(&self.agent, stopped)
        );
        let good = self.show(&report, &before, &seen).await?;
        self.sent += report.sent() as u64;
        Ok(good)
    }

    async fn agent_dies(&mut self) -> Result<bool, RigError> {
        println!(
            "\nTraffic goes on, and the agent is killed after {} s.",
            FAULT_AFTER.as_secs()
        );
        let before = self.picks().await?;
        let (client, mix, sent) = (self.client.clone(), self.fleet.mix(), self.sent);
        let load =
            tokio::spawn(async move { traffic(&client, mix, sent, WITH_A_FAULT, true).await });
        sleep(FAULT_AFTER).await;
        self.agent.kill();
        let report = finished(load).await?;
        self.sent += report.sent() as u64;
        self.show(&report, &before, &BTreeMap::new()).await
    }

    async fn pod_dies(&mut self) -> Result<bool, RigError> {
        let addresses = self.fleet.addresses();
        let Some(victim) = addresses.first() else {
            return Ok(false);
        };
        println!(
            "\nStill without an agent, pod {victim} is killed too. A stream that has begun cannot be \
             repeated,\nso nothing is streamed now."
        );
        let before = self.picks().await?;
        let (client, mix, sent) = (self.client.clone(), self.fleet.mix(), self.sent);
        let load =
            tokio::spawn(async move { traffic(&client, mix, sent, WITH_A_FAULT, false).await });
        sleep(FAULT_AFTER).await;
        self.fleet.kill(0).await?;
        let report = finished(load).await?;
        self.sent += report.sent() as u64;
        self.show(&report, &before, &BTreeMap::new()).await
    }

    async fn traffic(&self, duration: Duration, streams: bool) -> LoadReport {
        traffic(&self.client, self.fleet.mix(), self.sent, duration, streams).await
    }

    async fn picks(&self) -> Result<BTreeMap<String, u64>, RigError> {
        self.envoy.admin().stats("zerohop_picks_total").await
    }

    async fn show(
        &self,
        report: &LoadReport,
        before: &BTreeMap<String, u64>,
        seen: &BTreeMap<SocketAddr, Seen>,
    ) -> Result<bool, RigError> {
        table::pods(&self.fleet, report, seen);
        table::reasons(before, &self.picks().await?);
        Ok(table::verdict(report))
    }

    async fn stay(&mut self) -> Result<(), RigError> {
        self.fleet.revive(0).await?;
        self.agent.restart().await?;
        let (envoy, admin) = (self.envoy.address(), self.envoy.admin().0);
        let agent = self.agent.config().admin;
        println!(
            "\nEverything is up again and stays up until Ctrl-C:\n\
             \n  gateway         http://{envoy}\n  Envoy's admin   http://{admin}\n  \
             agent           http://{agent}/debug/pools and /metrics\n"
        );
        for (number, pod) in self.fleet.addresses().iter().enumerate() {
            println!("  pod {number}           http://{pod}/metrics");
        }
        println!(
            "\ncurl -i http://{envoy}/v1/chat/completions -H 'content-type: application/json' \\\n  \
             -d '{{\"model\":\"tiny\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}],\
             \"max_tokens\":16}}'\n\nThe response header x-rig-upstream names the pod that answered."
        );
        std::future::pending().await
    }
}

async fn traffic(
    client: &Client,
    mix: super::traffic::Mix,
    first: u64,
    duration: Duration,
    streams: bool,
) -> LoadReport {
    let load = Load {
        rate: mix.rate,
        duration,
    };
    client
        .load(load, |number| mix.request(first + number, streams))
        .await
}

async fn finished(load: tokio::task::JoinHandle<LoadReport>) -> Result<LoadReport, RigError> {
    load.await
        .map_err(|error| RigError::http("traffic", &error))
}
