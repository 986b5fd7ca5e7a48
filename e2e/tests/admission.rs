//! Admission, each promise once, on real Envoy: what waits goes when room is freed, whatever its framing;
//! who is refused is told why at once; whatever ends gives its place back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod admission {
    pub(crate) mod gateway;
}

use std::{collections::BTreeMap, time::Duration};

use admission::gateway::{Gateway, Options, chat, of};
use e2e::rig::{
    Answer, Envoy, FakeAgent, Pod, Protocol, RequestSpec, Response, artifacts, base_config, chaos,
    config::at, eventually, scratch::Scratch,
};
use http::HeaderValue;
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::sleep};
use xxhash_rust::xxh64::xxh64;

type Pending = JoinHandle<Response>;

fn send(gateway: &Gateway, protocol: Protocol, spec: RequestSpec) -> Pending {
    let client = gateway.client(protocol);
    tokio::spawn(async move {
        let number = String::from_utf8_lossy(&spec.body[..spec.body.len().min(90)]).into_owned();
        client
            .send(spec)
            .await
            .unwrap_or_else(|error| panic!("{number}: {error}"))
    })
}

fn error(response: &Response) -> Value {
    serde_json::from_slice::<Value>(&response.body).unwrap()["error"].clone()
}

/// A refusal is a whole answer: status, code, both headers, when to come back.
fn assert_refused(response: &Response, status: u16, reason: &str, reference: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(error(response)["code"], reason);
    assert_eq!(response.header("x-zerohop-dropped-reason"), Some(reason));
    assert_eq!(
        response.header("x-llm-d-request-dropped-reason"),
        Some(reference)
    );
    let seconds: u32 = response.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(response.header("content-type"), Some("application/json"));
}

