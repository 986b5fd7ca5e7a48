//! Roll-outs against model servers in this process.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use picker::{Health, Signals};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};

use super::Rollout;
use crate::{
    api_key::{ApiKey, ApiKeySource},
    clock::Clock,
    config::{Adapter, PoolAdapters},
    hub::Hub,
    index::{Attempt, Index, Member, Membership, Observation, PoolMembers, TargetId},
    telemetry::Telemetry,
};

/// What a fake model server has and does.
#[derive(Debug, Default)]
struct State {
    adapters: Vec<String>,
    /// Every load and unload in the order asked.
    asked: Vec<String>,
    /// So many steps fail first.
    failures: usize,
    /// How long a load takes.
    slow: Duration,
    at_once: usize,
    most_at_once: usize,
    /// What requests have to show, as vLLM's `--api-key` has it.
    authorization: Option<&'static str>,
}

struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(state: State) -> Self {
        Self::sharing(Arc::new(Mutex::new(state))).await
    }

    async fn sharing(state: Arc<Mutex<State>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                let service = service_fn(move |request| answer(Arc::clone(&state), request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self {
            address,
            state,
            task,
        }
    }

    fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }

    fn adapters(&self) -> Vec<String> {
        self.state.lock().unwrap().adapters.clone()
    }
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let shown = request.headers().get("authorization").cloned();
    let body = request.into_body().collect().await?.to_bytes();
    let say = |status: u16, body: Value| {
        let body = Full::from(body.to_string());
        let response = Response::builder().status(status);
        let response = response.header("content-type", "application/json");
        response.body(body).unwrap()
    };
    let wanted = state.lock().unwrap().authorization;
    if wanted.is_some_and(|wanted| shown.is_none_or(|shown| shown != wanted)) {
        return Ok(say(401, json!({"error": "Unauthorized"})));
    }
    if path == "/v1/models" {
        let state = state.lock().unwrap();
        let mut data = vec![json!({"id": "base", "parent": null})];
        let adapters = state.adapters.iter();
        data.extend(adapters.map(|name| json!({"id": name, "parent": "base"})));
        return Ok(say(200, json!({"object": "list", "data": data})));
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    let name = body["lora_name"].as_str().unwrap().to_owned();
    let load = path == "/v1/load_lora_adapter";
    let slow = {
        let mut state = state.lock().unwrap();
        let verb = if load { "load" } else { "unload" };
        state.asked.push(format!("{verb} {name}"));
        if state.failures > 0 {
            state.failures -= 1;
            return Ok(say(404, json!({"error": {"message": "no adapter found"}})));
        }
        state.at_once += 1;
        state.most_at_once = state.most_at_once.max(state.at_once);
        state.slow
    };
    tokio::time::sleep(slow).await;
    let mut state = state.lock().unwrap();
    state.at_once -= 1;
    if load {
        assert_eq!(body["lora_path"], format!("/adapters/{name}"));
        state.adapters.push(name);
    } else {
        state.adapters.retain(|adapter| *adapter != name);
    }
    Ok(say(200, json!("Success")))
}

struct Rig {
    hub: Arc<Hub>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Rig {
    fn start(servers: &[&Server]) -> Self {
        Self::with_key(servers, ApiKey::default())
    }

    fn with_key(servers: &[&Server], api_key: ApiKey) -> Self {
        let clock = Clock::start();
        let index = Index::new(1, 1, 0);
        let hub = Hub::new(clock, index, Arc::new(Telemetry::new()));
        let hub = Arc::new(hub.with_api_key(api_key));
        let publisher = Arc::clone(&hub);
        let rollout = Rollout::new(Arc::clone(&hub));
        let rig = Self {
            hub,
            tasks: [
                tokio::spawn(async move { publisher.publish_changes().await }),
                tokio::spawn(rollout.run()),
            ],
        };
        rig.members(servers);
        rig
    }

    /// These servers are the pool, and all are well.
    fn members(&self, servers: &[&Server]) {
        let members = servers.iter().map(|server| Member {
            target: TargetId(server.address.port().into()),
            address: server.address,
            name: None,
            weight: 1.0,
            price: 1.0,
            labels: Arc::default(),
        });
        self.hub.set_membership(&Membership {
            pools: vec![PoolMembers {
                name: Arc::from("p"),
                members: members.collect(),
                unresolved: 0,
            }],
        });
        servers.iter().for_each(|server| self.scraped(server, 1));
    }

    fn scraped(&self, server: &Server, life: u64) {
        self.hub.observe(
            TargetId(server.address.port().into()),
            Observation {
                at: self.hub.clock.now(),
                attempt: Attempt::Scraped,
                signals: Signals::default(),
                health: Health::Ready,
                reason: "scraped".into(),
                life,
                tallies: Default::default(),
            },
        );
    }

    fn declare(&self, present: &[&str], absent: &[&str]) {
        self.hub.adapters.declare(&[PoolAdapters {
            pool: Arc::from("p"),
            present: present
                .iter()
                .map(|name| Adapter {
                    name: Arc::from(*name),
                    source: Arc::from(format!("/adapters/{name}")),
                })
                .collect(),
            absent: absent.iter().map(|name| Arc::from(*name)).collect(),
            ready_share: 1.0,
        }]);
    }

    fn published(&self) -> Vec<SocketAddr> {
        let published = self.hub.subscribe();
        let pools = published.borrow();
        let publication = pools.get("p").cloned().flatten();
        let endpoints = publication.map(|publication| publication.snapshot.endpoints.clone());
        let endpoints = endpoints.unwrap_or_default();
        endpoints
            .iter()
            .map(|endpoint| endpoint.id.address)
            .collect()
    }

    fn is_ready(&self, name: &str) -> bool {
        self.hub.adapters.is_ready("p", name)
    }
}

async fn eventually(what: &str, mut probe: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !probe() {
        assert!(Instant::now() < end, "timed out: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn with(adapters: &[&str]) -> State {
    State {
        adapters: adapters.iter().map(|name| (*name).to_owned()).collect(),
        ..State::default()
    }
}

#[tokio::test]
async fn new_adapters_are_loaded_before_old_ones_are_unloaded_and_foreign_ones_stay() {
    let servers = [
        Server::start(with(&["foreign"])).await,
        Server::start(with(&["foreign"])).await,
    ];
    let rig = Rig::start(&[&servers[0], &servers[1]]);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(servers[0].asked(), [""; 0], "off unless declared");
    rig.declare(&["v1"], &[]);
    assert!(!rig.is_ready("v1"));
    assert!(rig.is_ready("base") && rig.is_ready("foreign"), "not ours");
    eventually("v1 is ready", || rig.is_ready("v1")).await;
    assert!(rig.is_ready("base") && rig.is_ready("foreign") && !rig.is_ready("nowhere"));
    rig.declare(&["v2"], &[]);
    for server in &servers {
        eventually("v2 in place of v1", || {
            server.adapters() == ["foreign", "v2"]
        })
        .await;
        assert_eq!(server.asked(), ["load v1", "load v2", "unload v1"]);
    }
    eventually("the list is known", || {
        rig.is_ready("v2") && !rig.is_ready("v1")
    })
    .await;
    // A pool that is no longer declared stays as it is.
    rig.hub.adapters.declare(&[]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(servers[0].adapters(), ["foreign", "v2"]);
    assert_eq!(rig.hub.telemetry.adapter_loads.get(), 4);
    assert_eq!(rig.hub.telemetry.adapter_unloads.get(), 2);
}

#[tokio::test]
async fn failures_are_repeated_with_pauses_and_counted() {
    let server = Server::start(State {
        failures: 2,
        ..State::default()
    })
    .await;
    let rig = Rig::start(&[&server]);
    let begun = Instant::now();
    rig.declare(&["v1"], &[]);
    eventually("v1 is ready", || rig.is_ready("v1")).await;
    assert_eq!(server.asked(), ["load v1"; 3]);
    // A second and two, less the jitter.
    assert!(
        begun.elapsed() >= Duration::from_millis(2_200),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(rig.hub.telemetry.adapter_failures.get(), 2);
}

#[tokio::test]
async fn engines_that_ask_for_a_key_are_shown_it_with_lists_loads_and_unloads() {
    let state = State {
        authorization: Some("Bearer sk-engines"),
        ..with(&["v1"])
    };
    let server = Server::start(state).await;
    let file = std::env::temp_dir().join(format!("zerohop-roll-out-key-{}", std::process::id()));
    std::fs::write(&file, "sk-engines\n").unwrap();
    let key = ApiKey::open(Some(&ApiKeySource::File(file.clone()))).unwrap();
    std::fs::remove_file(&file).unwrap();
    let rig = Rig::with_key(&[&server], key);
    rig.declare(&["v2"], &["v1"]);
    eventually("v2 in place of v1", || server.adapters() == ["v2"]).await;
    assert_eq!(server.asked(), ["load v2", "unload v1"]);
    assert_eq!(rig.hub.telemetry.adapter_failures.get(), 0);

    let locked = State {
        authorization: Some("Bearer sk-another"),
        ..State::default()
    };
    let locked = Server::start(locked).await;
    let rig = Rig::start(&[&locked]);
    rig.declare(&["v1"], &[]);
    let failures = &rig.hub.telemetry.adapter_failures;
    eventually("a refusal is counted", || failures.get() > 0).await;
    assert_eq!(locked.asked(), [""; 0], "nothing is loaded without a list");
}

#[tokio::test]
async fn what_is_absent_goes_only_when_it_is_drawn_no_more() {
    let server = Server::start(with(&["old"])).await;
    let rig = Rig::start(&[&server]);
    let in_use: BTreeSet<Arc<str>> = [Arc::from("old")].into();
    rig.declare(&["new"], &["old"]);
    rig.hub.adapters.note_drawn("p", &in_use);
    let begun = Instant::now();
    eventually("new is ready", || rig.is_ready("new")).await;
    eventually("old is gone", || server.adapters() == ["new"]).await;
    assert!(
        begun.elapsed() >= Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn few_pods_load_at_a_time() {
    let state = Arc::new(Mutex::new(State {
        slow: Duration::from_millis(200),
        ..State::default()
    }));
    let mut servers = Vec::new();
    for _ in 0..8 {
        servers.push(Server::sharing(Arc::clone(&state)).await);
    }
    let rig = Rig::start(&servers.iter().collect::<Vec<_>>());
    rig.declare(&["v1"], &[]);
    eventually("all were asked", || state.lock().unwrap().asked.len() >= 6).await;
    assert!(state.lock().unwrap().most_at_once <= 4);
}

#[tokio::test]
async fn a_pod_that_joins_or_restarts_gets_no_requests_before_it_has_its_adapters() {
    let old = Server::start(State::default()).await;
    let rig = Rig::start(&[&old]);
    rig.declare(&["v1"], &[]);
    eventually("v1 is ready", || rig.is_ready("v1")).await;
    assert_eq!(rig.published(), [old.address]);

    let new = Server::start(State {
        slow: Duration::from_millis(600),
        ..State::default()
    })
    .await;
    rig.members(&[&old, &new]);
    let joined = || rig.published().len() == 2;
    eventually("the new pod joins", || {
        assert!(
            rig.is_ready("v1"),
            "a pod that waits must not take the weight away"
        );
        assert!(
            !joined() || new.adapters() == ["v1"],
            "it joined without its adapter"
        );
        joined()
    })
    .await;

    new.state.lock().unwrap().adapters.clear();
    rig.scraped(&new, 2);
    eventually("the restarted pod waits", || {
        rig.published() == [old.address]
    })
    .await;
    eventually("it joins again", joined).await;
    assert_eq!(new.adapters(), ["v1"]);

    // When nobody else is there, a pod without adapters is better than none.
    old.state.lock().unwrap().slow = Duration::from_secs(2);
    rig.members(&[&old]);
    old.state.lock().unwrap().adapters.clear();
    rig.scraped(&old, 2);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(rig.published(), [old.address]);
}

#[tokio::test]
async fn a_pool_is_settled_when_every_pod_has_told_what_it_has() {
    let server = Server::start(with(&["v1"])).await;
    let rig = Rig::start(&[&server]);
    let settled = || rig.hub.adapters.is_settled("p");
    assert!(settled(), "nothing is declared");
    rig.declare(&["v1"], &[]);
    assert!(!settled());
    eventually("it is settled", settled).await;
    assert!(rig.is_ready("v1") && server.asked().is_empty());
    // Without pods there is nothing to wait for.
    rig.hub.adapters.declare(&[]);
    rig.members(&[]);
    rig.declare(&["v1"], &[]);
    eventually("it is settled", settled).await;
}
