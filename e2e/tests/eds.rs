//! The members of the cluster come from the agent: they follow its pool, and stay when it goes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use e2e::rig::{
    Agent, AgentConfig, Answer, Client, Envoy, Load, LoadReport, Pod, Protocol, RequestSpec,
    artifacts, config::EnvoyConfig, discovering_config, eventually, scratch::Scratch,
};
use serde_json::json;
use tokio::{task::JoinHandle, time::sleep};

/// From the agent's new configuration to requests at a new pod.
const ROUTABLE: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(5);

struct Set {
    agent: Agent,
    envoy: Envoy,
    client: Client,
}

impl Set {
    async fn start(pods: &[&Pod]) -> Self {
        Self::with(pods, |_| Ok(())).await
    }

    async fn with(
        pods: &[&Pod],
        change: impl FnOnce(&mut EnvoyConfig) -> Result<(), e2e::rig::RigError>,
    ) -> Self {
        let members = pods.iter().map(|pod| pod.address()).collect();
        let agent = Agent::start(AgentConfig::new(members)).await.unwrap();
        let mut config = discovering_config(agent.config().grpc).unwrap();
        change(&mut config).unwrap();
        let envoy = Envoy::start(config, 2).await.unwrap();
        let client = Client::new(envoy.address(), Protocol::Http1);
        let set = Self {
            agent,
            envoy,
            client,
        };
        set.reaches(pods).await;
        set
    }

    fn pool(&mut self, pods: &[&Pod]) {
        let members = pods.iter().map(|pod| pod.address()).collect();
        let pools = vec![("default".to_owned(), members)];
        self.agent.reconfigure(pools).unwrap();
    }

    async fn send(&self) -> Option<SocketAddr> {
        let spec = RequestSpec::completion("tiny", "where to?");
        let response = self.client.send(spec).await.unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
        response.upstream()
    }

    /// Waits until these are the members, and forgets what they were asked meanwhile.
    async fn reaches(&self, pods: &[&Pod]) {
        let members = || async {
            let page = self
                .envoy
                .admin()
                .get("/clusters")
                .await
                .unwrap_or_default();
            let lines = page.lines().filter(|line| line.contains("::cx_active::"));
            let lines = lines.filter(|line| line.starts_with("model-servers::"));
            lines.count()
        };
        eventually("Envoy has the members", SOON, || async {
            members().await == pods.len()
        })
        .await
        .unwrap();
    }

    fn load(&self, seconds: u64) -> JoinHandle<LoadReport> {
        let client = self.client.clone();
        tokio::spawn(async move {
            let load = Load {
                rate: 200.0,
                duration: Duration::from_secs(seconds),
            };
            let make = |number| RequestSpec::completion("tiny", &format!("question {number}"));
            client.load(load, make).await
        })
    }
}

async fn pods(count: usize) -> Vec<Pod> {
    let mut pods = Vec::new();
    for _ in 0..count {
        pods.push(Pod::start().await.unwrap());
    }
    pods
}

