//! The cases that need no simulator, against real vLLM: `make test-vllm`. Ignored otherwise, because
//! vLLM is a download of 0.9 GB and a start of a minute.
//!
//! One test starts the replicas once and tells one story, from the harmless to the fatal.
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
    Agent, AgentConfig, Client, Envoy, Load, LoadReport, Protocol, RequestSpec, base_config,
    eventually, process::Signal, vllm::Replica,
};
use serde_json::{Value, json};
use tokio::time::sleep;

struct Stage {
    agent: Agent,
    envoy: Envoy,
    client: Client,
    members: Vec<SocketAddr>,
}

fn request(model: &str, number: u64, max_tokens: u64) -> RequestSpec {
    let body = json!({"model": model, "prompt": format!("{number}: tell me"), "max_tokens": max_tokens,
                      "ignore_eos": true});
    RequestSpec::post(body.to_string())
}

fn none_failed(report: &LoadReport, what: &str) {
    assert!(
        report.failures().is_empty(),
        "{what}: {:#?}",
        report.failures()
    );
    assert!(
        report.sent() > 10,
        "{what}: only {} were sent",
        report.sent()
    );
}

impl Stage {
    async fn load(&self, seconds: u64) -> tokio::task::JoinHandle<LoadReport> {
        let client = self.client.clone();
        let load = Load {
            rate: 4.0,
            duration: Duration::from_secs(seconds),
        };
        tokio::spawn(async move { client.load(load, |number| request("tiny", number, 8)).await })
    }

    async fn signal(&self, endpoint: SocketAddr, name: &str) -> f64 {
        let page: Value =
            serde_json::from_str(&self.agent.page("/debug/pools").await.unwrap()).unwrap();
        let endpoints = page
            .pointer("/pools/0/endpoints")
            .unwrap()
            .as_array()
            .unwrap();
        let wanted = endpoints
            .iter()
            .find(|each| each["address"] == endpoint.to_string());
        let value = wanted.and_then(|each| each["signals"][name]["value"].as_f64());
        value.unwrap_or(-1.0)
    }

    /// Both replicas answer what they would answer directly, streamed and not.
    async fn serves(&self) {
        let asked: Vec<_> = (0..8)
            .map(|number| {
                let client = self.client.clone();
                tokio::spawn(async move { client.send(request("tiny", number, 4)).await })
            })
            .collect();
        let mut seen = std::collections::BTreeSet::new();
        for answer in asked {
            let response = answer.await.unwrap().unwrap();
            assert_eq!(response.status, 200, "{}", response.text());
            let body: Value = serde_json::from_slice(&response.body).unwrap();
            assert_eq!(body["usage"]["completion_tokens"], 4);
            seen.insert(response.upstream().unwrap());
        }
        assert_eq!(seen.len(), 2, "both replicas share what comes at once");
        let stream = RequestSpec::chat("tiny", "count", true);
        let response = self.client.send(stream).await.unwrap();
        assert_eq!(response.status, 200);
        assert!(
            response.text().ends_with("data: [DONE]\n\n"),
            "{}",
            response.text()
        );
        // What vLLM refuses is refused, and not repeated elsewhere.
        for (spec, status) in [
            (request("nobody", 1, 1), 404),
            (RequestSpec::post("{"), 400),
        ] {
            let response = self.client.send(spec).await.unwrap();
            assert_eq!(response.status, status, "{}", response.text());
            assert_eq!(response.attempts(), 1, "{}", response.text());
        }
    }

    /// A replica that is busy behind Envoy's back is avoided.
    async fn avoids_the_busy_one(&self) {
        let busy = self.members[0];
        let direct = Client::new(busy, Protocol::Http1).with_limit(Duration::from_secs(120));
        let others: Vec<_> = (0..24)
            .map(|number| {
                let direct = direct.clone();
                tokio::spawn(async move { direct.send(request("tiny", number, 400)).await })
            })
            .collect();
        let limit = Duration::from_secs(20);
        eventually("the agent sees the queue", limit, || async {
            self.signal(busy, "waiting").await >= 8.0
        })
        .await
        .unwrap();
        let mut idle = 0;
        for number in 0..10 {
            let response = self
                .client
                .send(request("tiny", 100 + number, 2))
                .await
                .unwrap();
            assert_eq!(response.status, 200);
            idle += u32::from(response.upstream() == Some(self.members[1]));
        }
        let waiting = self.signal(busy, "waiting").await;
        assert!(
            idle >= 9 || waiting < 4.0,
            "{idle} of 10 went to the idle replica"
        );
        others.iter().for_each(tokio::task::JoinHandle::abort);
        eventually("the queue is gone", Duration::from_secs(120), || async {
            self.signal(busy, "running").await == 0.0 && self.signal(busy, "waiting").await == 0.0
        })
        .await
        .unwrap();
    }

