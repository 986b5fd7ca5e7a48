//! What a policy promises about models, each promise once, on real Envoy: requests are rewritten byte
//! for byte, answers carry the public name, splits are kept, roll-outs fail nobody, and the model may
//! choose the pool.
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
    Answer, Client, Envoy, EnvoyConfig, FakeAgent, Pod, Protocol, RequestSpec, RigError,
    base_config, config::at, eventually, words,
};
use http::{HeaderMap, HeaderValue};
use pool_state::policy::{ModelRule, Policy, PolicyParts, Target};
use serde_json::{Value, json};
use tokio::time::sleep;
use xxhash_rust::xxh64::xxh64;

const PUBLIC: &str = "public";

fn rule(model: &str, targets: &[(&str, u32)]) -> ModelRule {
    let target = |(name, weight): &(&str, u32)| Target::new(name, Some(*weight));
    ModelRule {
        model: Some(model.to_owned()),
        source: "test".to_owned(),
        priority: None,
        targets: targets.iter().map(target).collect(),
    }
}

fn policy(pool: &str, rules: Vec<ModelRule>) -> Policy {
    Policy::new(PolicyParts {
        pool: pool.to_owned(),
        rules,
        fail_open: true,
        ..PolicyParts::default()
    })
    .unwrap()
}

/// Envoy before pods that speak, with an agent that says what a test wants.
struct Gateway {
    envoy: Envoy,
    _agent: FakeAgent,
    pods: Vec<Pod>,
}

impl Gateway {
    async fn start(
        policies: &[Policy],
        change: impl FnOnce(&mut EnvoyConfig, &[SocketAddr]) -> Result<(), RigError>,
    ) -> Self {
        let mut pods = Vec::new();
        for _ in 0..2 {
            let pod = Pod::start().await.unwrap();
            pod.answer(Answer::Speak { piece: 1_000 });
            pods.push(pod);
        }
        let members: Vec<_> = pods.iter().map(Pod::address).collect();
        let agent = FakeAgent::start(1).await.unwrap();
        agent.decide(policies);
        agent.see(
            &members
                .iter()
                .map(|member| (*member, 0.0))
                .collect::<Vec<_>>(),
        );
        let mut config = base_config(&members, agent.address()).unwrap();
        change(&mut config, &members).unwrap();
        let envoy = Envoy::start(config, 2).await.unwrap();
        let gateway = Self {
            envoy,
            _agent: agent,
            pods,
        };
        gateway.has_policies(policies.len() as u64).await;
        gateway
    }

    /// The policies were taken, and since then every worker has had time to see them.
    async fn has_policies(&self, count: u64) {
        let admin = self.envoy.admin();
        eventually(
            "the policies were taken",
            Duration::from_secs(5),
            || async move {
                let stats = admin.stats("policy_taken").await.unwrap_or_default();
                stats.values().sum::<u64>() >= count
            },
        )
        .await
        .unwrap();
        sleep(Duration::from_millis(600)).await;
    }

    fn client(&self, protocol: Protocol) -> Client {
        Client::new(self.envoy.address(), protocol).with_limit(Duration::from_secs(20))
    }

    /// The models that the pods were asked for since the last call.
    fn asked(&self) -> Vec<String> {
        let recorded = self.pods.iter().flat_map(Pod::take_recorded);
        recorded.filter_map(|request| request.model).collect()
    }

    async fn count(&self, name: &str) -> u64 {
        let stats = self.envoy.admin().stats(name).await.unwrap();
        stats.values().sum()
    }
}

fn unchanged(_: &mut EnvoyConfig, _: &[SocketAddr]) -> Result<(), RigError> {
    Ok(())
}

fn completion(model: &str) -> RequestSpec {
    RequestSpec::completion(model, "hello")
}

