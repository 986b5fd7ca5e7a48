//! The real `zerohop-agent`, as operators run it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::{
    fmt::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use picker::Millis;
use pool_state::{mirror::PoolMirror, proto::agent_message::Message};
use serde_json::Value;
use support::{
    Gateway,
    process::{Behaviour, Folder, Running, Server, agent},
    soon,
};
use tonic::{Code, transport::Channel};

fn testdata(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/agent-config");
    root.join(path).to_str().unwrap().to_owned()
}

fn config(servers: &[&Server], extra: &str) -> String {
    let mut text = format!(
        "listen: {{grpc: \"127.0.0.1:0\", admin: \"127.0.0.1:0\"}}\n{extra}\
         pools:\n  - name: default\n    engine: vllm\n    endpoints:\n"
    );
    for server in servers {
        writeln!(text, "      - address: {}", server.address).unwrap();
    }
    text
}

const POOL: &str = "apiVersion: inference.networking.k8s.io/v1\nkind: InferencePool\n\
    metadata: {name: llama}\n\
    spec: {selector: {matchLabels: {app: llama}}, targetPorts: [{number: 8000}]}\n";

/// Resources with one pool, one endpoint and one model.
fn resources(server: &Server, model: &str) -> String {
    let (ip, port) = (server.address.ip(), server.address.port());
    format!(
        "{POOL}---\napiVersion: zerohop.dev/v1alpha1\nkind: EndpointList\nmetadata: {{name: hosts}}\n\
         spec: {{endpoints: [{{name: gpu-1, address: \"{ip}\", ports: [{port}], labels: {{app: llama}}}}]}}\n\
         ---\napiVersion: inference.networking.x-k8s.io/v1alpha2\nkind: InferenceModel\n\
         metadata: {{name: m}}\nspec: {{modelName: {model}, poolRef: {{name: llama}}}}\n"
    )
}

async fn gateway(agent: &Running, pools: &[&str]) -> Gateway {
    let channel = Channel::from_shared(format!("http://{}", agent.grpc)).unwrap();
    let mut gateway = Gateway::silent(channel.connect().await.unwrap()).await;
    gateway.hello("gw", pools).await;
    gateway
}

async fn take(gateway: &mut Gateway, mirror: &mut PoolMirror) {
    match gateway.news().await.unwrap() {
        Message::Snapshot(snapshot) => mirror.apply_snapshot(snapshot, Millis(100_000)).unwrap(),
        Message::Delta(delta) => mirror.apply_delta(delta, Millis(100_000)).unwrap(),
        other => panic!("{other:?}"),
    };
}

fn queues(mirror: &PoolMirror) -> Vec<f32> {
    let endpoints = mirror.snapshot().unwrap().endpoints.iter();
    endpoints
        .filter_map(|endpoint| Some(endpoint.signals.waiting?.value))
        .collect()
}

#[test]
fn check_says_good_or_names_every_mistake() {
    let good = agent(&["check", &testdata("good/everything.yaml")]);
    assert_eq!(good.status.code(), Some(0));
    let said = String::from_utf8(good.stdout).unwrap();
    assert!(
        said.ends_with("everything.yaml: good, 3 pools with 7 endpoints\n"),
        "{said}"
    );
    assert!(good.stderr.is_empty());
    let smallest = agent(&["check", &testdata("good/smallest.yaml")]);
    let said = String::from_utf8(smallest.stdout).unwrap();
    assert!(said.ends_with(": good, 1 pool with 1 endpoint\n"), "{said}");

    let file = testdata("bad/unknown-fields.yaml");
    let bad = agent(&["check", &file]);
    assert_eq!(bad.status.code(), Some(1));
    let said = String::from_utf8(bad.stderr).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 7, "{said}");
    assert!(
        lines[0].starts_with(&format!("{file}:1:10: listen.grcp: unknown field")),
        "{said}"
    );
    assert!(
        lines[6].contains(":9:9: pools[0].endpoints[0].address: required"),
        "{said}"
    );

    let missing = agent(&["check", "no-such-file.yaml"]);
    assert_eq!(missing.status.code(), Some(1));
    let said = String::from_utf8(missing.stderr).unwrap();
    assert!(
        said.starts_with("no-such-file.yaml: cannot read the file"),
        "{said}"
    );
}

