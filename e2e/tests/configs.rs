//! Every file in `envoy-config/` is accepted by real Envoy and works; every bad configuration is
//! refused with a message that names every mistake; a bad live update changes nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

#[path = "configs/bad.rs"]
mod bad;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use e2e::rig::{
    Client, Envoy, EnvoyConfig, FakeAgent, Load, Pod, Protocol, RequestSpec, artifacts,
    base_config,
    config::{UPSTREAM_HEADER, at},
    envoy::validate,
    eventually, istio,
    scratch::Scratch,
};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(4);

fn folder(name: &str) -> PathBuf {
    artifacts::repository().join("envoy-config").join(name)
}

fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| {
            if path.is_dir() {
                yaml_files(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    files.sort();
    files
}

/// Calls `look` with every string in a value.
fn strings(value: &Value, look: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => look(text),
        Value::Array(list) => list.iter().for_each(|each| strings(each, look)),
        Value::Object(fields) => fields.values().for_each(|each| strings(each, look)),
        _ => {}
    }
}

#[test]
fn no_file_lets_a_client_choose_the_destination() {
    let files = yaml_files(&folder(""));
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        for document in istio::documents(&file).unwrap() {
            strings(&document, &mut |text| {
                for forbidden in ["ORIGINAL_DST", "FAIL_OPEN", "FAIL_CLOSE", "FAIL_CLOSED"] {
                    assert_ne!(text, forbidden, "{}", file.display());
                }
            });
        }
    }
}

#[test]
fn every_file_is_covered_here() {
    let covered = [
        "local/envoy.yaml",
        // Both run in tests/eds.rs.
        "file/cluster.yaml",
        "file/endpoints.yaml",
        "istio/wasmplugin.yaml",
        "istio/envoyfilter.yaml",
        "istio/cluster.yaml",
        "istio/inferencepool.yaml",
        // Only names who picks: tests/istio/pool.rs.
        "istio/pool.yaml",
        // tests/tracing.rs.
        "tracing/tracing.yaml",
        "envoy-gateway/gateway.yaml",
        "envoy-gateway/filter.yaml",
    ];
    for file in yaml_files(&folder("")) {
        assert!(
            covered.iter().any(|name| file.ends_with(name)),
            "{} has no test in this file",
            file.display()
        );
    }
}

#[test]
fn the_local_file_is_accepted_as_it_stands() {
    let mut config = EnvoyConfig::shipped().unwrap();
    // Only the module may lie elsewhere, when cargo builds elsewhere.
    config.wasm(&artifacts::filter_wasm().unwrap()).unwrap();
    validate(&config).unwrap_or_else(|output| panic!("{output}"));
}

/// Two pods, an agent that says the first is busy, and Envoy in between: requests go to the second.
async fn routes_around_a_busy_pod(mut config: EnvoyConfig, header_reaches_pods: bool) {
    let pods = [Pod::start().await.unwrap(), Pod::start().await.unwrap()];
    let members = pods.each_ref().map(Pod::address);
    let agent = FakeAgent::start(1).await.unwrap();
    agent.see(&[(members[0], 60.0), (members[1], 0.0)]);
    let endpoints = |addresses: &[SocketAddr]| {
        let each = addresses.iter().map(
            |address| json!({"endpoint": {"address": e2e::rig::config::socket_address(*address)}}),
        );
        json!([{"lb_endpoints": each.collect::<Vec<_>>()}])
    };
    for (cluster, addresses) in [
        (at::MODEL_SERVERS, members.as_slice()),
        (at::AGENT, &[agent.address()]),
    ] {
        let place = format!("{cluster}/load_assignment/endpoints");
        config.set(&place, endpoints(addresses)).unwrap();
    }
    config.show_upstream().unwrap();
    allow_loopback(&mut config);
    let envoy = Envoy::start(config, 2).await.unwrap();
    let picked = eventually("the idle pod is picked", SOON, || async {
        for number in 0..12 {
            let client = Client::new(envoy.address(), Protocol::Http1);
            // Longer than the 32 KiB buffers of Istio's gateways.
            let prompt = format!("{number} {}", "x".repeat(number * 9_000));
            let spec = RequestSpec::completion("tiny", &prompt);
            let response = client.send(spec).await.unwrap();
            assert_eq!(response.status, 200, "{}", response.text());
            let upstream = response.header(UPSTREAM_HEADER).unwrap();
            if upstream != members[1].to_string() {
                return false;
            }
        }
        true
    })
    .await;
    picked.unwrap_or_else(|error| panic!("{error}\n{}", envoy.process().failure("runs")));
    let seen = pods[1].take_recorded();
    let with_header = seen
        .iter()
        .filter(|request| !request.header("x-gateway-destination-endpoint").is_empty())
        .count();
    assert_eq!(
        with_header > 0,
        header_reaches_pods,
        "{with_header} of {}",
        seen.len()
    );
}

