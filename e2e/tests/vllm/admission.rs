//! Admission before a replica of few sequences and a short queue: what vLLM cannot take is held or refused
//! at the gateway, and what vLLM itself refuses is understood.

use std::time::Duration;

use e2e::rig::{
    Agent, AgentConfig, Client, Envoy, Protocol, RequestSpec, Response, discovering_config,
    eventually, resources,
    vllm::{Replica, ReplicaOptions},
};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use super::{
    direct::Busy,
    stage::{Kind, PATIENCE, request},
};

/// Long enough that everything which is sent together overlaps.
const LONG: u64 = 160;

/// A replica that runs two requests and has four at most, its queue included, and its agent.
struct Scene {
    replica: Replica,
    agent: Agent,
}

impl Scene {
    async fn set() -> Self {
        let arguments = ["--max-num-seqs", "2", "--max-num-queued-reqs", "4"];
        let mut replicas = Replica::start_each([ReplicaOptions {
            arguments: arguments.map(str::to_owned).to_vec(),
            adapters: Some(String::new()),
        }])
        .await
        .unwrap();
        let replica = replicas.remove(0);
        let objectives = resources::objectives(&[("critical", 10), ("sheddable", -1)]);
        let text = format!("{}{objectives}", resources::pool(&[replica.address()]));
        let agent = Agent::start(AgentConfig::of_resources(&text))
            .await
            .unwrap();
        Self { replica, agent }
    }

    /// An Envoy of two workers that know the pool and its policy.
    async fn gateway(&self, admission: Option<Value>) -> Gateway {
        let mut config = discovering_config(self.agent.config().grpc).unwrap();
        resources::follow(&mut config).unwrap();
        config
            .change_plugin(|plugin| {
                if let Some(admission) = admission {
                    plugin["admission"] = admission;
                }
                plugin["models"] = json!({"trust_headers": true});
            })
            .unwrap();
        let envoy = Envoy::start(config, 2).await.unwrap();
        let client = Client::new(envoy.address(), Protocol::Http1).with_limit(2 * PATIENCE);
        let gateway = Gateway { envoy, client };
        gateway.at_least("policy_read", 2).await;
        sleep(Duration::from_millis(500)).await;
        gateway
    }
}

struct Gateway {
    envoy: Envoy,
    client: Client,
}

impl Gateway {
    async fn sum(&self, part: &str) -> u64 {
        let stats = self.envoy.admin().stats(part).await.unwrap();
        stats.values().sum()
    }

    async fn at_least(&self, part: &str, count: u64) {
        eventually(part, PATIENCE, || async { self.sum(part).await >= count })
            .await
            .unwrap();
    }

    async fn at_rest(&self) {
        for gauge in ["zerohop_queued_requests", "zerohop_in_flight_requests"] {
            eventually(gauge, PATIENCE, || async { self.sum(gauge).await == 0 })
                .await
                .unwrap();
        }
    }

    /// So many critical requests at once, and their answers.
    async fn burst(&self, count: u64, max_tokens: u64) -> Vec<Response> {
        let mut running = JoinSet::new();
        for number in 0..count {
            let (client, spec) = (self.client.clone(), of("critical", number, max_tokens));
            running.spawn(async move { client.send(spec).await.unwrap() });
        }
        running.join_all().await
    }
}

fn of(objective: &str, number: u64, max_tokens: u64) -> RequestSpec {
    request(Kind::CompletionStream, "tiny", number, max_tokens)
        .header("x-llm-d-inference-objective", objective)
}

/// Whether vLLM refused it, with a status or with the first event of a stream.
fn is_refused(response: &Response) -> bool {
    response.text().contains("{\"error\":")
}

pub(super) async fn holds_sheds_and_hears_refusals() {
    let scene = Scene::set().await;
    let admission = json!({"rules": {"room": {"waiting": 1}}});
    let gateway = scene.gateway(Some(admission)).await;
    more_than_it_takes_is_held_or_shed(&gateway).await;
    a_refusal_makes_the_next_wait(&scene, &gateway).await;
    refusals_as_first_events_are_heard(&scene).await;
}

/// Ten at once, most of which vLLM itself would turn away.
async fn more_than_it_takes_is_held_or_shed(gateway: &Gateway) {
    let shed = async {
        gateway.at_least("zerohop_queued_requests", 1).await;
        gateway.client.send(of("sheddable", 100, 4)).await.unwrap()
    };
    let (critical, shed) = tokio::join!(gateway.burst(10, LONG), shed);
    for response in &critical {
        let text = response.text();
        assert_eq!(response.status, 200, "{text}");
        assert!(!is_refused(response), "{text}");
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    }
    let held = gateway.sum("outcome=.=dispatched").await;
    assert!(held >= 4, "{held} were held");
    // Whoever may be refused is, at once and with a status, though it asked for a stream.
    assert_eq!(shed.status, 429, "{}", shed.text());
    let body: Value = serde_json::from_str(&shed.text()).unwrap();
    assert_eq!(body["error"]["code"], "shed");
    assert_eq!(shed.header("x-zerohop-dropped-reason"), Some("shed"));
    gateway.at_rest().await;
}

/// Full with requests that came past the gateway, the replica refuses what the gateway sends. After that
/// it is no place for more for a while: the next waits where it can.
async fn a_refusal_makes_the_next_wait(scene: &Scene, gateway: &Gateway) {
    let busy = Busy::once(scene.replica.address(), 4, 700);
    let direct = Client::new(scene.replica.address(), Protocol::Http1);
    let refuses = || async { is_refused(&direct.send(of("critical", 200, 1)).await.unwrap()) };
    eventually("the replica refuses", PATIENCE, refuses)
        .await
        .unwrap();
    let failures = gateway.sum("event=.=failure").await;
    let response = gateway.client.send(of("critical", 201, 4)).await.unwrap();
    assert!(is_refused(&response), "{}", response.text());
    assert!(gateway.sum("event=.=failure").await > failures);
    let held = gateway.sum("outcome=.=dispatched").await;
    let next = async {
        gateway.at_least("zerohop_queued_requests", 1).await;
        drop(busy);
    };
    let (next, ()) = tokio::join!(gateway.client.send(of("critical", 202, 4)), next);
    let next = next.unwrap();
    assert_eq!(next.status, 200);
    assert!(!is_refused(&next), "{}", next.text());
    assert_eq!(gateway.sum("outcome=.=dispatched").await, held + 1);
    gateway.at_rest().await;
}

/// Without admission all of a burst is sent, and vLLM notices of some only when their streams have begun.
async fn refusals_as_first_events_are_heard(scene: &Scene) {
    let gateway = scene.gateway(None).await;
    let answers = gateway.burst(16, LONG).await;
    let late = answers
        .iter()
        .filter(|answer| answer.status == 200 && is_refused(answer));
    let late = late.count() as u64;
    assert!(late > 0, "this burst was to be too much");
    let failures = gateway.sum("event=.=failure").await;
    println!("{late} of 16 refused as first events, {failures} failures counted");
    assert!(failures >= late, "{failures} of {late}");
    gateway.at_rest().await;
}