fn none_failed(report: &LoadReport, at_least: usize) {
    assert!(
        report.sent() >= at_least,
        "only {} were sent",
        report.sent()
    );
    let failures = report.failures();
    let some = &failures[..failures.len().min(10)];
    assert!(failures.is_empty(), "{} failed: {some:#?}", failures.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scaled_up_pod_is_routed_to_within_a_second_and_a_scaled_down_one_costs_no_request() {
    let pods = pods(3).await;
    let mut set = Set::start(&[&pods[0], &pods[1]]).await;
    let load = set.load(8);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(pods[2].requests(), 0);
    set.pool(&[&pods[0], &pods[1], &pods[2]]);
    let took = eventually("the new pod is asked", SOON, || async {
        pods[2].requests() > 0
    });
    let took = took.await.unwrap();
    assert!(took <= ROUTABLE, "routed after {took:?}");
    println!("a scaled-up pod was asked after {took:?}");

    sleep(Duration::from_secs(1)).await;
    set.pool(&[&pods[1], &pods[2]]);
    sleep(ROUTABLE).await;
    let before = pods[0].requests();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(pods[0].requests(), before, "asked after it left the pool");
    none_failed(&load.await.unwrap(), 1_500);
    assert_eq!(
        set.envoy
            .admin()
            .stat("cluster.model-servers.update_rejected")
            .await
            .unwrap(),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_members_stay_while_the_agent_is_away_and_follow_it_when_it_is_back() {
    let pods = pods(3).await;
    let mut set = Set::start(&[&pods[0], &pods[1]]).await;
    let load = set.load(14);
    sleep(Duration::from_secs(1)).await;
    set.agent.kill();
    // Past the point where every signal has expired.
    sleep(Duration::from_secs(7)).await;
    set.reaches(&[&pods[0], &pods[1]]).await;
    set.agent.restart().await.unwrap();
    set.pool(&[&pods[0], &pods[1], &pods[2]]);
    let took = eventually("the new pod is asked", SOON, || async {
        pods[2].requests() > 0
    });
    let took = took.await.unwrap();
    // Envoy looks for the agent every second.
    assert!(took <= 3 * ROUTABLE, "routed after {took:?}");
    none_failed(&load.await.unwrap(), 2_600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_port_of_a_pod_is_an_endpoint_of_its_own() {
    // Two pods with two data-parallel ranks each.
    let ips = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];
    let mut ranks = Vec::new();
    for ip in ips {
        for _ in 0..2 {
            ranks.push(Pod::start_on(IpAddr::V4(ip)).await.unwrap());
        }
    }
    let all: Vec<&Pod> = ranks.iter().collect();
    let set = Set::start(&all).await;
    for idle in &ranks {
        for rank in &ranks {
            let waiting = if rank.address() == idle.address() {
                0.0
            } else {
                60.0
            };
            rank.metrics(|metrics| metrics.waiting = waiting);
        }
        eventually("the idle rank is picked", SOON, || async {
            for _ in 0..12 {
                if set.send().await != Some(idle.address()) {
                    return false;
                }
            }
            true
        })
        .await
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_agent_the_members_come_from_a_file() {
    let pods = pods(3).await;
    let folder = artifacts::repository().join("envoy-config/file");
    let list = |pods: &[Pod]| {
        let endpoints: Vec<_> = pods
            .iter()
            .map(|pod| json!({"endpoint": {"address": e2e::rig::config::socket_address(pod.address())}}))
            .collect();
        let mut file = EnvoyConfig::read(&folder.join("endpoints.yaml")).unwrap();
        file.set("/resources/0/endpoints/0/lb_endpoints", json!(endpoints))
            .unwrap();
        file.root().to_string()
    };
    let files = Scratch::new().unwrap();
    let path = files.write("endpoints.json", &list(&pods[..2])).unwrap();
    let cluster = EnvoyConfig::read(&folder.join("cluster.yaml")).unwrap();
    let nobody: SocketAddr = e2e::rig::ports::free_address();
    let mut config = discovering_config(nobody).unwrap();
    config
        .set("/static_resources/clusters/0", cluster.root()[0].clone())
        .unwrap();
    let at = "/static_resources/clusters/0/eds_cluster_config/eds_config/path_config_source/path";
    config.set(at, json!(path)).unwrap();
    let envoy = Envoy::start(config, 2).await.unwrap();
    let client = Client::new(envoy.address(), Protocol::Http1);
    let asked = |pods: &[Pod]| pods.iter().map(Pod::requests).collect::<Vec<_>>();
    let send = |count: u64| {
        let client = client.clone();
        async move {
            for _ in 0..count {
                let spec = RequestSpec::completion("tiny", "where to?");
                let response = client.send(spec).await.unwrap();
                assert_eq!(response.status, 200, "{}", response.text());
            }
        }
    };
    send(20).await;
    assert!(
        pods[..2].iter().all(|pod| pod.requests() > 0),
        "{:?}",
        asked(&pods)
    );
    assert_eq!(pods[2].requests(), 0);
    files.write("endpoints.json", &list(&pods)).unwrap();
    eventually("the new pod is asked", SOON, || async {
        send(4).await;
        pods[2].requests() > 0
    })
    .await
    .unwrap();
    // A list with a mistake changes nothing.
    files
        .write("endpoints.json", "{\"resources\": [7]}")
        .unwrap();
    sleep(Duration::from_millis(500)).await;
    send(10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspect_is_degraded_for_the_fallback_policy_and_still_taken_when_it_is_picked() {
    let pods = pods(2).await;
    let set = Set::with(&[&pods[0], &pods[1]], |config| {
        config.change_plugin(|plugin| plugin["conformance_test"] = json!(true))
    })
    .await;
    pods[0].answer_scrapes(Answer::Status(500));
    let suspect = pods[0].address().to_string();
    let flags = format!("model-servers::{suspect}::health_flags::");
    eventually("Envoy knows of the suspect", SOON, || async {
        let page = set.envoy.admin().get("/clusters").await.unwrap();
        let line = page.lines().find(|line| line.starts_with(&flags));
        line.is_some_and(|line| line.contains("degraded"))
    })
    .await
    .unwrap();
    for _ in 0..8 {
        let spec = RequestSpec::completion("tiny", "hello");
        let spec = spec.header("test-epp-endpoint-selection", &suspect);
        let response = set.client.send(spec).await.unwrap();
        assert_eq!(response.status, 200, "{}", response.text());
        assert_eq!(response.upstream(), Some(pods[0].address()));
    }
}
