//! The agent rolls adapters out to replicas that serve: new before old, and only what was declared.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use e2e::rig::{
    Agent, AgentConfig, Client, Envoy, Load, Protocol, RequestSpec, Rig, artifacts,
    discovering_config, eventually,
    vllm::{Replica, ReplicaOptions},
};
use serde_json::Value;

use super::stage::{Kind, PATIENCE, RATE, request};

pub(super) async fn are_rolled_out_under_load_without_a_failure() {
    let options = ReplicaOptions {
        adapters: Some("sql".to_owned()),
        ..ReplicaOptions::default()
    };
    let replicas = Replica::start_each([options.clone(), options])
        .await
        .unwrap();
    let members: Vec<SocketAddr> = replicas.iter().map(Replica::address).collect();
    let agent = Agent::start(AgentConfig::new(members.clone()))
        .await
        .unwrap();
    let config = discovering_config(agent.config().grpc).unwrap();
    let envoy = Envoy::start(config, 2).await.unwrap();
    let client = Client::new(envoy.address(), Protocol::Http1).with_limit(PATIENCE);
    let mut rig = Rig {
        pods: Vec::new(),
        agent: Some(agent),
        envoy,
        client,
    };
    rig.informed().await.unwrap();
    let source = artifacts::repository().join(".tools/vllm/adapters");
    let source = source.to_string_lossy();

    let client = rig.client.clone();
    let load = tokio::spawn(async move {
        let load = Load {
            rate: RATE / 2.0,
            duration: Duration::from_secs(25),
        };
        let model = |number| if number % 2 == 0 { "tiny" } else { "sql" };
        let make = |number| request(Kind::of(number), model(number), number, 6);
        client.load(load, make).await
    });
    let mut declare = |names: &[&str]| {
        let agent = rig.agent.as_mut().unwrap();
        agent.declare_adapters(&source, names).unwrap();
    };
    declare(&["code"]);
    for member in &members {
        has(*member, &["code", "sql"]).await;
    }
    for number in 0..6 {
        let response = rig
            .client
            .send(request(Kind::of(number), "code", number, 4))
            .await;
        assert_eq!(response.unwrap().status, 200);
    }
    declare(&["chat"]);
    for member in &members {
        has(*member, &["chat", "sql"]).await;
    }
    let response = rig
        .client
        .send(request(Kind::Chat, "chat", 1, 4))
        .await
        .unwrap();
    assert_eq!(response.status, 200, "{}", response.text());
    let page = rig.agent.as_ref().unwrap().page("/metrics").await.unwrap();
    for (metric, count) in [("loads", 4), ("unloads", 2), ("failures", 0)] {
        let line = format!("zerohop_agent_adapter_{metric}_total {count}");
        assert!(page.contains(&line), "{line} is not in {page}");
    }
    let failures = load.await.unwrap().failures();
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Waits until a replica lists exactly these adapters.
async fn has(replica: SocketAddr, adapters: &[&str]) {
    let wanted: BTreeSet<String> = adapters.iter().map(ToString::to_string).collect();
    let client = Client::new(replica, Protocol::Http1);
    let listed = || async {
        let response = client.send(RequestSpec::get("/v1/models")).await.unwrap();
        let list: Value = serde_json::from_str(&response.text()).unwrap();
        let models = list["data"].as_array().unwrap().iter();
        let adapters = models.filter(|model| !model["parent"].is_null());
        let names = adapters.map(|model| model["id"].as_str().unwrap().to_owned());
        names.collect::<BTreeSet<_>>() == wanted
    };
    eventually(&format!("{replica} has {wanted:?}"), PATIENCE, listed)
        .await
        .unwrap();
}
