//! The agent rolls adapters out while Envoy serves: no request meets a pod without its adapter.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::{net::SocketAddr, time::Duration};

use e2e::rig::{
    Agent, AgentConfig, Client, Envoy, Load, LoadReport, Protocol, RequestSpec, config::at,
    discovering_config, eventually,
};
use model_sim::{
    engine::EngineConfig,
    server::{Instance, InstanceConfig},
};
use serde_json::json;
use tokio::{task::JoinHandle, time::sleep};

const SOON: Duration = Duration::from_secs(10);
const FOLDER: &str = "/adapters";

struct Set {
    pods: Vec<Instance>,
    agent: Agent,
    client: Client,
    envoy: Envoy,
}

async fn pod() -> Instance {
    pod_that_loads_in(Duration::from_millis(500)).await
}

async fn pod_that_loads_in(lora_registration: Duration) -> Instance {
    let config = InstanceConfig {
        model: "tiny".to_owned(),
        lora_registration,
        engine: EngineConfig {
            max_loras: 4,
            ..EngineConfig::default()
        },
        ..InstanceConfig::default()
    };
    Instance::start(config).await.unwrap()
}

impl Set {
    async fn start() -> Self {
        let pods = vec![pod().await, pod().await];
        let members = pods.iter().map(Instance::address).collect();
        let agent = Agent::start(AgentConfig::new(members)).await.unwrap();
        let config = discovering_config(agent.config().grpc).unwrap();
        let envoy = Envoy::start(config, 2).await.unwrap();
        let client = Client::new(envoy.address(), Protocol::Http1);
        Self {
            pods,
            agent,
            client,
            envoy,
        }
    }

    async fn status_of(&self, model: &str) -> u16 {
        let spec = RequestSpec::completion(model, "hello");
        self.client.send(spec).await.unwrap().status.as_u16()
    }

    /// Waits until `count` requests for `model` in a row are answered with this status.
    async fn answers(&self, model: &str, status: u16) {
        let what = format!("requests for {model} get {status}");
        let all = || async {
            for _ in 0..12 {
                if self.status_of(model).await != status {
                    return false;
                }
            }
            true
        };
        eventually(&what, SOON, all).await.unwrap();
    }

