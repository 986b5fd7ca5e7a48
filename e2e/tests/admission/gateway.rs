//! Envoy with admission on, before pods that answer when the test says so.

use std::{net::SocketAddr, time::Duration};

use e2e::rig::{
    Answer, Client, Envoy, EnvoyConfig, FakeAgent, Pod, Protocol, RequestSpec, RigError,
    base_config, eventually,
};
use pool_state::policy::{Policy, PolicyParts};
use serde_json::{Value, json};
use tokio::time::sleep;

/// How long an occupant stays at most: longer than any test here.
const OCCUPIED: Duration = Duration::from_secs(300);

/// Everything around one Envoy.
pub(crate) struct Gateway {
    pub(crate) envoy: Envoy,
    pub(crate) agent: FakeAgent,
    pub(crate) pods: Vec<Pod>,
}

/// What to set up.
pub(crate) struct Options {
    pub(crate) pods: usize,
    pub(crate) concurrency: u32,
    /// The filter's `admission`.
    pub(crate) admission: Value,
    pub(crate) change: fn(&mut EnvoyConfig) -> Result<(), RigError>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pods: 1,
            concurrency: 2,
            admission: json!({"rules": {"room": {"waiting": 1}}}),
            change: |_| Ok(()),
        }
    }
}

impl Gateway {
    /// Starts everything and waits until every worker knows the agent's pods and policy.
    pub(crate) async fn start(options: Options) -> Self {
        let mut pods = Vec::new();
        for _ in 0..options.pods {
            let pod = Pod::start().await.unwrap();
            pod.answer(Answer::Hold);
            pods.push(pod);
        }
        let members: Vec<SocketAddr> = pods.iter().map(Pod::address).collect();
        let agent = FakeAgent::start(1).await.unwrap();
        agent.decide(&[objectives()]);
        agent.see(&members.iter().map(|at| (*at, 0.0)).collect::<Vec<_>>());
        let mut config = base_config(&members, agent.address()).unwrap();
        config
            .change_plugin(|plugin| {
                plugin["admission"] = options.admission;
                plugin["models"] = json!({"trust_headers": true});
            })
            .unwrap();
        (options.change)(&mut config).unwrap();
        let envoy = Envoy::start(config, options.concurrency).await.unwrap();
        let gateway = Self { envoy, agent, pods };
        gateway.at_least("policy_taken", 1).await;
        // The other workers read the policy with their next tick.
        sleep(Duration::from_millis(300)).await;
        gateway
    }

    pub(crate) fn client(&self, protocol: Protocol) -> Client {
        Client::new(self.envoy.address(), protocol).with_limit(Duration::from_secs(20))
    }

    /// The sum of all counters and gauges whose name contains `part`.
    pub(crate) async fn sum(&self, part: &str) -> u64 {
        let stats = self.envoy.admin().stats(part).await.unwrap();
        stats.values().sum()
    }

    pub(crate) async fn at_least(&self, part: &str, count: u64) {
        let what = format!("{part} is at least {count}");
        let reached = eventually(&what, Duration::from_secs(10), || async {
            self.sum(part).await >= count
        });
        if let Err(error) = reached.await {
            panic!("{error}: {:?}", self.envoy.admin().stats("zerohop").await);
        }
    }

    pub(crate) async fn is(&self, part: &str, count: u64) {
        let what = format!("{part} is {count}");
        let reached = eventually(&what, Duration::from_secs(10), || async {
            self.sum(part).await == count
        });
        if let Err(error) = reached.await {
            panic!("{error}: {:?}", self.envoy.admin().stats("zerohop").await);
        }
    }

    /// So many requests wait, over all workers.
    pub(crate) async fn queued(&self, count: u64) {
        self.is("zerohop_queued_requests", count).await;
    }

    /// Nothing waits, nothing is in flight, and nothing is held of any body.
    pub(crate) async fn at_rest(&self) {
        for gauge in [
            "zerohop_queued_requests",
            "zerohop_queued_bytes",
            "zerohop_in_flight_requests",
            "downstream_rq_active",
        ] {
            if gauge == "downstream_rq_active" {
                self.is("http.openai.downstream_rq_active", 0).await;
            } else {
                self.is(gauge, 0).await;
            }
        }
    }

    /// Sends a request and waits until the pods have one more than before: it takes the room there is.
    pub(crate) async fn occupy(&self, number: usize) -> tokio::task::JoinHandle<u16> {
        let before: u64 = self.pods.iter().map(Pod::requests).sum();
        // An occupant that gave up would make room while the test still counts on it.
        let client = self.client(Protocol::Http1).with_limit(OCCUPIED);
        let spec = chat(&format!("occupant {number}"));
        let task = tokio::spawn(async move {
            client
                .send(spec)
                .await
                .map_or(0, |answer| answer.status.as_u16())
        });
        eventually("a pod is occupied", Duration::from_secs(5), || async {
            self.pods.iter().map(Pod::requests).sum::<u64>() > before
        })
        .await
        .unwrap();
        task
    }

    /// Every pod answers what it holds and whatever comes, from now on.
    pub(crate) fn release(&self) {
        for pod in &self.pods {
            pod.answer(Answer::Stream {
                chunks: 2,
                gap: Duration::from_millis(1),
            });
            pod.release();
        }
    }
}

/// A streamed chat: its place is taken until its first event is seen.
pub(crate) fn chat(content: &str) -> RequestSpec {
    RequestSpec::chat("tiny", content, true)
}

/// The same with an objective.
pub(crate) fn of(objective: &str, content: &str) -> RequestSpec {
    chat(content).header("x-llm-d-inference-objective", objective)
}

fn objectives() -> Policy {
    let names = [("critical", 10), ("sheddable", -1)];
    Policy::new(PolicyParts {
        pool: "default".to_owned(),
        objectives: names
            .iter()
            .map(|(name, priority)| ((*name).to_owned(), *priority))
            .collect(),
        fail_open: true,
        ..PolicyParts::default()
    })
    .unwrap()
}