/// Bodies of `size` bytes and more and what must arrive of them when the public model is rewritten.
fn bodies(size: usize, target: &str) -> Vec<(&'static str, String, String)> {
    let filling: String = (0..size)
        .map(|at| char::from(b'a' + (at * at / 7 % 23) as u8))
        .collect();
    let shapes = [
        ("first", r#"{"model":MODEL,"prompt":"FILL"}"#),
        ("last", r#"{"prompt":"FILL", "model" : MODEL }"#),
        (
            "escaped key",
            r#"{"n":1.0e0,"mod\u0065l":MODEL,"prompt":"\u0061FILL"}"#,
        ),
        ("escaped value", r#"{"prompt":"FILL\n","model":ESCAPED}"#),
        (
            "twice",
            r#"{"model":OTHER,"prompt":"FILL","metadata":{"model":"x"},"model":MODEL}"#,
        ),
    ];
    let escaped: String = PUBLIC
        .chars()
        .map(|c| format!("\\u{:04x}", c as u32))
        .collect();
    let put = |shape: &str, model: &str, escaped: &str, other: &str| {
        let names = shape.replace("MODEL", model).replace("ESCAPED", escaped);
        names.replace("OTHER", other).replace("FILL", &filling)
    };
    let quoted = |text: &str| format!("\"{text}\"");
    let (public, target) = (quoted(PUBLIC), Value::from(target).to_string());
    let bodies = shapes.map(|(name, shape)| {
        let sent = put(shape, &public, &quoted(&escaped), &quoted("other"));
        (name, sent, put(shape, &target, &target, &target))
    });
    bodies.into()
}

/// Every shape, framing and size arrives with the target in place of the model and nothing else changed.
async fn rewrites_every_body(gateway: &Gateway, target: &str, sizes: &[usize], trailers: bool) {
    let mut fields = HeaderMap::new();
    fields.insert("x-checksum", HeaderValue::from_static("abc"));
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let client = gateway.client(protocol);
        for (size, (shape, sent, expected)) in sizes.iter().flat_map(|size| {
            bodies(*size, target)
                .into_iter()
                .map(move |body| (size, body))
        }) {
            let whole = RequestSpec::post(sent.clone());
            let pieces = whole
                .clone()
                .chunked(sent.len().div_ceil(7).clamp(1, 30_011));
            let mut with_trailers = pieces.clone();
            with_trailers.trailers = Some(fields.clone());
            let mut specs = vec![("whole", whole), ("chunked", pieces)];
            if trailers {
                specs.push(("with trailers", with_trailers));
            }
            for (framing, spec) in specs {
                let what = format!("{protocol:?} {size} {shape} {framing}");
                let response = client
                    .send(spec)
                    .await
                    .unwrap_or_else(|e| panic!("{what}: {e}"));
                assert_eq!(response.status, 200, "{what}: {}", response.text());
                assert_eq!(response.text(), words(&Value::Null, PUBLIC), "{what}");
                let recorded: Vec<_> = gateway.pods.iter().flat_map(Pod::take_recorded).collect();
                assert_eq!(recorded.len(), 1, "{what}");
                assert_eq!(recorded[0].bytes, expected.len() as u64, "{what}: length");
                assert_eq!(recorded[0].digest, xxh64(expected.as_bytes(), 0), "{what}");
                for length in recorded[0].header("content-length") {
                    assert_eq!(length, expected.len().to_string().as_bytes(), "{what}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_models_bytes_change_in_bodies_of_every_shape() {
    for target in ["t", "a-target/with \"quotes\" and \u{e9}"] {
        let gateway = Gateway::start(
            &[policy("default", vec![rule(PUBLIC, &[(target, 1)])])],
            unchanged,
        )
        .await;
        let sizes = [0, 1_000, 32_768, 65_536, 400_000, 1_048_576];
        rewrites_every_body(&gateway, target, &sizes, true).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pair_of_filters_rewrites_as_well() {
    let policy = policy("default", vec![rule(PUBLIC, &[("a-longer-target", 1)])]);
    let gateway = Gateway::start(&[policy], |config, _| config.pair()).await;
    let sizes = [0, 1_000, 32_768, 400_000, 1_048_576];
    rewrites_every_body(&gateway, "a-longer-target", &sizes, false).await;
    // What the pair would have to hold back is lost when trailers come: refused, not sent without.
    let mut spec = completion(PUBLIC).chunked(10);
    spec.trailers = Some(
        [("x-checksum".parse().unwrap(), HeaderValue::from_static("a"))]
            .into_iter()
            .collect(),
    );
    let response = gateway.client(Protocol::Http2).send(spec).await.unwrap();
    assert_eq!(response.status, 500, "{}", response.text());
    assert!(gateway.asked().is_empty());
    assert_eq!(gateway.count("event=.=not_rewritten").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_carry_the_public_name_wherever_their_chunks_end() {
    let gateway = Gateway::start(
        &[policy("default", vec![rule(PUBLIC, &[("tiny-canary", 1)])])],
        unchanged,
    )
    .await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let client = gateway.client(protocol);
        for stream in [false, true] {
            for piece in [1, 2, 7, 33, 100_000] {
                gateway
                    .pods
                    .iter()
                    .for_each(|pod| pod.answer(Answer::Speak { piece }));
                for _ in 0..3 {
                    let spec = RequestSpec::chat(PUBLIC, "hello", stream);
                    let response = client.send(spec).await.unwrap();
                    let expected = words(&json!({"stream": stream}), PUBLIC);
                    assert_eq!(response.text(), expected, "{protocol:?} by {piece}");
                }
            }
        }
    }
    assert!(gateway.asked().iter().all(|model| model == "tiny-canary"));
}

/// Two clusters behind one listener, chosen by the header that the filter sets; a third route for all
/// others leads to the first.
fn two_pools(config: &mut EnvoyConfig, members: &[SocketAddr]) -> Result<(), RigError> {
    let cluster = config.get(at::MODEL_SERVERS)?.clone();
    let route = config.get(at::ROUTE)?.clone();
    let mut clusters = Vec::new();
    let mut routes = Vec::new();
    for (name, member) in ["a", "b"].into_iter().zip(members) {
        let mut own = cluster.clone();
        own["name"] = json!(name);
        own["load_assignment"] = json!({"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": e2e::rig::config::socket_address(*member)}}]}]});
        clusters.push(own);
        let mut own = route.clone();
        own["cluster"] = json!(name);
        let header = json!({"name": "x-gateway-base-model-name", "string_match": {"exact": format!("base-{name}")}});
        routes.push(json!({"match": {"prefix": "/", "headers": [header]}, "route": own}));
    }
    let mut own = route;
    own["cluster"] = json!("a");
    routes.push(json!({"match": {"prefix": "/"}, "route": own}));
    clusters.push(config.get(at::AGENT)?.clone());
    config.set("/static_resources/clusters", json!(clusters))?;
    config.set(&format!("{}/routes", at::VIRTUAL_HOST), json!(routes))?;
    config.change_plugin(|plugin| {
        let pool = |(name, member): (&str, &SocketAddr)| json!({"name": name, "cluster": name, "members": [member]});
        plugin["pools"] = ["a", "b"].into_iter().zip(members).map(pool).collect();
        plugin["models"] = json!({"route": true, "unknown": "refuse"});
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_chooses_the_pool_behind_one_listener() {
    let of = |pool: &str, models: &[(&str, &str)]| {
        let rules = models
            .iter()
            .map(|(model, target)| rule(model, &[(*target, 1)]));
        let mut parts = policy(pool, rules.collect()).into_parts();
        let base = Some(format!("base-{pool}"));
        parts.models = models
            .iter()
            .map(|(_, target)| ((*target).to_owned(), base.clone()))
            .collect();
        Policy::new(parts).unwrap()
    };
    let policies = [
        of("a", &[("red", "red-1")]),
        of("b", &[("blue", "blue-1"), ("green", "green-1")]),
    ];
    let gateway = Gateway::start(&policies, two_pools).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let client = gateway.client(protocol);
        for round in 0..20 {
            for (model, pod) in [("red", 0), ("blue", 1), ("green", 1)] {
                let size = if round % 2 == 0 { 10 } else { 100_000 };
                let spec = RequestSpec::completion(model, &"x".repeat(size))
                    .header("x-gateway-model-name", "forged")
                    .header("x-gateway-base-model-name", "base-a");
                let response = client.send(spec).await.unwrap();
                assert_eq!(response.status, 200, "{model}: {}", response.text());
                let recorded = gateway.pods[pod].take_recorded();
                assert_eq!(recorded.len(), 1, "{model}");
                assert_eq!(recorded[0].model.as_deref(), Some(&*format!("{model}-1")));
                assert_eq!(
                    recorded[0].header("x-gateway-model-name"),
                    [model.as_bytes()]
                );
                let picked = recorded[0].header("x-gateway-destination-endpoint");
                assert_eq!(picked, [gateway.pods[pod].address().to_string().as_bytes()]);
            }
        }
        let response = client.send(completion("violet")).await.unwrap();
        assert_eq!(response.status, 404, "{}", response.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_models_lists_and_who_served_are_answered_as_configured() {
    let configured = |config: &mut EnvoyConfig, _: &[SocketAddr]| {
        config.change_plugin(|plugin| {
            plugin["models"] = json!({"unknown": "refuse", "list": true});
            plugin["report_served"] = json!(true);
        })
    };
    let gateway = Gateway::start(
        &[policy("default", vec![rule(PUBLIC, &[("t", 1)])])],
        configured,
    )
    .await;
    let client = gateway.client(Protocol::Http1);
    let response = client.send(completion("nobody's")).await.unwrap();
    assert_eq!(response.status, 404);
    let error: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(error["error"]["code"], "model_not_found");
    assert!(
        response
            .header("x-gateway-destination-endpoint-served")
            .is_none()
    );
    let response = client.send(RequestSpec::get("/v1/models")).await.unwrap();
    let list: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(list["data"][0]["id"], PUBLIC, "{list}");
    assert!(gateway.asked().is_empty(), "no pod was asked");
    let response = client.send(completion(PUBLIC)).await.unwrap();
    let served = response.header("x-gateway-destination-endpoint-served");
    assert_eq!(
        served.and_then(|text| text.parse().ok()),
        response.upstream()
    );
    assert!(response.upstream().is_some());
}
