//! The admin endpoints over real HTTP.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use picker::{EndpointId, Health, InFlight, LoraState, Signal, Signals, StepModel};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use super::*;
use crate::{
    clock::Clock,
    discovery::ConfigState,
    hub::Hub,
    index::{Attempt, Index, Member, Membership, Observation, PoolMembers, TargetId},
    shutdown::{self, ShutdownTrigger},
    telemetry::Telemetry,
};

mod metrics;

struct Rig {
    hub: Arc<Hub>,
    config: Arc<ArcSwap<ConfigState>>,
    address: SocketAddr,
    trigger: ShutdownTrigger,
    server: JoinHandle<()>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn rig() -> Rig {
    let clock = Clock::start();
    let hub = Arc::new(Hub::new(
        clock,
        Index::new(7, 8, 0),
        Arc::new(Telemetry::new()),
    ));
    let config = Arc::new(ArcSwap::from_pointee(ConfigState::default()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (trigger, shutdown) = shutdown::channel();
    let admin = Arc::new(Admin::new(
        Arc::clone(&hub),
        Arc::clone(&config),
        shutdown.clone(),
    ));
    let server = tokio::spawn(serve(listener, admin, shutdown));
    Rig {
        hub,
        config,
        address,
        trigger,
        server,
    }
}

fn members(hub: &Hub) {
    hub.set_membership(&Membership {
        pools: vec![PoolMembers {
            name: Arc::from("default"),
            members: vec![Member {
                target: TargetId(1),
                address: "10.0.0.1:8000".parse().unwrap(),
                name: Some(Arc::from("pod-a")),
                weight: 2.0,
                price: 0.5,
                labels: Arc::new([("zone".to_owned(), "a".to_owned())].into()),
            }],
            unresolved: 0,
        }],
    });
}

fn scraped(hub: &Hub) {
    let at = hub.clock.now();
    let lora = LoraState {
        active: vec![Arc::from("sql")],
        max: 4,
        ..LoraState::default()
    };
    hub.observe(
        TargetId(1),
        Observation {
            at,
            attempt: Attempt::Scraped,
            signals: Signals {
                waiting: Some(Signal::new(3.0, at.minus(1_500))),
                lora: Some(Signal::new(lora, at)),
                kv_blocks: Some(64),
                max_model_len: Some(4_096),
                step_model: Some(Signal::new(StepModel::default(), at)),
                mean_output_tokens: Some(Signal::new(225.0, at)),
                ..Signals::default()
            },
            health: Health::Suspect,
            reason: "hung".into(),
            life: 1,
            tallies: Default::default(),
        },
    );
}

/// Sends bytes, reads until the other side closes or nothing comes for a while.
async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer));
    read.await.expect("an answer within 5 s").unwrap();
    String::from_utf8(answer).unwrap()
}