#[test]
fn wrong_usage_exits_with_2_and_a_bad_start_with_1() {
    for args in [
        &["chek"][..],
        &["run"],
        &["check"],
        &["run", "--config", "a", "--threads", "0"],
    ] {
        assert_eq!(agent(args).status.code(), Some(2), "{args:?}");
    }
    let bad = agent(&["run", "--config", &testdata("bad/weights.yaml")]);
    assert_eq!(bad.status.code(), Some(1));
    let said = String::from_utf8(bad.stderr).unwrap();
    assert_eq!(
        said.matches("weight: expected a number").count(),
        4,
        "{said}"
    );

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = Folder::new();
    let address = taken.local_addr().unwrap();
    let file = folder.write(
        "a.yaml",
        &format!("listen: {{grpc: \"{address}\"}}\npools: [{{name: a}}]\n"),
    );
    let bad = agent(&["run", "--config", file.to_str().unwrap()]);
    assert_eq!(bad.status.code(), Some(1));
    let said = String::from_utf8(bad.stderr).unwrap();
    assert!(
        said.contains(&format!("cannot listen on {address} (listen.grpc)")),
        "{said}"
    );
}

#[tokio::test]
async fn what_a_pod_says_reaches_the_gateway_and_the_people() {
    let (one, two) = (
        Server::start(Behaviour::Queue(3)).await,
        Server::start(Behaviour::Queue(4)).await,
    );
    let folder = Folder::new();
    let file = folder.write(
        "a.yaml",
        &config(&[&one, &two], "scrape: {interval: 50ms}\n"),
    );
    let agent = Running::start(&file);
    agent.until("/readyz", |status, _| status == 200).await;
    let (mut gateway, mut mirror) = (
        gateway(&agent, &["default"]).await,
        PoolMirror::new("default"),
    );
    take(&mut gateway, &mut mirror).await;
    let mut seen = queues(&mirror);
    seen.sort_by(f32::total_cmp);
    assert_eq!(seen, [3.0, 4.0]);

    let changed = Instant::now();
    one.behave(Behaviour::Queue(77));
    soon("the new queue", async {
        while !queues(&mirror).contains(&77.0) {
            take(&mut gateway, &mut mirror).await;
        }
    })
    .await;
    assert!(
        changed.elapsed() < Duration::from_millis(500),
        "{:?}",
        changed.elapsed()
    );

    let page: Value = serde_json::from_str(&agent.get("/debug/pools").await.1).unwrap();
    let endpoints = page["pools"][0]["endpoints"].as_array().unwrap();
    assert!(
        endpoints
            .iter()
            .all(|endpoint| endpoint["health"] == "ready"),
        "{page:#}"
    );
    let (_, metrics) = agent.get("/metrics").await;
    assert!(metrics.contains("zerohop_agent_gateways 1"), "{metrics}");
    assert!(metrics.contains("zerohop_agent_endpoints{pool=\"default\",health=\"ready\"} 2"));

    // A pod that hangs is suspect within a second, with its last numbers and their growing age.
    two.behave(Behaviour::Hang);
    let hung = Instant::now();
    let body = agent
        .until("/debug/pools", |_, body| body.contains("suspect"))
        .await;
    assert!(
        hung.elapsed() < Duration::from_millis(1_000),
        "{:?}",
        hung.elapsed()
    );
    let page: Value = serde_json::from_str(&body).unwrap();
    let suspect = page["pools"][0]["endpoints"].as_array().unwrap().iter();
    let suspect = suspect.clone().find(|e| e["health"] == "suspect").unwrap();
    assert_eq!(suspect["signals"]["waiting"]["value"], 4.0);
    assert!(
        suspect["signals"]["waiting"]["age_ms"].as_u64().unwrap() >= 500,
        "{page:#}"
    );
}

