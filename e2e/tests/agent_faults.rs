//! Whatever happens to the agent, no request fails, and the picks are sensible again within 2 s of
//! its return.
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
    Client, Envoy, FakeAgent, Load, LoadReport, Manner, Pod, Protocol, RequestSpec, Rig,
    RigOptions, base_config, eventually, fake_agent,
};
use pool_state::proto;
use tokio::time::{Instant, sleep};

const RATE: f64 = 200.0;
/// After its return the agent has this long until the picks must be sensible again.
const SENSIBLE_AGAIN: Duration = Duration::from_secs(2);

fn load(client: &Client, seconds: u64) -> tokio::task::JoinHandle<LoadReport> {
    let client = client.clone();
    tokio::spawn(async move {
        let load = Load {
            rate: RATE,
            duration: Duration::from_secs(seconds),
        };
        client
            .load(load, |number| {
                RequestSpec::completion("tiny", &format!("question {number}"))
            })
            .await
    })
}

fn none_failed(report: &LoadReport, at_least: usize) {
    assert!(
        report.sent() >= at_least,
        "only {} requests were sent",
        report.sent()
    );
    let failures = report.failures();
    assert!(
        failures.is_empty(),
        "{} of {} failed: {:#?}",
        failures.len(),
        report.sent(),
        &failures[..failures.len().min(10)]
    );
}

/// Makes one pod look busy and waits until nobody picks it any more: only signals tell that.
async fn avoids_busy(rig: &Rig, busy: usize) -> Duration {
    for (index, pod) in rig.pods.iter().enumerate() {
        pod.metrics(|metrics| metrics.waiting = if index == busy { 60.0 } else { 0.0 });
    }
    avoids(&rig.client, rig.pods[busy].address()).await
}

