//! The data path's half of the conformance tests of the Gateway API Inference Extension that need no
//! control plane, under their names. Where a test there applies a resource, the configuration that
//! the resource stands for is written here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use e2e::rig::{
    Agent, AgentConfig, Client, Envoy, Pod, Protocol, RequestSpec, Response,
    config::{EnvoyConfig, at, socket_address},
    discovering_config, eventually,
    ports::free_address,
};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

const SOON: Duration = Duration::from_secs(8);
const SELECTION: &str = "test-epp-endpoint-selection";
const SERVED: &str = "x-conformance-test-served-endpoint";
const PRIMARY: &str = "model-servers";
const SECONDARY: &str = "secondary-model-servers";

struct Gateway {
    agent: Agent,
    envoy: Envoy,
}

impl Gateway {
    /// Pools by name, and what else is special about the gateway.
    async fn start(pools: &[(&str, &[Pod])], change: impl FnOnce(&mut EnvoyConfig)) -> Self {
        let mut agent = AgentConfig::new(Vec::new());
        let members = |pods: &[Pod]| pods.iter().map(Pod::address).collect();
        let pools = pools.iter();
        agent.pools = pools
            .map(|(name, pods)| ((*name).to_owned(), members(pods)))
            .collect();
        let agent = Agent::start(agent).await.unwrap();
        let mut config = discovering_config(agent.config().grpc).unwrap();
        config
            .change_plugin(|plugin| plugin["conformance_test"] = json!(true))
            .unwrap();
        change(&mut config);
        let envoy = Envoy::start(config, 2).await.unwrap();
        Self { agent, envoy }
    }

    /// One pool, which all requests are for.
    async fn of(pods: &[Pod]) -> Self {
        let gateway = Self::start(&[("default", pods)], |_| {}).await;
        gateway.knows(pods, "/").await;
        gateway
    }

    fn client(&self) -> Client {
        Client::new(self.envoy.address(), Protocol::Http1)
    }

    /// Waits until both workers send requests for `path` where they are told to.
    async fn knows(&self, pods: &[Pod], path: &str) {
        self.knows_at(self.envoy.address(), pods, path).await;
    }

    async fn knows_at(&self, listener: SocketAddr, pods: &[Pod], path: &str) {
        let last = pods.last().unwrap().address();
        let waited = eventually("the gateway follows the selection", SOON, || async move {
            for _ in 0..8 {
                let spec = RequestSpec::get(path).header(SELECTION, &last.to_string());
                let client = Client::new(listener, Protocol::Http1);
                let response = client.send(spec).await.unwrap();
                if response.status != 200 || served(&response) != Some(last) {
                    return false;
                }
            }
            true
        })
        .await;
        waited
            .unwrap_or_else(|error| panic!("{}", self.envoy.process().failure(error.to_string())));
        pods.iter().for_each(|pod| drop(pod.take_recorded()));
    }

    /// Sends `count` requests, `at_once` at a time; who served how many. Every answer is a 200.
    async fn ask(&self, count: usize, at_once: usize, spec: &RequestSpec) -> Served {
        let mut asked = JoinSet::new();
        for worker in 0..at_once {
            let (client, spec) = (self.client(), spec.clone());
            let share = count / at_once + usize::from(worker < count % at_once);
            asked.spawn(async move {
                let mut served_by = Vec::new();
                for _ in 0..share {
                    let response = client.send(spec.clone()).await.unwrap();
                    assert_eq!(response.status, 200, "{}", response.text());
                    assert_eq!(served(&response), response.upstream());
                    served_by.push(served(&response).unwrap());
                }
                served_by
            });
        }
        let mut counts = BTreeMap::new();
        while let Some(served_by) = asked.join_next().await {
            for address in served_by.unwrap() {
                *counts.entry(address).or_insert(0) += 1;
            }
        }
        counts
    }
}

type Served = BTreeMap<SocketAddr, u32>;

fn served(response: &Response) -> Option<SocketAddr> {
    response.header(SERVED)?.parse().ok()
}

fn total(served: &Served, pods: &[Pod]) -> u32 {
    let counts = pods.iter().filter_map(|pod| served.get(&pod.address()));
    counts.sum()
}

/// Pods with an address of their own each.
async fn pods(count: u8) -> Vec<Pod> {
    let mut pods = Vec::new();
    for number in 0..count {
        pods.push(rank(number).await);
    }
    pods
}

/// One more port of a pod.
async fn rank(pod: u8) -> Pod {
    let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11 + pod));
    Pod::start_on(ip).await.unwrap()
}

fn addresses(pods: &[Pod]) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = pods.iter().map(Pod::address).collect();
    addresses.sort_unstable();
    addresses
}

fn selecting(selection: &[String]) -> [RequestSpec; 2] {
    let selection = selection.join(",");
    [
        RequestSpec::get("/"),
        RequestSpec::completion("tiny", "hello"),
    ]
    .map(|spec| spec.header(SELECTION, &selection))
}