#[tokio::test]
async fn sigterm_ends_streams_cleanly_within_two_seconds() {
    for signal in ["-TERM", "-INT"] {
        let server = Server::start(Behaviour::Queue(1)).await;
        let folder = Folder::new();
        let mut agent = Running::start(&folder.write("a.yaml", &config(&[&server], "")));
        agent.until("/readyz", |status, _| status == 200).await;
        let mut gateway = gateway(&agent, &["default"]).await;
        assert!(matches!(
            gateway.news().await.unwrap(),
            Message::Snapshot(_)
        ));
        let started = Instant::now();
        agent.signal(signal);
        let status = gateway.ending().await;
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        // The gateway keeps its connection, and a client that says nothing keeps one too.
        let ended =
            tokio::task::spawn_blocking(move || (agent.ended(Duration::from_secs(5)), agent));
        let (status, agent) = ended.await.unwrap();
        assert_eq!(status.and_then(|status| status.code()), Some(0), "{signal}");
        assert!(
            started.elapsed() < Duration::from_secs(2),
            "{:?}",
            started.elapsed()
        );
        let log = agent.log();
        let last = log.last().map(|line| line["fields"]["message"].clone());
        assert_eq!(last, Some("zerohop-agent has stopped".into()), "{log:#?}");
    }
}

#[tokio::test]
async fn the_file_is_reloaded_and_a_bad_update_keeps_the_old_one() {
    let (one, two) = (
        Server::start(Behaviour::Queue(1)).await,
        Server::start(Behaviour::Queue(2)).await,
    );
    let folder = Folder::new();
    let agent = Running::start(&folder.write("a.yaml", &config(&[&one], "")));
    let (mut gateway, mut mirror) = (
        gateway(&agent, &["default"]).await,
        PoolMirror::new("default"),
    );
    take(&mut gateway, &mut mirror).await;
    assert_eq!(queues(&mirror), [1.0]);

    let before = one.asked();
    folder.write("a.yaml", &config(&[&one, &two], ""));
    soon("the second pod", async {
        while queues(&mirror).len() < 2 {
            take(&mut gateway, &mut mirror).await;
        }
    })
    .await;
    assert!(one.asked() > before, "the first pod was scraped on");

    folder.write("a.yaml", "pools: [{nam: default}]\n");
    let body = agent
        .until("/debug/pools", |_, body| body.contains("unknown field"))
        .await;
    let page: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        page["config"]["mistakes"].as_array().unwrap().len(),
        2,
        "{page:#}"
    );
    assert_eq!(page["pools"][0]["endpoints"].as_array().unwrap().len(), 2);
    assert_eq!(agent.get("/readyz").await.0, 503);
    let (_, metrics) = agent.get("/metrics").await;
    assert!(metrics.contains("zerohop_agent_config_good 0"), "{metrics}");
    assert!(metrics.contains("zerohop_agent_config_reloads_total{result=\"refused\"} 1"));

    let moved = config(&[&two], "").replace("127.0.0.1:0", "127.0.0.1:1");
    folder.write(
        "a.yaml",
        &moved.replacen("grpc: \"127.0.0.1:1\"", "grpc: \"127.0.0.1:2\"", 1),
    );
    let body = agent
        .until("/debug/pools", |_, body| body.contains("after a restart"))
        .await;
    let page: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        page["config"]["needs_restart"][0],
        "listen: takes effect after a restart"
    );
    soon("the first pod's end", async {
        while queues(&mirror) != [2.0] {
            take(&mut gateway, &mut mirror).await;
        }
    })
    .await;
    agent.until("/readyz", |status, _| status == 200).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let asked = one.asked();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(one.asked(), asked, "a pod that went is scraped no more");
    let (_, metrics) = agent.get("/metrics").await;
    assert!(!metrics.contains(&one.address.to_string()), "{metrics}");
}