async fn get(rig: &Rig, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n");
    let answer = raw(rig.address, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

#[tokio::test]
async fn readiness_follows_first_scrapes_configuration_and_shutdown() {
    let rig = rig().await;
    assert_eq!(get(&rig, "/healthz").await, (200, "ok\n".to_owned()));
    members(&rig.hub);
    let (status, why) = get(&rig, "/readyz").await;
    assert_eq!(status, 503);
    assert!(why.contains("scraped once"), "{why}");
    scraped(&rig.hub);
    assert_eq!(get(&rig, "/readyz").await, (200, "ready\n".to_owned()));

    let mistakes = vec!["a.yaml:1:1: pools: required but missing".to_owned()];
    rig.config.store(Arc::new(ConfigState {
        mistakes,
        ..ConfigState::default()
    }));
    let (status, why) = get(&rig, "/readyz").await;
    assert_eq!(status, 503);
    assert!(why.contains("refused (1 mistakes)"), "{why}");
    assert_eq!(
        get(&rig, "/healthz").await.0,
        200,
        "a restart would not help"
    );
}

#[tokio::test]
async fn debug_pools_shows_everything_with_ages_and_reasons() {
    let rig = rig().await;
    members(&rig.hub);
    scraped(&rig.hub);
    let gateway: Arc<str> = Arc::from("gw-1");
    let endpoint = EndpointId {
        address: "10.0.0.1:8000".parse().unwrap(),
        generation: 1,
    };
    let load = InFlight {
        requests: 2,
        prefill_tokens: 700,
        ..InFlight::default()
    };
    let report = pool_state::convert::Report {
        pool: "default".to_owned(),
        loads: vec![(endpoint, load)],
    };
    rig.hub.report(&gateway, 1, report);
    let (status, body) = get(&rig, "/debug/pools").await;
    assert_eq!(status, 200);
    let page: Value = serde_json::from_str(&body).unwrap();
    let endpoint = &page["pools"][0]["endpoints"][0];
    assert_eq!(endpoint["address"], "10.0.0.1:8000");
    assert_eq!(endpoint["name"], "pod-a");
    assert_eq!(endpoint["labels"]["zone"], "a");
    assert_eq!(
        (&endpoint["health"], &endpoint["reason"]),
        (&"suspect".into(), &"hung".into())
    );
    assert_eq!(endpoint["signals"]["waiting"]["value"], 3.0);
    let age = endpoint["signals"]["waiting"]["age_ms"].as_u64().unwrap();
    assert!((1_500..10_000).contains(&age), "{age}");
    assert_eq!(
        endpoint["signals"]["running"],
        Value::Null,
        "unknown is not zero"
    );
    assert_eq!(endpoint["signals"]["lora"]["active"][0], "sql");
    assert_eq!(endpoint["signals"]["kv_blocks"], 64);
    assert_eq!(endpoint["signals"]["max_model_len"], 4_096);
    assert_eq!(endpoint["signals"]["step_model"]["base_us"], 5_500.0);
    assert_eq!(endpoint["signals"]["mean_output_tokens"]["value"], 225.0);
    assert_eq!(
        (&endpoint["weight"], &endpoint["price"]),
        (&2.0.into(), &0.5.into())
    );
    assert_eq!(endpoint["generation"].as_str().unwrap().len(), 16);
    let gateway = &page["pools"][0]["gateways"][0];
    assert_eq!(gateway["id"], "gw-1");
    assert_eq!(gateway["prefill_tokens"], 700);
}

#[tokio::test]
async fn metrics_name_endpoints_and_pools_and_forget_them() {
    let rig = rig().await;
    members(&rig.hub);
    scraped(&rig.hub);
    rig.hub
        .telemetry
        .scrape_counters("10.0.0.1:8000".parse().unwrap())
        .ok
        .inc();
    let (status, page) = get(&rig, "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "zerohop_agent_scrapes_total{endpoint=\"10.0.0.1:8000\",result=\"ok\"} 1",
        "zerohop_agent_endpoints{pool=\"default\",health=\"suspect\"} 1.0",
        "zerohop_agent_gateways 0",
        "zerohop_agent_step_seconds{pool=\"default\",endpoint=\"10.0.0.1:8000\",part=\"base\"} 0.0055",
        "zerohop_agent_mean_output_tokens{pool=\"default\",endpoint=\"10.0.0.1:8000\"} 225.0",
        "# EOF",
    ] {
        assert!(
            page.lines().any(|have| have == line),
            "`{line}` is missing in\n{page}"
        );
    }
    rig.hub
        .telemetry
        .forget_endpoint("10.0.0.1:8000".parse().unwrap());
    rig.hub.set_membership(&Membership::default());
    let (_, page) = get(&rig, "/metrics").await;
    assert!(!page.contains("10.0.0.1"), "{page}");
    assert!(!page.contains("default"), "{page}");
}

#[tokio::test]
async fn only_get_and_head_of_known_paths() {
    let rig = rig().await;
    assert_eq!(get(&rig, "/").await.0, 200);
    assert_eq!(get(&rig, "/metrics/../debug").await.0, 404);
    assert_eq!(get(&rig, "/debug/pools?pretty=1").await.0, 200);
    let close = "host: agent\r\nconnection: close\r\n\r\n";
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        let answer = raw(
            rig.address,
            format!("{method} /healthz HTTP/1.1\r\n{close}").as_bytes(),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 405"), "{method}: {answer}");
        assert!(answer.contains("allow: GET, HEAD"), "{answer}");
    }
    let answer = raw(
        rig.address,
        format!("HEAD /healthz HTTP/1.1\r\n{close}").as_bytes(),
    )
    .await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn garbage_huge_heads_and_idle_connections_do_no_harm() {
    let rig = rig().await;
    assert!(
        raw(rig.address, b"\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n")
            .await
            .contains("400")
    );
    let huge = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    let answer = timeout(Duration::from_secs(5), async {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        drop(stream.write_all(huge.as_bytes()).await);
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        String::from_utf8_lossy(&answer).into_owned()
    });
    let answer = answer.await.expect("an end within 5 s");
    assert!(answer.is_empty() || answer.contains("431"), "{answer}");
    let mut idle = Vec::new();
    for _ in 0..50 {
        idle.push(TcpStream::connect(rig.address).await.unwrap());
    }
    assert_eq!(get(&rig, "/healthz").await.0, 200);
}

#[tokio::test]
async fn the_server_ends_soon_when_asked_although_connections_idle() {
    let mut rig = rig().await;
    let mut idle = TcpStream::connect(rig.address).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: agent\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 64];
    assert!(idle.read(&mut answer).await.unwrap() > 0);
    let _stalled = TcpStream::connect(rig.address).await.unwrap();
    rig.trigger.request();
    let ended = timeout(Duration::from_millis(1_500), &mut rig.server).await;
    ended.expect("ended within 1.5 s").unwrap();
}