/// The examples name a real pod network; the tests' pods live on loopback, in the fake agent's pool.
fn allow_loopback(config: &mut EnvoyConfig) {
    let mut filters = config.get(at::HTTP_FILTERS).unwrap().clone();
    let mut changed = 0;
    for filter in filters.as_array_mut().unwrap() {
        let Some(value) = filter.pointer_mut("/typed_config/config/configuration/value") else {
            continue;
        };
        let mut plugin: Value = serde_json::from_str(value.as_str().unwrap()).unwrap();
        if plugin.get("pools").is_some() {
            plugin["allowed_cidrs"] = json!(["127.0.0.0/8"]);
            // Pools of a cluster have their namespace in the name.
            plugin["pools"][0]["name"] = json!("default");
            changed += 1;
        }
        *value = json!(plugin.to_string());
    }
    assert_eq!(changed, 1, "filters with pools");
    config.set(at::HTTP_FILTERS, filters).unwrap();
}

fn istio_config(files: &[&str]) -> EnvoyConfig {
    let wasm = artifacts::filter_wasm().unwrap();
    let mut config = istio::gateway().unwrap();
    for file in files {
        let documents = istio::documents(&folder("istio").join(file)).unwrap();
        istio::apply(&mut config, &documents, &wasm).unwrap();
    }
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wasmplugin_pair_works() {
    let config = istio_config(&["wasmplugin.yaml", "cluster.yaml"]);
    let filters = config
        .get(at::HTTP_FILTERS)
        .unwrap()
        .as_array()
        .unwrap()
        .clone();
    let names: Vec<_> = filters
        .iter()
        .map(|filter| filter["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "inference.zerohop-first",
            "inference.zerohop-second",
            "envoy.filters.http.router"
        ]
    );
    validate(&config).unwrap_or_else(|output| panic!("{output}"));
    routes_around_a_busy_pod(config, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_envoyfilter_works() {
    let config = istio_config(&["envoyfilter.yaml", "cluster.yaml"]);
    validate(&config).unwrap_or_else(|output| panic!("{output}"));
    routes_around_a_busy_pod(config, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_inferencepool_file_works() {
    let mut config = istio::gateway().unwrap();
    // What Istio makes of an InferencePool: the policy reads metadata, and ext_proc asks a picker.
    let key = "x-gateway-destination-endpoint";
    let round_robin = json!({"policies": [{"typed_extension_config": {
        "name": "envoy.load_balancing_policies.round_robin",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin"}}}]});
    let policy = json!({"policies": [{"typed_extension_config": {
    "name": "envoy.load_balancing_policies.override_host",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost",
        "override_host_sources": [{"metadata": {"key": "envoy.lb", "path": [{"key": key}]}}],
        "selected_host_key": {"key": "envoy.lb", "path": [{"key": "x-gateway-destination-endpoint-served"}]},
        "fallback_policy": round_robin,
    }}}]});
    config
        .set(
            &format!("{}/load_balancing_policy", at::MODEL_SERVERS),
            policy,
        )
        .unwrap();
    let router = config
        .get(&format!("{}/0", at::HTTP_FILTERS))
        .unwrap()
        .clone();
    let ext_proc = json!({"name": "envoy.filters.http.ext_proc", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
        "grpc_service": {"envoy_grpc": {"cluster_name": istio::AGENT_CLUSTER}},
        "processing_mode": {"request_body_mode": "FULL_DUPLEX_STREAMED", "request_trailer_mode": "SEND"}}});
    config
        .set(at::HTTP_FILTERS, json!([ext_proc, router]))
        .unwrap();
    let wasm = artifacts::filter_wasm().unwrap();
    for file in ["envoyfilter.yaml", "inferencepool.yaml"] {
        let documents = istio::documents(&folder("istio").join(file)).unwrap();
        istio::apply(&mut config, &documents, &wasm).unwrap();
    }
    // The rest of what cluster.yaml would say: the body limit.
    let place = format!("{}/request_body_buffer_limit", at::VIRTUAL_HOST);
    config.set(&place, json!(4_194_304)).unwrap();
    validate(&config).unwrap_or_else(|output| panic!("{output}"));
    routes_around_a_busy_pod(config, false).await;
}

/// What Envoy Gateway makes of the two files, so far as they say it: the patches applied, and
/// `endpointOverride` as the policy that it stands for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_envoy_gateway_files_work() {
    let read = |file: &str| istio::documents(&folder("envoy-gateway").join(file)).unwrap();
    let patches = read("filter.yaml").remove(0)["spec"]["jsonPatches"].take();
    let value = |index: usize| patches[index]["operation"]["value"].clone();
    let mut config = istio::gateway().unwrap();
    config.set(at::AGENT, value(0)).unwrap();
    // The fake agent is at a loopback address, not at a name.
    config
        .set(&format!("{}/type", at::AGENT), json!("STATIC"))
        .unwrap();
    let mut filters = config.get(at::HTTP_FILTERS).unwrap().clone();
    let router = "..http_filters[?(@.name=='envoy.filters.http.router')]";
    assert_eq!(patches[1]["operation"]["jsonPath"], router);
    filters.as_array_mut().unwrap().insert(0, value(1));
    config.set(at::HTTP_FILTERS, filters).unwrap();
    let mut config = with_local_wasm(config);

    let traffic = read("gateway.yaml").remove(2);
    let balancer = &traffic["spec"]["loadBalancer"];
    let header = &balancer["endpointOverride"]["extractFrom"][0]["header"];
    let fallback = match balancer["type"].as_str().unwrap() {
        "RoundRobin" => "round_robin.v3.RoundRobin",
        other => panic!("the test does not know {other}"),
    };
    let policies = "type.googleapis.com/envoy.extensions.load_balancing_policies";
    let policy = |name: &str, typed: Value| json!({"policies": [{"typed_extension_config": {"name": name, "typed_config": typed}}]});
    let fallback = policy(
        "fallback",
        json!({"@type": format!("{policies}.{fallback}")}),
    );
    let chosen = json!({
        "@type": format!("{policies}.override_host.v3.OverrideHost"),
        "override_host_sources": [{"header": header}], "fallback_policy": fallback,
    });
    let place = format!("{}/load_balancing_policy", at::MODEL_SERVERS);
    config.set(&place, policy("chosen", chosen)).unwrap();
    let limit = read("gateway.yaml").remove(3)["spec"]["connection"]["bufferLimit"].take();
    assert_eq!(limit, "4Mi");
    config
        .set(
            &format!("{}/per_connection_buffer_limit_bytes", at::LISTENER),
            json!(4 << 20),
        )
        .unwrap();
    routes_around_a_busy_pod(config, true).await;
}

/// The module where it was built, in place of where the pod has it.
fn with_local_wasm(mut config: EnvoyConfig) -> EnvoyConfig {
    config.wasm(&artifacts::filter_wasm().unwrap()).unwrap();
    config
}

#[test]
fn envoy_does_not_start_with_a_bad_configuration() {
    let members: [SocketAddr; 1] = ["127.0.0.1:8000".parse().unwrap()];
    let mut config = base_config(&members, "127.0.0.1:9002".parse().unwrap()).unwrap();
    validate(&config).unwrap_or_else(|output| panic!("{output}"));
    config
        .change_plugin(|plugin| plugin["body"] = json!({"cap_bytes": 0, "capp": 1}))
        .unwrap();
    let output = validate(&config).expect_err("cap_bytes 0 must be refused");
    for mistake in ["body.cap_bytes", "body.capp"] {
        assert!(output.contains(mistake), "{mistake} is not in {output}");
    }
}

/// An Envoy whose filter comes from a file that it watches.
struct Watched {
    envoy: Envoy,
    files: Scratch,
    base: EnvoyConfig,
    version: u32,
}

impl Watched {
    async fn start(base: EnvoyConfig) -> Self {
        let files = Scratch::new().unwrap();
        let mut config = base.clone();
        let content = config
            .discover_filter(&files.path().join("ecds.json"))
            .unwrap();
        files.write("ecds.json", &content).unwrap();
        let envoy = Envoy::start(config, 2).await.unwrap();
        Self {
            envoy,
            files,
            base,
            version: 1,
        }
    }

    /// Delivers another plugin configuration, whatever it is.
    fn deliver(&mut self, plugin: &str) {
        self.version += 1;
        let mut update = self.base.clone();
        update.set_plugin(plugin).unwrap();
        let content = update.discovered(&self.version.to_string()).unwrap();
        self.files.write("ecds.json", &content).unwrap();
    }

    async fn refusals(&self) -> u64 {
        let name = "extension_config_discovery.http_filter.zerohop.config_fail";
        self.envoy.admin().stat(name).await.unwrap()
    }

    /// Delivers a configuration that must be refused; what Envoy logged about it.
    async fn refused(&mut self, plugin: &str) -> Result<String, String> {
        let refusals = self.refusals().await;
        let logged = self.envoy.process().log().len();
        self.deliver(plugin);
        eventually("the update is refused", SOON, || async {
            self.refusals().await > refusals
        })
        .await
        .map_err(|error| error.to_string())?;
        Ok(self.envoy.process().log().split_off(logged))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_bad_configurations_are_refused_and_every_mistake_is_named() {
    let cases = bad::cases();
    assert!(cases.len() >= 40, "only {} cases", cases.len());
    let members: [SocketAddr; 1] = ["127.0.0.1:8000".parse().unwrap()];
    let base = base_config(&members, "127.0.0.1:9002".parse().unwrap()).unwrap();
    let mut watched = Watched::start(base).await;
    let mut wrong = Vec::new();
    for (text, mistakes) in cases {
        match watched.refused(&text).await {
            Err(error) => wrong.push(format!("{text}: {error}")),
            Ok(logged) => {
                for mistake in mistakes
                    .iter()
                    .filter(|mistake| !logged.contains(**mistake))
                {
                    wrong.push(format!("{text}: {mistake:?} is not in {logged}"));
                }
                assert!(!logged.contains("panicked"), "{text}: {logged}");
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_live_update_changes_nothing_and_a_good_one_loses_nothing() {
    let pods = [Pod::start().await.unwrap(), Pod::start().await.unwrap()];
    let members = pods.each_ref().map(Pod::address);
    let agent = FakeAgent::start(1).await.unwrap();
    agent.see(&[(members[0], 60.0), (members[1], 0.0)]);
    let scored = base_config(&members, agent.address()).unwrap();
    let mut watched = Watched::start(scored.clone()).await;
    let address = watched.envoy.address();
    let client = Client::new(address, Protocol::Http1);
    let idle_share = || async {
        let mut idle = 0;
        for number in 0..20 {
            let client = Client::new(address, Protocol::Http1);
            let spec = RequestSpec::completion("tiny", &format!("{number}"));
            let response = client.send(spec).await.unwrap();
            idle += i32::from(response.upstream() == Some(members[1]));
        }
        idle
    };
    eventually("the idle pod is picked", SOON, || async {
        idle_share().await == 20
    })
    .await
    .unwrap();

    let load_client = client.clone();
    let load = tokio::spawn(async move {
        let load = Load {
            rate: 100.0,
            duration: Duration::from_secs(8),
        };
        let make = |number| RequestSpec::completion("tiny", &format!("question {number}"));
        load_client.load(load, make).await
    });
    for text in [
        r#"{"mode":"sideways"}"#,
        "{",
        "",
        r#"{"pools":[],"agent":7,"body":{"cap_bytes":-1}}"#,
    ] {
        watched
            .refused(text)
            .await
            .unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(
            idle_share().await,
            20,
            "the old configuration goes on after {text:?}"
        );
    }
    let mut round_robin = scored.plugin().unwrap();
    round_robin["picker"] = json!({"policy": "round_robin"});
    watched.deliver(&round_robin.to_string());
    eventually("the good update is used", SOON, || async {
        let idle = idle_share().await;
        (5..=15).contains(&idle)
    })
    .await
    .unwrap();
    watched.deliver(&scored.plugin().unwrap().to_string());
    eventually("the first configuration is back", SOON, || async {
        idle_share().await == 20
    })
    .await
    .unwrap();
    let report = load.await.unwrap();
    assert!(report.failures().is_empty(), "{:#?}", report.failures());
}