/// A second cluster, of the pool `secondary`, and the filter's knowledge of both.
fn two_pools(config: &mut EnvoyConfig) {
    let mut second = config.get(at::MODEL_SERVERS).unwrap().clone();
    second["name"] = json!(SECONDARY);
    second["eds_cluster_config"]["service_name"] = json!("secondary");
    let mut clusters = config.get("/static_resources/clusters").unwrap().clone();
    clusters.as_array_mut().unwrap().push(second);
    config.set("/static_resources/clusters", clusters).unwrap();
    config
        .change_plugin(|plugin| {
            plugin["pools"] = json!([
                {"name": "default", "cluster": PRIMARY},
                {"name": "secondary", "cluster": SECONDARY},
            ]);
        })
        .unwrap();
}

/// The shipped route to another cluster, for paths that begin with `prefix`.
fn route(config: &EnvoyConfig, prefix: &str, cluster: &str) -> Value {
    let mut action = config.get(at::ROUTE).unwrap().clone();
    action["cluster"] = json!(cluster);
    json!({"match": {"prefix": prefix}, "route": action})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_following_epp_routing() {
    let pods = pods(3).await;
    let gateway = Gateway::of(&pods).await;
    for chosen in [&pods[..1], &pods[1..3], &pods[..]] {
        let ips: Vec<String> = chosen
            .iter()
            .map(|pod| pod.address().ip().to_string())
            .collect();
        for spec in selecting(&ips) {
            let served = gateway.ask(100, 10, &spec).await;
            assert_eq!(total(&served, chosen), 100, "{ips:?}: {served:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_following_epp_routing_with_data_parallelism() {
    let mut ranks = Vec::new();
    for pod in 0..3 {
        for _ in 0..3 {
            ranks.push(rank(pod).await);
        }
    }
    let gateway = Gateway::of(&ranks).await;
    let at = |rank: &Pod| rank.address().to_string();
    let ip = |rank: &Pod| rank.address().ip().to_string();
    for (selection, chosen) in [
        // An address alone is any port of that pod.
        (vec![ip(&ranks[0])], &ranks[..3]),
        // A port is this port.
        (vec![at(&ranks[4])], &ranks[4..5]),
        (vec![at(&ranks[7]), at(&ranks[8])], &ranks[7..9]),
        (vec![at(&ranks[2]), ip(&ranks[3])], &ranks[2..6]),
    ] {
        for spec in selecting(&selection) {
            let served = gateway.ask(100, 10, &spec).await;
            assert_eq!(total(&served, chosen), 100, "{selection:?}: {served:?}");
        }
    }
    // Alone, every port of a pod is used.
    let [_, spec] = selecting(&[ip(&ranks[0])]);
    let served: Vec<SocketAddr> = gateway.ask(100, 10, &spec).await.into_keys().collect();
    assert_eq!(served, addresses(&ranks[..3]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_destination_endpoint_served() {
    let pods = pods(3).await;
    let gateway = Gateway::of(&pods).await;
    for pod in &pods {
        for spec in selecting(&[pod.address().to_string()]) {
            let before = pod.requests();
            let response = gateway.client().send(spec).await.unwrap();
            assert_eq!(served(&response), Some(pod.address()));
            assert_eq!(
                pod.requests(),
                before + 1,
                "the one that is named has served"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_weighted_across_two_inference_pools() {
    let (first, second) = (pods(2).await, pods(2).await);
    let gateway = Gateway::start(&[("default", &first), ("secondary", &second)], |config| {
        two_pools(config);
        let mut action = config.get(at::ROUTE).unwrap().clone();
        action.as_object_mut().unwrap().remove("cluster");
        action["weighted_clusters"] = json!({"clusters": [
            {"name": PRIMARY, "weight": 70},
            {"name": SECONDARY, "weight": 30},
        ]});
        config.set(at::ROUTE, action).unwrap();
    })
    .await;
    for spec in [
        RequestSpec::get("/"),
        RequestSpec::completion("tiny", "hello"),
    ] {
        let spec = &spec;
        eventually("both pools are known", SOON, || async {
            let client = gateway.client();
            let response = client.send(spec.clone()).await.unwrap();
            response.status == 200 && served(&response).is_some()
        })
        .await
        .unwrap();
        let served = gateway.ask(1_000, 5, spec).await;
        let (first, second) = (total(&served, &first), total(&served, &second));
        assert_eq!(first + second, 1_000);
        // Three and a half standard deviations.
        assert!(
            (650..=750).contains(&first),
            "{first} of 1,000 went to the pool of weight 70"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn epp_un_available_fail_open() {
    let pods = pods(3).await;
    let mut gateway = Gateway::of(&pods).await;
    let spec = RequestSpec::completion("tiny", "hello");
    assert_eq!(total(&gateway.ask(30, 3, &spec).await, &pods), 30);
    gateway.agent.kill();
    // Until every signal has expired.
    for _ in 0..8 {
        assert_eq!(total(&gateway.ask(30, 3, &spec).await, &pods), 30);
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inference_pool_app_protocol() {
    let h2c = [
        Pod::start_h2c().await.unwrap(),
        Pod::start_h2c().await.unwrap(),
    ];
    let http = pods(2).await;
    let gateway = Gateway::start(&[("default", &http), ("secondary", &h2c)], |config| {
        two_pools(config);
        let protocol = "typed_extension_protocol_options/envoy.extensions.upstreams.http.v3.HttpProtocolOptions/explicit_http_config";
        let second = "/static_resources/clusters/2";
        assert_eq!(config.get(second).unwrap()["name"], SECONDARY);
        config
            .set(&format!("{second}/{protocol}"), json!({"http2_protocol_options": {}}))
            .unwrap();
        let routes = [("/h2c", SECONDARY), ("/", PRIMARY)];
        let routes = routes.map(|(prefix, cluster)| route(config, prefix, cluster));
        config.set(&format!("{}/routes", at::VIRTUAL_HOST), json!(routes)).unwrap();
    })
    .await;
    for (path, pods, version) in [
        ("/h2c/v1/completions", &h2c[..], http::Version::HTTP_2),
        ("/v1/completions", &http[..], http::Version::HTTP_11),
    ] {
        gateway.knows(pods, path).await;
        let mut spec = RequestSpec::completion("tiny", "hello");
        spec.path = path.to_owned();
        assert_eq!(total(&gateway.ask(40, 4, &spec).await, pods), 40);
        let seen: Vec<_> = pods.iter().flat_map(Pod::take_recorded).collect();
        assert_eq!(seen.len(), 40);
        assert!(
            seen.iter().all(|request| request.head.version == version),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_route_multiple_rules_different_pools() {
    let (first, second) = (pods(2).await, pods(2).await);
    let gateway = Gateway::start(&[("default", &first), ("secondary", &second)], |config| {
        two_pools(config);
        let routes = [("/primary", PRIMARY), ("/secondary", SECONDARY)];
        let routes = routes.map(|(prefix, cluster)| route(config, prefix, cluster));
        config
            .set(&format!("{}/routes", at::VIRTUAL_HOST), json!(routes))
            .unwrap();
    })
    .await;
    for (path, pods) in [("/primary", &first), ("/secondary", &second)] {
        gateway.knows(pods, path).await;
        let mut spec = RequestSpec::completion("tiny", "hello");
        spec.path = format!("{path}/v1/completions");
        assert_eq!(total(&gateway.ask(40, 4, &spec).await, pods), 40, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_route_multiple_gateways_different_pools() {
    let (first, second) = (pods(2).await, pods(2).await);
    let other = free_address();
    let gateway = Gateway::start(&[("default", &first), ("secondary", &second)], |config| {
        two_pools(config);
        let mut listener = config.get(at::LISTENER).unwrap().clone();
        listener["name"] = json!("secondary");
        listener["address"] = socket_address(other);
        let place = at::ROUTE.strip_prefix(at::LISTENER).unwrap();
        let route = listener.pointer_mut(place).unwrap();
        route["cluster"] = json!(SECONDARY);
        let first = config.get(at::LISTENER).unwrap().clone();
        config
            .set("/static_resources/listeners", json!([first, listener]))
            .unwrap();
    })
    .await;
    for (listener, pods) in [(gateway.envoy.address(), &first), (other, &second)] {
        gateway.knows_at(listener, pods, "/").await;
        let client = Client::new(listener, Protocol::Http1);
        for _ in 0..40 {
            let response = client
                .send(RequestSpec::completion("tiny", "hello"))
                .await
                .unwrap();
            assert_eq!(response.status, 200, "{}", response.text());
            let address = served(&response).unwrap();
            assert!(addresses(pods).contains(&address), "{address}");
        }
    }
}

/// The reference answers 500 there; we know no endpoint, which is 503.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inference_pool_invalid_epp_service() {
    let config = discovering_config(free_address()).unwrap();
    let envoy = Envoy::start(config, 2).await.unwrap();
    let client = Client::new(envoy.address(), Protocol::Http1);
    for spec in [
        RequestSpec::get("/"),
        RequestSpec::completion("tiny", "hello"),
    ] {
        let response = client.send(spec).await.unwrap();
        assert_eq!(response.status, 503, "{}", response.text());
    }
}

/// A pool that names no picker is routed all the same: the picker is in the gateway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inference_pool_missing_epp_ref() {
    let pods = pods(2).await;
    let gateway = Gateway::of(&pods).await;
    let spec = RequestSpec::completion("tiny", "hello");
    let served: Vec<SocketAddr> = gateway.ask(40, 4, &spec).await.into_keys().collect();
    assert_eq!(served, addresses(&pods));
}