    /// An adapter that is active on one replica attracts its requests there.
    async fn keeps_adapters_together(&self) {
        let home = self.members[1];
        let direct = Client::new(home, Protocol::Http1).with_limit(Duration::from_secs(120));
        let long = tokio::spawn(async move { direct.send(request("sql", 1, 400)).await });
        let limit = Duration::from_secs(20);
        eventually("the agent sees the adapter", limit, || async {
            let page = self.agent.page("/debug/pools").await.unwrap();
            let page: Value = serde_json::from_str(&page).unwrap();
            let endpoints = page
                .pointer("/pools/0/endpoints")
                .unwrap()
                .as_array()
                .unwrap();
            endpoints.iter().any(|each| {
                each["address"] == home.to_string()
                    && each["signals"]["lora"].to_string().contains("sql")
            })
        })
        .await
        .unwrap();
        let mut at_home = 0;
        for number in 0..6 {
            let response = self.client.send(request("sql", number, 1)).await.unwrap();
            assert_eq!(response.status, 200, "{}", response.text());
            at_home += u32::from(response.upstream() == Some(home));
        }
        let still_running = !long.is_finished();
        long.abort();
        assert!(
            at_home >= 5 || !still_running,
            "{at_home} of 6 went where sql was active"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs vLLM: make test-vllm"]
async fn real_vllm_from_the_harmless_to_the_fatal() {
    // With a shutdown time-out a replica that got SIGTERM looks idle and answers 500 to everything.
    let mut replicas = Replica::start(2, &["--shutdown-timeout", "20"])
        .await
        .unwrap();
    let members: Vec<SocketAddr> = replicas.iter().map(Replica::address).collect();
    let agent = Agent::start(AgentConfig::new(members.clone()))
        .await
        .unwrap();
    let config = base_config(&members, agent.config().grpc).unwrap();
    let envoy = Envoy::start(config, 2).await.unwrap();
    let client = Client::new(envoy.address(), Protocol::Http1).with_limit(Duration::from_secs(60));
    let mut stage = Stage {
        agent,
        envoy,
        client,
        members,
    };
    let limit = Duration::from_secs(20);
    eventually("the filter picks by signals", limit, || async {
        stage.client.send(request("tiny", 0, 1)).await.ok();
        let picks = stage
            .envoy
            .admin()
            .stats("zerohop_picks_total")
            .await
            .unwrap();
        let mut picks = picks.iter();
        picks.any(|(name, count)| name.ends_with("best_score") && *count > 0)
    })
    .await
    .unwrap();

    stage.serves().await;
    stage.avoids_the_busy_one().await;
    stage.keeps_adapters_together().await;

    let load = stage.load(8).await;
    sleep(Duration::from_secs(2)).await;
    stage.agent.kill();
    none_failed(&load.await.unwrap(), "agent killed");
    stage.agent.restart().await.unwrap();

    // A generation keeps the first replica in its shutdown for a while.
    let direct = Client::new(stage.members[0], Protocol::Http1);
    let long = tokio::spawn(async move { direct.send(request("tiny", 7, 900)).await });
    let load = stage.load(8).await;
    sleep(Duration::from_secs(2)).await;
    replicas[0].process.signal(Signal::Terminate).unwrap();
    let report = load.await.unwrap();
    long.abort();
    none_failed(&report, "replica draining");
    let late = report.per_upstream(Duration::from_secs(5)..);
    assert_eq!(
        late.get(&stage.members[0]),
        None,
        "nobody is served by a draining replica"
    );
    replicas[0].process.kill();

    let mut last = Replica::start(1, &[]).await.unwrap();
    let rest = vec![stage.members[1], last[0].address()];
    drop(stage);
    let agent = Agent::start(AgentConfig::new(rest.clone())).await.unwrap();
    let config = base_config(&rest, agent.config().grpc).unwrap();
    let envoy = Envoy::start(config, 2).await.unwrap();
    let client = Client::new(envoy.address(), Protocol::Http1).with_limit(Duration::from_secs(60));
    let stage = Stage {
        agent,
        envoy,
        client,
        members: rest,
    };
    let load = stage.load(8).await;
    sleep(Duration::from_secs(2)).await;
    last[0].process.kill();
    none_failed(&load.await.unwrap(), "replica killed");
}