    fn load(&self, model: &'static str, seconds: u64) -> JoinHandle<LoadReport> {
        let client = self.client.clone();
        tokio::spawn(async move {
            let load = Load {
                rate: 50.0,
                duration: Duration::from_secs(seconds),
            };
            let make = |number| RequestSpec::completion(model, &format!("question {number}"));
            client.load(load, make).await
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_joins_gets_requests_when_it_has_the_adapters() {
    let mut set = Set::start().await;
    assert_eq!(set.status_of("v1").await, 404, "off unless declared");
    set.agent.declare_adapters(FOLDER, &["v1"]).unwrap();
    set.answers("v1", 200).await;

    let load = set.load("v1", 6);
    sleep(Duration::from_secs(1)).await;
    let new = pod().await;
    let address = new.address();
    set.pods.push(new);
    let members: Vec<SocketAddr> = set.pods.iter().map(Instance::address).collect();
    let pools = vec![("default".to_owned(), members)];
    set.agent.reconfigure(pools).unwrap();
    eventually("Envoy knows the new pod", SOON, || async {
        let clusters = set.envoy.admin().get("/clusters").await.unwrap();
        clusters.contains(&address.to_string())
    })
    .await
    .unwrap();
    let direct = Client::new(address, Protocol::Http1);
    let models = direct.send(RequestSpec::get("/v1/models")).await.unwrap();
    assert!(
        models.text().contains("\"v1\""),
        "it joined with {}",
        models.text()
    );
    let report = load.await.unwrap();
    assert!(report.failures().is_empty(), "{:#?}", report.failures());
    let per_upstream = report.per_upstream(Duration::ZERO..Duration::MAX);
    assert!(per_upstream.contains_key(&address), "{per_upstream:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_adapter_takes_the_place_of_the_old_one_while_others_are_served() {
    let mut set = Set::start().await;
    set.agent
        .declare_adapters(FOLDER, &["v1", "other"])
        .unwrap();
    set.answers("v1", 200).await;
    set.answers("other", 200).await;
    let load = set.load("other", 8);
    set.agent
        .declare_adapters(FOLDER, &["v2", "other"])
        .unwrap();
    set.answers("v2", 200).await;
    set.answers("v1", 404).await;
    let report = load.await.unwrap();
    assert!(report.failures().is_empty(), "{:#?}", report.failures());
}

/// A pool of these pods, and "chat" rewritten to the first and the second version by these weights.
fn resources(pods: &[Instance], weights: [u32; 2]) -> String {
    let targets: String = ["v1", "v2"]
        .iter()
        .zip(weights)
        .filter(|(_, weight)| *weight > 0)
        .map(|(name, weight)| format!("\n    - {{modelRewrite: {name}, weight: {weight}}}"))
        .collect();
    let endpoints: String = pods
        .iter()
        .map(|pod| {
            let (ip, port) = (pod.address().ip(), pod.address().port());
            format!(
                "\n  - {{name: pod-{port}, address: {ip}, ports: [{port}], labels: {{app: x}}}}"
            )
        })
        .collect();
    format!(
        "
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {{name: pool}}
spec:
  selector: {{matchLabels: {{app: x}}}}
  targetPorts: [{{number: 8000}}]
---
apiVersion: zerohop.dev/v1alpha1
kind: EndpointList
metadata: {{name: pods}}
spec:
  endpoints:{endpoints}
---
apiVersion: llm-d.ai/v1alpha2
kind: InferenceModelRewrite
metadata: {{name: chat}}
spec:
  poolRef: {{name: pool}}
  rules:
  - matches: [{{model: {{type: Exact, value: chat}}}}]
    targets:{targets}
"
    )
}

/// The pods on which an adapter has served since they were started.
async fn served(pods: &[Instance], adapter: &str) -> usize {
    let mut count = 0;
    for pod in pods {
        let client = Client::new(pod.address(), Protocol::Http1);
        let page = client
            .send(RequestSpec::get("/metrics"))
            .await
            .unwrap()
            .text();
        let mut lines = page
            .lines()
            .filter(|line| line.starts_with("vllm:lora_requests_info"));
        count += usize::from(lines.any(|line| line.contains(adapter)));
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_move_when_every_pod_is_ready_and_no_request_meets_a_pod_that_is_not() {
    const POOL: &str = "default/pool";
    // The second pod has the new version seconds after the first.
    let pods = [
        pod_that_loads_in(Duration::from_millis(100)).await,
        pod_that_loads_in(Duration::from_secs(2)).await,
    ];
    let mut config = AgentConfig::of_resources(&resources(&pods, [100, 0]));
    config.adapters_on = POOL.to_owned();
    config.adapters = vec![("v1".to_owned(), format!("{FOLDER}/v1"))];
    let agent = Agent::start(config).await.unwrap();
    let mut config = discovering_config(agent.config().grpc).unwrap();
    let service = format!("{}/eds_cluster_config/service_name", at::MODEL_SERVERS);
    config.set(&service, json!(POOL)).unwrap();
    config
        .change_plugin(|plugin| plugin["pools"] = json!([{"name": POOL}]))
        .unwrap();
    let envoy = Envoy::start(config, 2).await.unwrap();
    let client = Client::new(envoy.address(), Protocol::Http1);
    let mut set = Set {
        pods: pods.into(),
        agent,
        client,
        envoy,
    };
    set.answers("chat", 200).await;
    assert!(served(&set.pods, "v1").await > 0);
    // A pod that lists no adapter at all may have any, so that the slower one must be ready first.
    eventually("every pod has the old version", SOON, || async {
        let mut all = true;
        for pod in &set.pods {
            let client = Client::new(pod.address(), Protocol::Http1);
            let list = client.send(RequestSpec::get("/v1/models")).await.unwrap();
            all &= list.text().contains("\"v1\"");
        }
        all
    })
    .await
    .unwrap();
    // And the filter must know that it is.
    sleep(Duration::from_secs(1)).await;

    let load = set.load("chat", 20);
    // All weight moves to a version that no pod has: the old one serves on.
    set.agent.apply(&resources(&set.pods, [0, 100])).unwrap();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(served(&set.pods, "v2").await, 0);
    // The new one beside the old one: drawn when both pods have it.
    set.agent.declare_adapters(FOLDER, &["v1", "v2"]).unwrap();
    sleep(Duration::from_millis(1_300)).await;
    assert_eq!(served(&set.pods, "v2").await, 0, "one of two pods has it");
    eventually("the new version serves", SOON, || async {
        served(&set.pods, "v2").await > 0
    })
    .await
    .unwrap();
    // The old one goes.
    set.agent.declare_adapters(FOLDER, &["v2"]).unwrap();
    set.answers("v1", 404).await;
    set.answers("chat", 200).await;
    let report = load.await.unwrap();
    assert!(report.failures().is_empty(), "{:#?}", report.failures());
}