#[tokio::test]
async fn hanging_pods_delay_no_others() {
    let mut hanging = Vec::new();
    for _ in 0..40 {
        hanging.push(Server::start(Behaviour::Hang).await);
    }
    let mut honest = Vec::new();
    for _ in 0..5 {
        honest.push(Server::start(Behaviour::Queue(1)).await);
    }
    let servers: Vec<&Server> = hanging.iter().chain(&honest).collect();
    let folder = Folder::new();
    let scrape =
        "scrape: {interval: 100ms, standby_interval: 100ms, timeout: 1s, concurrency: 8}\n";
    let agent = Running::start(&folder.write("a.yaml", &config(&servers, scrape)));
    // In the first round nobody knows who will hang.
    let first = Instant::now();
    while !honest.iter().all(|server| server.asked() > 0) {
        assert!(
            first.elapsed() < Duration::from_secs(2),
            "the first round takes too long"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before: Vec<u64> = honest.iter().map(Server::asked).collect();
    tokio::time::sleep(Duration::from_secs(3)).await;
    for (server, before) in honest.iter().zip(before) {
        let scrapes = server.asked() - before;
        assert!(
            (20..=36).contains(&scrapes),
            "{scrapes} scrapes in 3 s of one every 100 ms"
        );
    }
    assert_eq!(agent.get("/readyz").await.0, 200);
}

#[tokio::test]
async fn a_pod_in_several_pools_and_seen_by_several_gateways_is_scraped_once() {
    let server = Server::start(Behaviour::Queue(1)).await;
    let folder = Folder::new();
    let text = config(&[&server], "scrape: {interval: 100ms}\n")
        + &format!(
            "  - {{name: other, engine: vllm, endpoints: [{{address: \"{}\"}}]}}\n",
            server.address
        );
    let agent = Running::start(&folder.write("a.yaml", &text));
    let mut gateways = Vec::new();
    for _ in 0..3 {
        let mut gateway = gateway(&agent, &["default", "other"]).await;
        gateway.news().await.unwrap();
        gateways.push(gateway);
    }
    let before = server.asked();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let scrapes = server.asked() - before;
    assert!(
        (15..=24).contains(&scrapes),
        "{scrapes} scrapes in 2 s of one every 100 ms"
    );
}

#[tokio::test]
async fn an_agent_that_no_gateway_follows_scrapes_less_and_at_once_when_one_comes() {
    let server = Server::start(Behaviour::Queue(1)).await;
    let folder = Folder::new();
    let scrape = "scrape: {interval: 100ms, standby_interval: 2s}\n";
    let agent = Running::start(&folder.write("a.yaml", &config(&[&server], scrape)));
    agent.until("/readyz", |status, _| status == 200).await;
    let within_two_seconds = || async {
        let before = server.asked();
        tokio::time::sleep(Duration::from_secs(2)).await;
        server.asked() - before
    };
    let alone = within_two_seconds().await;
    assert!(alone <= 4, "{alone} scrapes in 2 s of one every 2 s");

    let mut gateway = gateway(&agent, &["default"]).await;
    gateway.news().await.unwrap();
    let followed = within_two_seconds().await;
    assert!(
        (12..=24).contains(&followed),
        "{followed} scrapes in 2 s of one every 100 ms"
    );

    drop(gateway);
    agent
        .until("/metrics", |_, page| {
            page.contains("zerohop_agent_gateways 0")
        })
        .await;
    let left = within_two_seconds().await;
    assert!(left <= 4, "{left} scrapes in 2 s of one every 2 s");
}

#[tokio::test]
async fn logs_hold_no_text_of_pods_and_do_not_repeat_themselves() {
    let folder = Folder::new();
    let dead = "listen: {grpc: \"127.0.0.1:0\", admin: \"127.0.0.1:0\"}\nscrape: {interval: 50ms, standby_interval: 50ms}\n\
                pools: [{name: a, endpoints: [{address: \"127.0.0.1:1\"}]}]\n";
    let agent = Running::start(&folder.write("a.yaml", dead));
    agent
        .until("/debug/pools", |_, body| body.contains("refused"))
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let log = agent.log();
    let trouble = log
        .iter()
        .filter(|line| line["fields"]["message"] == "endpoint is in trouble");
    assert_eq!(trouble.count(), 1, "twenty failures, one line: {log:#?}");
}

#[tokio::test]
async fn resources_become_pools_and_policies_and_a_broken_file_changes_nothing() {
    let server = Server::start(Behaviour::Queue(3)).await;
    let folder = Folder::new();
    std::fs::create_dir(folder.path("r")).unwrap();
    folder.write("r/all.yaml", &resources(&server, "first"));
    let text = format!(
        "listen: {{grpc: \"127.0.0.1:0\", admin: \"127.0.0.1:0\"}}\nresources: {}\n",
        folder.path("r").display()
    );
    let agent = Running::start(&folder.write("agent.yaml", &text));
    let mut gateway = gateway(&agent, &["default/llama"]).await;

    let policy = |message: Message| match message {
        Message::Policy(policy) => pool_state::convert::policy_from_proto(&policy).unwrap(),
        other => panic!("the policy comes first, got {other:?}"),
    };
    let first = policy(gateway.news().await.unwrap());
    assert!(first.serves("first") && !first.fail_open());
    let mut mirror = PoolMirror::new("default/llama");
    take(&mut gateway, &mut mirror).await;
    assert_eq!(mirror.snapshot().unwrap().endpoints.len(), 1);

    // A broken file leaves the last good resources in force, and says so everywhere.
    folder.write("r/all.yaml", &POOL.replace("targetPorts", "targetPort"));
    let told = |_, page: &str| {
        let page: Value = serde_json::from_str(page).unwrap_or_default();
        let mistakes = page["resources"]["mistakes"].as_array();
        mistakes.is_some_and(|mistakes| mistakes.len() == 2)
    };
    agent.until("/debug/pools", told).await;
    let (status, _) = agent.get("/readyz").await;
    assert_eq!(status, 503);
    let (_, metrics) = agent.get("/metrics").await;
    assert!(
        metrics.contains("zerohop_agent_resource_mistakes 2"),
        "{metrics}"
    );

    folder.write("r/all.yaml", &resources(&server, "second"));
    let second = loop {
        match gateway.news().await.unwrap() {
            Message::Policy(sent) => break policy(Message::Policy(sent)),
            Message::Delta(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(second.serves("second") && !second.serves("first"));
}

#[test]
fn check_explains_every_mistake_in_resources() {
    let folder = Folder::new();
    let config = folder.write("agent.yaml", "listen: {}\n");
    let (config, directory) = (config.to_str().unwrap().to_owned(), folder.path("r"));
    std::fs::create_dir(&directory).unwrap();
    let directory = directory.to_str().unwrap();
    let nothing = agent(&["check", &config]);
    assert_eq!(nothing.status.code(), Some(1), "no pools at all");
    folder.write("r/a.yaml", POOL);
    let good = agent(&["check", &config, "--resources", directory]);
    let said = String::from_utf8(good.stdout).unwrap();
    assert!(
        said.ends_with(": good, 1 pool with 0 endpoints\n"),
        "{said}"
    );
    folder.write(
        "r/b.yaml",
        &POOL
            .replace("8000", "0")
            .replace("llama}}", "llama}, matchNames: {}}"),
    );
    let bad = agent(&["check", &config, "--resources", directory]);
    assert_eq!(bad.status.code(), Some(1));
    let said = String::from_utf8(bad.stderr).unwrap();
    assert!(
        said.contains(
            "b.yaml: document 1: InferencePool default/llama: spec.targetPorts[0].number: "
        ),
        "{said}"
    );
    assert!(
        said.contains("spec.selector.matchNames: is not a field here"),
        "{said}"
    );
}