async fn avoids(client: &Client, busy: SocketAddr) -> Duration {
    let start = Instant::now();
    eventually(
        "the busy pod is avoided",
        Duration::from_secs(6),
        || async {
            for number in 0..12 {
                let spec = RequestSpec::completion("tiny", &format!("probe {number}"));
                let response = client.send(spec).await.unwrap();
                if response.upstream() == Some(busy) {
                    return false;
                }
            }
            true
        },
    )
    .await
    .unwrap();
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_started_again() {
    let mut rig = Rig::start(RigOptions::default()).await.unwrap();
    avoids_busy(&rig, 0).await;
    let load = load(&rig.client, 12);
    sleep(Duration::from_secs(1)).await;
    rig.agent.as_mut().unwrap().kill();
    // Past the point where the signals have expired.
    sleep(Duration::from_secs(6)).await;
    let stats = rig.envoy.admin().stats("zerohop_snapshot_age_ms").await;
    let age = stats.unwrap().values().copied().max();
    assert!(age >= Some(5_000), "the gauge stands still: {age:?}");
    rig.agent.as_mut().unwrap().restart().await.unwrap();
    let took = avoids_busy(&rig, 1).await;
    assert!(took <= SENSIBLE_AGAIN, "it took {took:?} after the restart");
    none_failed(&load.await.unwrap(), 2_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_and_thawed() {
    let rig = Rig::start(RigOptions::default()).await.unwrap();
    avoids_busy(&rig, 0).await;
    let load = load(&rig.client, 12);
    sleep(Duration::from_secs(1)).await;
    rig.agent.as_ref().unwrap().freeze().unwrap();
    sleep(Duration::from_secs(6)).await;
    rig.agent.as_ref().unwrap().thaw().unwrap();
    let took = avoids_busy(&rig, 1).await;
    assert!(took <= SENSIBLE_AGAIN, "it took {took:?} after the thaw");
    none_failed(&load.await.unwrap(), 2_000);
}

async fn with_fake_agent(agent: &FakeAgent) -> (Vec<Pod>, Vec<SocketAddr>, Envoy, Client) {
    let mut pods = Vec::new();
    for _ in 0..3 {
        pods.push(Pod::start().await.unwrap());
    }
    let members: Vec<SocketAddr> = pods.iter().map(Pod::address).collect();
    let config = base_config(&members, agent.address()).unwrap();
    let envoy = Envoy::start(config, 2).await.unwrap();
    let client = Client::new(envoy.address(), Protocol::Http1);
    (pods, members, envoy, client)
}

/// Messages that the contract forbids, one fault each.
fn lies(member: SocketAddr) -> Vec<proto::AgentMessage> {
    let good = || fake_agent::endpoint(member, 0.0);
    let mut bad: Vec<proto::Endpoint> = Vec::new();
    for value in [f32::NAN, f32::INFINITY, -1.0, 1e38] {
        let mut endpoint = good();
        endpoint.kv_usage = Some(proto::Gauge { value, age_ms: 0 });
        endpoint.waiting = Some(proto::Gauge {
            value,
            age_ms: u32::MAX,
        });
        endpoint.weight = value;
        bad.push(endpoint);
    }
    for (length, port) in [(0, 80), (3, 80), (17, 80), (4, 0), (4, 70_000)] {
        let mut endpoint = good();
        endpoint.id = Some(proto::EndpointId {
            ip: vec![127; length],
            port,
            generation: 0,
        });
        bad.push(endpoint);
    }
    let mut adapters = good();
    adapters.lora = Some(proto::Lora {
        active: (0..100_000).map(|n| format!("adapter-{n}")).collect(),
        ..proto::Lora::default()
    });
    bad.push(adapters);
    bad.push(proto::Endpoint { id: None, ..good() });
    bad.push(proto::Endpoint {
        health: 77,
        ..good()
    });
    let mut messages: Vec<_> = (1u64..)
        .zip(bad)
        .map(|(sequence, endpoint)| fake_agent::snapshot((1, 1, sequence), vec![endpoint]))
        .collect();
    // The same endpoint twice, no endpoints, a pool that nobody asked for, no version, nothing.
    messages.push(fake_agent::snapshot((1, 1, 900), vec![good(), good()]));
    messages.push(fake_agent::snapshot((1, 1, u64::MAX), Vec::new()));
    let mut stranger = fake_agent::snapshot((1, 1, 5), vec![good()]);
    if let Some(proto::agent_message::Message::Snapshot(snapshot)) = &mut stranger.message {
        snapshot.pool = "another".to_owned();
        snapshot.version = None;
    }
    messages.push(stranger);
    messages.push(proto::AgentMessage { message: None });
    messages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_of_every_kind() {
    let agent = FakeAgent::start(1).await.unwrap();
    let (_pods, members, envoy, client) = with_fake_agent(&agent).await;
    let load = load(&client, 14);
    for manner in [
        Manner::Silent,
        Manner::NotProtobuf,
        Manner::Trickle,
        Manner::Says(lies(members[0])),
        Manner::EndlessFrame,
        Manner::HangsUp,
    ] {
        agent.behave(manner);
        sleep(Duration::from_secs(2)).await;
    }
    none_failed(&load.await.unwrap(), 2_500);
    let log = envoy.process().log();
    assert!(!log.contains("panicked"), "{log}");
    let reloads = envoy.admin().stats("vm_reload").await.unwrap();
    assert!(reloads.values().all(|count| *count == 0), "{reloads:?}");
    drop(agent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_agent_is_heard_after_a_lying_one() {
    let agent = FakeAgent::start(1).await.unwrap();
    let (_pods, members, _envoy, client) = with_fake_agent(&agent).await;
    agent.behave(Manner::NotProtobuf);
    sleep(Duration::from_secs(3)).await;
    agent.see(&[(members[0], 60.0), (members[1], 0.0), (members[2], 0.0)]);
    agent.behave(Manner::Honest);
    let took = avoids(&client, members[0]).await;
    assert!(took <= SENSIBLE_AGAIN, "it took {took:?}");
}

/// A gateway follows one agent. It takes the other one when the first is gone, and stays with it
/// when the first is back: nothing is mixed and nothing goes to and fro.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_agent_is_taken_when_the_first_is_gone_and_kept_when_it_is_back() {
    let mut pods = Vec::new();
    for _ in 0..2 {
        pods.push(Pod::start().await.unwrap());
    }
    let members: Vec<SocketAddr> = pods.iter().map(Pod::address).collect();
    // To each agent another pod looks busy, which tells whose word counts.
    let see = |agent: &FakeAgent, busy: usize| {
        let waiting = |pod: usize| if pod == busy { 60.0 } else { 0.0 };
        agent.see(&[(members[0], waiting(0)), (members[1], waiting(1))]);
    };
    let mut agents = Vec::new();
    for index in 0..2 {
        let agent = FakeAgent::start(1 + index as u64).await.unwrap();
        see(&agent, index);
        agents.push(Some(agent));
    }
    let opened = |agents: &[Option<FakeAgent>], index: usize| {
        agents[index].as_ref().map_or(0, FakeAgent::opened)
    };
    let addresses = [0, 1].map(|index: usize| agents[index].as_ref().unwrap().address());
    let mut config = base_config(&members, addresses[0]).unwrap();
    config.agents(&addresses).unwrap();
    let envoy = Envoy::start(config, 2).await.unwrap();
    let client = Client::new(envoy.address(), Protocol::Http1);
    eventually("an agent is heard", Duration::from_secs(5), || async {
        opened(&agents, 0) + opened(&agents, 1) > 0
    })
    .await
    .unwrap();
    let first = usize::from(opened(&agents, 1) > 0);
    let second = 1 - first;
    avoids(&client, members[first]).await;
    assert_eq!(opened(&agents, second), 0, "one agent is enough");

    let running = load(&client, 14);
    sleep(Duration::from_secs(1)).await;
    agents[first] = None;
    avoids(&client, members[second]).await;
    let back = FakeAgent::start_at(addresses[first], 1 + first as u64, 2)
        .await
        .unwrap();
    see(&back, first);
    agents[first] = Some(back);
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(5) {
        let response = client.send(RequestSpec::completion("tiny", "probe")).await;
        assert_ne!(response.unwrap().upstream(), Some(members[second]));
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        opened(&agents, first),
        0,
        "nobody goes back without a reason"
    );
    none_failed(&running.await.unwrap(), 2_500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_agents_of_opposite_views() {
    // Both answer on the one cluster; every stream ends after a message, so that Envoy goes back
    // and forth between them as fast as the filter reconnects.
    let (first, second) = (
        FakeAgent::start(1).await.unwrap(),
        FakeAgent::start(2).await.unwrap(),
    );
    let mut pods = Vec::new();
    for _ in 0..2 {
        pods.push(Pod::start().await.unwrap());
    }
    let members: Vec<SocketAddr> = pods.iter().map(Pod::address).collect();
    first.see(&[(members[0], 60.0), (members[1], 0.0)]);
    second.see(&[(members[0], 0.0), (members[1], 60.0)]);
    let mut config = base_config(&members, first.address()).unwrap();
    config.agents(&[first.address(), second.address()]).unwrap();
    let envoy = Envoy::start(config, 2).await.unwrap();
    let client = Client::new(envoy.address(), Protocol::Http1);
    eventually("an agent is heard", Duration::from_secs(5), || async {
        first.opened() + second.opened() > 0
    })
    .await
    .unwrap();
    sleep(Duration::from_millis(500)).await;
    for agent in [&first, &second] {
        agent.behave(Manner::HangsUp);
    }
    let report = load(&client, 10).await.unwrap();
    none_failed(&report, 1_900);
    assert!(
        first.opened() > 1 && second.opened() > 1,
        "both agents must have been connected: {} and {}",
        first.opened(),
        second.opened()
    );
    // One view at a time: in each 250 ms nearly all requests go to one pod, and the view changes at
    // most once per hold of 3 s.
    let mut sides = Vec::new();
    for slice in 0..40 {
        let from = Duration::from_millis(250) * slice;
        let counts = report.per_upstream(from..from + Duration::from_millis(250));
        let total: u64 = counts.values().sum();
        let most = counts.iter().max_by_key(|(_, count)| **count);
        if let Some((pod, count)) = most.filter(|(_, count)| **count * 10 >= total * 9) {
            if sides.last() != Some(pod) {
                sides.push(*pod);
            }
            assert!(*count > 0);
        }
    }
    assert!(
        !sides.is_empty(),
        "no view ever led: {:?}",
        report.per_upstream(..)
    );
    assert!(
        sides.len() <= 5,
        "the view changed {} times in 10 s",
        sides.len() - 1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_of_the_agent_that_does_not_exist() {
    let (mut pods, mut members) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let pod = Pod::start().await.unwrap();
        members.push(pod.address());
        pods.push(pod);
    }
    for cluster in ["no-such-cluster", &"long-".repeat(40), "\n\u{4}\n\u{2}xx"] {
        let mut config = base_config(&members, "127.0.0.1:9".parse().unwrap()).unwrap();
        let name = cluster.replace(|c: char| !c.is_ascii_graphic(), "|");
        config
            .change_plugin(|plugin| plugin["agent"]["cluster"] = serde_json::json!(name))
            .unwrap();
        let envoy = Envoy::start(config, 2).await.unwrap();
        let client = Client::new(envoy.address(), Protocol::Http1);
        none_failed(&load(&client, 2).await.unwrap(), 390);
        let log = envoy.process().log();
        assert!(!log.contains("panicked"), "{log}");
        // Without an agent the seed members share the load.
        let asked: Vec<u64> = pods.iter().map(Pod::requests).collect();
        assert!(asked.iter().all(|count| *count > 60), "{asked:?}");
    }
}