/// Bodies of many framings, which wait for the one place there is.
async fn framings(gateway: &Gateway) {
    let occupant = gateway.occupy(0).await;
    let long = |size: usize| "x".repeat(size);
    let mut trailing = chat(&long(50_000)).chunked(7_000);
    trailing.trailers = Some(
        [("x-sum".parse().unwrap(), HeaderValue::from_static("1"))]
            .into_iter()
            .collect(),
    );
    let specs = [
        (Protocol::Http1, chat("whole")),
        (Protocol::Http1, chat(&long(20_000)).chunked(1_000)),
        // Longer than what is read of a body.
        (Protocol::Http1, chat(&long(500_000))),
        (Protocol::Http1, chat(&long(500_000)).chunked(30_011)),
        (Protocol::Http2, chat(&long(200_000))),
        (Protocol::Http2, trailing),
    ];
    let mut digests: Vec<u64> = specs.iter().map(|(_, spec)| xxh64(&spec.body, 0)).collect();
    let waiting: Vec<Pending> = specs
        .into_iter()
        .map(|(protocol, spec)| send(gateway, protocol, spec))
        .collect();
    gateway.queued(6).await;
    assert_eq!(gateway.pods[0].requests(), 1, "only the occupant was sent");
    drop(gateway.pods[0].take_recorded());
    gateway.release();
    for pending in waiting {
        assert_eq!(pending.await.unwrap().status, 200);
    }
    assert_eq!(occupant.await.unwrap(), 200);
    let recorded = gateway.pods[0].take_recorded();
    let mut arrived: Vec<u64> = recorded.iter().map(|request| request.digest).collect();
    arrived.retain(|digest| digests.contains(digest));
    digests.sort_unstable();
    arrived.sort_unstable();
    assert_eq!(arrived, digests, "byte for byte, each once");
    gateway.is("outcome=.=dispatched", 6).await;
    gateway.at_rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_goes_when_room_is_freed_whatever_its_framing() {
    framings(&Gateway::start(Options::default()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pair_of_filters_holds_as_well() {
    let options = Options {
        change: |config| config.pair(),
        ..Options::default()
    };
    framings(&Gateway::start(options).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_is_told_why_and_when_to_come_back() {
    for pair in [false, true] {
        let gateway = Gateway::start(Options {
            admission: json!({
                "deadline_header": "x-deadline-ms",
                "body_bytes": 300_000,
                "rules": {
                    "room": {"waiting": 1}, "sheddable_hold_ms": 200,
                    "queue": {"flow_requests": 3}
                }
            }),
            change: if pair {
                |config| config.pair()
            } else {
                |_| Ok(())
            },
            concurrency: 1,
            ..Options::default()
        })
        .await;
        let occupant = gateway.occupy(0).await;
        let client = gateway.client(Protocol::Http1);
        let late = client.send(chat("hurry").header("x-deadline-ms", "150"));
        let late = late.await.unwrap();
        assert_refused(&late, 504, "deadline_exceeded", "rejected-ttl-expired");
        assert!(late.total >= Duration::from_millis(140), "{:?}", late.total);
        let shed = client.send(of("sheddable", "not now")).await.unwrap();
        assert_refused(&shed, 429, "shed", "rejected-saturated");
        // Three wait, the fourth is one too many.
        let waiting: Vec<_> = (0..3)
            .map(|number| send(&gateway, Protocol::Http1, chat(&format!("{number}"))))
            .collect();
        gateway.queued(3).await;
        let full = client.send(chat("four")).await.unwrap();
        assert_refused(&full, 429, "queue_full", "rejected-saturated");
        // Of greater priority there is still a place, but not for a body that Envoy would not keep.
        let long = of("critical", &"x".repeat(400_000));
        let too_long = client.send(long.clone()).await.unwrap();
        assert_refused(&too_long, 429, "queue_full", "rejected-saturated");
        // One that grows is refused as well, unless Envoy stops reading it before: then it waits.
        let grown = send(&gateway, Protocol::Http1, long.chunked(10_000));
        sleep(Duration::from_secs(1)).await;
        let refused = grown.is_finished();
        gateway.release();
        for pending in waiting {
            assert_eq!(pending.await.unwrap().status, 200);
        }
        let grown = grown.await.unwrap();
        println!(
            "pair {pair}: the one that grew got {}, refused while it waited: {refused}",
            grown.status
        );
        if grown.status != 200 {
            assert_refused(&grown, 429, "queue_full", "rejected-saturated");
        }
        assert_eq!(occupant.await.unwrap(), 200);
        gateway.at_rest().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave_give_their_place_back_at_once() {
    let gateway = Gateway::start(Options::default()).await;
    let occupant = gateway.occupy(0).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let waiting: Vec<_> = (0..20)
            .map(|number| send(&gateway, protocol, chat(&format!("{protocol:?} {number}"))))
            .collect();
        gateway.queued(20).await;
        for pending in &waiting {
            pending.abort();
        }
        gateway.queued(0).await;
    }
    assert_eq!(gateway.pods[0].requests(), 1);
    gateway.is("outcome=.=left", 40).await;
    gateway.release();
    assert_eq!(occupant.await.unwrap(), 200);
    gateway.at_rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_greater_priority_goes_first_whichever_worker_holds_it() {
    for concurrency in [2, 4] {
        let gateway = Gateway::start(Options {
            concurrency,
            ..Options::default()
        })
        .await;
        let occupant = gateway.occupy(0).await;
        let mut waiting: Vec<_> = (0..20)
            .map(|number| send(&gateway, Protocol::Http1, chat(&format!("plain {number}"))))
            .collect();
        gateway.queued(20).await;
        let critical = |number| of("critical", &format!("critical {number}"));
        waiting.extend((0..20).map(|number| send(&gateway, Protocol::Http1, critical(number))));
        gateway.queued(40).await;
        // Each answer takes a while, so that the order of the requests is that of the pod's records.
        gateway.pods[0].answer(Answer::Stream {
            chunks: 2,
            gap: Duration::from_millis(10),
        });
        drop(gateway.pods[0].take_recorded());
        gateway.pods[0].release();
        for pending in waiting {
            assert_eq!(pending.await.unwrap().status, 200);
        }
        assert_eq!(occupant.await.unwrap(), 200);
        let order: Vec<bool> = gateway.pods[0]
            .take_recorded()
            .iter()
            .map(|request| !request.header("x-llm-d-inference-objective").is_empty())
            .collect();
        let first_plain = order.iter().position(|critical| !critical).unwrap();
        let overtaken = order[first_plain..]
            .iter()
            .filter(|critical| **critical)
            .count();
        assert_eq!(overtaken, 0, "at concurrency {concurrency}: {order:?}");
        gateway.at_rest().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_was_scaled_to_nothing_is_waited_for() {
    let gateway = Gateway::start(Options {
        pods: 2,
        admission: json!({"deadline_header": "x-deadline-ms"}),
        change: |config| {
            config.change_plugin(|plugin| {
                plugin["pools"][0]
                    .as_object_mut()
                    .unwrap()
                    .remove("members");
            })
        },
        ..Options::default()
    })
    .await;
    gateway.agent.see(&[]);
    gateway.is("zerohop_endpoints", 0).await;
    let client = gateway.client(Protocol::Http1);
    let gone = client.send(chat("nobody").header("x-deadline-ms", "200"));
    assert_refused(
        &gone.await.unwrap(),
        503,
        "no_endpoints",
        "rejected-no-endpoints",
    );
    let waiting: Vec<_> = (0..8)
        .map(|number| send(&gateway, Protocol::Http1, chat(&format!("{number}"))))
        .collect();
    gateway.queued(8).await;
    gateway.release();
    let back: Vec<_> = gateway
        .pods
        .iter()
        .map(|pod| (pod.address(), 0.0))
        .collect();
    gateway.agent.see(&back);
    for pending in waiting {
        assert_eq!(pending.await.unwrap().status, 200);
    }
    gateway.at_rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_refuses_fast_is_no_magnet() {
    let gateway = Gateway::start(Options {
        pods: 2,
        admission: json!({}),
        ..Options::default()
    })
    .await;
    gateway.release();
    let client = gateway.client(Protocol::Http1);
    // One serves, slowly; the other is idle all the time, because it refuses at once.
    gateway.pods[0].answer(Answer::Stream {
        chunks: 3,
        gap: Duration::from_millis(20),
    });
    gateway.pods[1].answer(Answer::Status(429));
    let before = gateway.pods[1].requests();
    let mut sent = Vec::new();
    for number in 0..100 {
        let client = client.clone();
        sent.push(tokio::spawn(async move {
            client.send(chat(&format!("request {number}"))).await
        }));
        sleep(Duration::from_millis(10)).await;
    }
    for request in sent {
        drop(request.await.unwrap());
    }
    let refused = gateway.pods[1].requests() - before;
    assert!(
        refused < 40,
        "{refused} of 100 went to the pod that refuses"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_agent_what_waits_goes_on_by_what_this_envoy_sees() {
    let mut gateway = Gateway::start(Options::default()).await;
    let occupant = gateway.occupy(0).await;
    let waiting: Vec<_> = (0..10)
        .map(|number| send(&gateway, Protocol::Http1, chat(&format!("{number}"))))
        .collect();
    gateway.queued(10).await;
    gateway.agent = FakeAgent::start(2).await.unwrap();
    // Longer than signals are believed.
    sleep(Duration::from_secs(6)).await;
    assert_eq!(gateway.pods[0].requests(), 1, "no signals are not room");
    gateway.release();
    for pending in waiting {
        assert_eq!(pending.await.unwrap().status, 200);
    }
    assert_eq!(occupant.await.unwrap(), 200);
    gateway.is("zerohop_queued_requests", 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_crashes_holds_nobody_back() {
    let gateway = Gateway::start(Options {
        change: |config| {
            // Envoy calls a lost worker's held requests no more; only this ends them.
            config.set(&format!("{}/stream_idle_timeout", at::MANAGER), json!("8s"))?;
            config.wasm(&artifacts::chaos_wasm()?)
        },
        ..Options::default()
    })
    .await;
    let occupant = gateway.occupy(0).await;
    let waiting: Vec<_> = (0..30)
        .map(|number| {
            send(
                &gateway,
                Protocol::Http1,
                of("critical", &format!("{number}")),
            )
        })
        .collect();
    gateway.queued(30).await;
    chaos::crash_once(gateway.envoy.address()).await.unwrap();
    gateway.release();
    let mut statuses = BTreeMap::new();
    for pending in waiting {
        *statuses
            .entry(pending.await.unwrap().status.as_u16())
            .or_insert(0) += 1;
    }
    let answered: Vec<u16> = statuses.keys().copied().collect();
    assert!(
        answered.iter().all(|status| [200, 503].contains(status)),
        "{statuses:?}"
    );
    assert!(
        statuses.contains_key(&503),
        "somebody was in that worker: {statuses:?}"
    );
    assert!([200, 503].contains(&occupant.await.unwrap()));
    // Of less priority than those who were lost with their worker.
    let client = gateway.client(Protocol::Http1);
    let limit = Duration::from_secs(5);
    for number in 0..20 {
        eventually("one of less priority is served", limit, || async {
            let answer = client
                .send(of("sheddable", &format!("after {number}")))
                .await;
            answer.is_ok_and(|answer| answer.status == 200)
        })
        .await
        .unwrap();
    }
    gateway.at_rest().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_outlives_its_configuration() {
    let files = Scratch::new().unwrap();
    let mut gateway = Gateway::start(Options::default()).await;
    // The same once more, with the filter from a file that Envoy watches.
    let members: Vec<_> = gateway.pods.iter().map(Pod::address).collect();
    let mut base = base_config(&members, gateway.agent.address()).unwrap();
    base.change_plugin(|plugin| {
        plugin["admission"] = json!({"rules": {"room": {"waiting": 1}}});
    })
    .unwrap();
    let mut config = base.clone();
    let content = config
        .discover_filter(&files.path().join("ecds.json"))
        .unwrap();
    files.write("ecds.json", &content).unwrap();
    gateway.envoy = Envoy::start(config, 2).await.unwrap();
    gateway.at_least("zerohop_endpoints", 1).await;
    let occupant = gateway.occupy(0).await;
    let waiting: Vec<_> = (0..20)
        .map(|number| send(&gateway, Protocol::Http1, chat(&format!("{number}"))))
        .collect();
    gateway.queued(20).await;
    base.change_plugin(|plugin| plugin["report_served"] = json!(true))
        .unwrap();
    files
        .write("ecds.json", &base.discovered("2").unwrap())
        .unwrap();
    gateway
        .at_least(
            "extension_config_discovery.http_filter.zerohop.config_reload",
            2,
        )
        .await;
    let later: Vec<_> = (0..20)
        .map(|number| send(&gateway, Protocol::Http1, chat(&format!("later {number}"))))
        .collect();
    gateway.queued(40).await;
    gateway.release();
    for pending in waiting.into_iter().chain(later) {
        assert_eq!(pending.await.unwrap().status, 200);
    }
    assert_eq!(occupant.await.unwrap(), 200);
    gateway.at_rest().await;
}
