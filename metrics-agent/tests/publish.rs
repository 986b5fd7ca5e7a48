//! The push contract over real gRPC on loopback.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a test fails"
)]

mod support;

use std::time::{Duration, Instant};

use picker::{InFlight, Millis};
use pool_state::{
    mirror::{Applied, PoolMirror},
    proto::agent_message::Message,
};
use support::{Gateway, Rig, address, soon};
use tonic::Code;

fn apply(mirror: &mut PoolMirror, message: Message, now: Millis) {
    let applied = match message {
        Message::Snapshot(snapshot) => mirror.apply_snapshot(snapshot, now),
        Message::Delta(delta) => mirror.apply_delta(delta, now),
        other => panic!("neither snapshot nor delta: {other:?}"),
    };
    assert_eq!(applied, Ok(Applied::Taken));
}

fn queues(mirror: &PoolMirror) -> Vec<(u16, f32)> {
    let snapshot = mirror.snapshot().expect("a snapshot was taken");
    let endpoints = snapshot.endpoints.iter();
    endpoints
        .map(|endpoint| {
            let waiting = endpoint.signals.waiting.map_or(-1.0, |signal| signal.value);
            (endpoint.id.address.port() - address(0).port(), waiting)
        })
        .collect()
}

#[tokio::test]
async fn a_snapshot_comes_first_and_deltas_lead_to_the_same_state() {
    let rig = Rig::start().await;
    rig.members(&[("a", 3)]);
    (0..3).for_each(|target| rig.scraped(target, f32::from(target)));
    let mut gateway = rig.gateway("gw-1", &["a"]).await;
    let mut mirror = PoolMirror::new("a");

    let first = gateway.hear().await.unwrap();
    assert!(matches!(first, Message::Snapshot(_)), "got {first:?}");
    apply(&mut mirror, first, rig.hub.clock.now());
    assert_eq!(queues(&mirror), [(0, 0.0), (1, 1.0), (2, 2.0)]);

    // Changed values, an endpoint that goes and one that comes.
    rig.scraped(1, 10.0);
    let delta = gateway.news().await.unwrap();
    let Message::Delta(changed) = &delta else {
        panic!("a delta: {delta:?}")
    };
    assert_eq!(changed.upserts.len(), 1, "only what changed travels");
    apply(&mut mirror, delta, rig.hub.clock.now());
    assert_eq!(queues(&mirror), [(0, 0.0), (1, 10.0), (2, 2.0)]);

    rig.members(&[("a", 2)]);
    apply(
        &mut mirror,
        gateway.news().await.unwrap(),
        rig.hub.clock.now(),
    );
    assert_eq!(queues(&mirror), [(0, 0.0), (1, 10.0)]);

    rig.members(&[("a", 4)]);
    rig.scraped(3, 33.0);
    while queues(&mirror).len() < 3 {
        apply(
            &mut mirror,
            gateway.news().await.unwrap(),
            rig.hub.clock.now(),
        );
    }
    assert_eq!(
        queues(&mirror),
        [(0, 0.0), (1, 10.0), (3, 33.0)],
        "target 2 was not scraped again"
    );
}

#[tokio::test]
async fn what_gateways_hold_equals_the_index_after_a_storm_of_changes() {
    let rig = Rig::start().await;
    rig.members(&[("a", 20)]);
    (0..20).for_each(|target| rig.scraped(target, 0.0));
    let mut gateways = Vec::new();
    for index in 0..3 {
        gateways.push((
            rig.gateway(&format!("gw-{index}"), &["a"]).await,
            PoolMirror::new("a"),
        ));
    }
    for round in 1..=200u16 {
        rig.scraped(round % 20, f32::from(round));
        if round % 8 == 0 {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    }
    let expected: Vec<(u16, f32)> = (0..20u16)
        .map(|target| {
            (
                target,
                f32::from(if target == 0 { 200 } else { 180 + target }),
            )
        })
        .collect();
    for (gateway, mirror) in &mut gateways {
        soon("the last state", async {
            loop {
                apply(mirror, gateway.news().await.unwrap(), rig.hub.clock.now());
                if queues(mirror) == expected {
                    break;
                }
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_change_reaches_the_gateway_within_15_ms() {
    let rig = Rig::start().await;
    rig.members(&[("a", 1)]);
    rig.scraped(0, 0.0);
    let mut gateway = rig.gateway("gw-1", &["a"]).await;
    gateway.news().await.unwrap();
    let mut delays = Vec::new();
    for round in 1..=50u16 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let changed = Instant::now();
        rig.scraped(0, f32::from(round));
        let Message::Delta(_) = gateway.news().await.unwrap() else {
            panic!("a delta")
        };
        delays.push(changed.elapsed());
    }
    delays.sort();
    // The machine may be busy with other tests: the median tells of the design.
    assert!(
        delays[25] < Duration::from_millis(15),
        "median {:?}",
        delays[25]
    );
}

#[tokio::test]
async fn gateways_see_each_others_load_and_not_their_own() {
    let rig = Rig::start().await;
    rig.members(&[("a", 2)]);
    (0..2).for_each(|target| rig.scraped(target, 0.0));
    let mut one = rig.gateway("gw-1", &["a"]).await;
    let mut two = rig.gateway("gw-2", &["a"]).await;
    let (mut of_one, mut of_two) = (PoolMirror::new("a"), PoolMirror::new("a"));
    apply(&mut of_one, one.news().await.unwrap(), rig.hub.clock.now());
    apply(&mut of_two, two.news().await.unwrap(), rig.hub.clock.now());
    let ids: Vec<_> = of_one
        .snapshot()
        .unwrap()
        .endpoints
        .iter()
        .map(|e| e.id)
        .collect();
    let others = |mirror: &PoolMirror| -> Vec<u32> {
        let endpoints = mirror.snapshot().unwrap().endpoints.iter();
        endpoints
            .map(|e| {
                e.signals
                    .others_in_flight
                    .map_or(0, |others| others.value.requests)
            })
            .collect()
    };

    one.report("a", &[(ids[0], 5)]).await;
    two.report("a", &[(ids[0], 2), (ids[1], 7)]).await;
    soon("both see the other", async {
        while others(&of_one) != [2, 7] {
            apply(&mut of_one, one.news().await.unwrap(), rig.hub.clock.now());
        }
        while others(&of_two) != [5, 0] {
            apply(&mut of_two, two.news().await.unwrap(), rig.hub.clock.now());
        }
    })
    .await;

    for (mirror, requests) in [(&of_one, [2, 7]), (&of_two, [5, 0])] {
        let endpoints = mirror.snapshot().unwrap().endpoints.iter();
        for (endpoint, requests) in endpoints.zip(requests) {
            let others = endpoint.signals.others_in_flight;
            let others = others.map_or(InFlight::default(), |others| others.value);
            let expected = InFlight {
                requests,
                tokens: 300 * u64::from(requests),
                prefilling: requests,
                prefill_tokens: 100 * u64::from(requests),
            };
            assert_eq!(others, expected, "the prefill too");
        }
    }

    // A new measurement keeps the others' load, and a gateway that leaves takes its load along.
    rig.scraped(0, 9.0);
    soon("the measurement", async {
        while queues(&of_one)[0].1 != 9.0 {
            apply(&mut of_one, one.news().await.unwrap(), rig.hub.clock.now());
        }
    })
    .await;
    assert_eq!(others(&of_one), [2, 7]);
    drop(two);
    soon("the load of the one that left is gone", async {
        while others(&of_one) != [0, 0] {
            apply(&mut of_one, one.news().await.unwrap(), rig.hub.clock.now());
        }
    })
    .await;
}

#[tokio::test]
async fn unknown_pools_are_refused_and_served_when_they_appear() {
    let rig = Rig::start().await;
    rig.members(&[("a", 1)]);
    rig.scraped(0, 1.0);
    let mut gateway = rig.gateway("gw-1", &["a", "later"]).await;
    let mut kinds = [gateway.news().await.unwrap(), gateway.news().await.unwrap()];
    kinds.sort_by_key(|kind| matches!(kind, Message::Refusal(_)));
    assert!(matches!(&kinds[0], Message::Snapshot(snapshot) if snapshot.pool == "a"));
    assert!(matches!(&kinds[1], Message::Refusal(refusal) if refusal.pool == "later"));

    rig.members(&[("a", 1), ("later", 1)]);
    let appeared = gateway.news().await.unwrap();
    assert!(
        matches!(&appeared, Message::Snapshot(snapshot) if snapshot.pool == "later"),
        "got {appeared:?}"
    );
    rig.members(&[("later", 1)]);
    soon("the pool that went is refused", async {
        loop {
            if let Message::Refusal(refusal) = gateway.news().await.unwrap() {
                assert_eq!(refusal.pool, "a");
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn both_sides_show_life_and_the_silent_are_dropped() {
    let rig = Rig::start().await;
    rig.members(&[("a", 1)]);
    rig.scraped(0, 1.0);
    let mut alive = rig.gateway("alive", &["a"]).await;
    let mut silent = rig.gateway("silent", &["a"]).await;
    let started = Instant::now();
    let ending = tokio::spawn(async move { (silent.ending().await, started.elapsed()) });
    let mut heartbeats = 0;
    while started.elapsed() < Duration::from_millis(4_200) {
        alive.heartbeat().await;
        let heard = tokio::time::timeout(Duration::from_millis(400), alive.hear()).await;
        if let Ok(Ok(Message::Heartbeat(heartbeat))) = heard {
            heartbeats += 1;
            assert_eq!(heartbeat.sequence, heartbeats);
        }
    }
    assert!(
        (3..=5).contains(&heartbeats),
        "{heartbeats} heartbeats in 4.2 s"
    );
    let (status, after) = soon("the silent one's ending", ending).await.unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    let after = after.as_millis();
    assert!((2_900..3_900).contains(&after), "dropped after {after} ms");
}

#[tokio::test]
async fn what_a_gateway_refused_is_known_until_it_leaves() {
    use pool_state::{convert::sheds_to_proto, proto::gateway_message::Message as M};
    let rig = Rig::start().await;
    rig.members(&[("a", 1)]);
    let mut gateway = rig.gateway("gw", &["a"]).await;
    let sheds = || rig.hub.index().view(rig.hub.clock.now())[0].sheds;
    for total in [40, 42] {
        gateway.say(M::Sheds(sheds_to_proto("a", total))).await;
    }
    soon("the refusals are known", async {
        while (sheds().total, sheds().gateways) != (2, 1) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    drop(gateway);
    soon("the gateway is gone", async {
        while sheds().gateways > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(sheds().total, 2, "what it told stays");
}

#[tokio::test]
async fn streams_that_break_the_contract_end_with_the_reason() {
    use pool_state::proto::{
        EndpointId, EndpointLoad, Heartbeat, Hello, InFlightReport, ShedReport,
        gateway_message::Message as M,
    };
    let rig = Rig::start().await;
    rig.members(&[("a", 1)]);
    rig.scraped(0, 1.0);
    let hello = |id: &str, pools: &[&str]| {
        M::Hello(Hello {
            gateway_id: id.to_owned(),
            pools: pools.iter().map(|pool| (*pool).to_owned()).collect(),
        })
    };
    let many: Vec<String> = (0..65).map(|index| format!("p{index}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = "x".repeat(129);
    let bad_load = M::InFlight(InFlightReport {
        pool: "a".to_owned(),
        loads: vec![EndpointLoad {
            id: Some(EndpointId {
                ip: vec![1, 2, 3],
                port: 1,
                generation: 0,
            }),
            in_flight: None,
        }],
    });
    let cases: Vec<(&str, Vec<M>, &str)> = vec![
        (
            "no hello",
            vec![M::Heartbeat(Heartbeat { sequence: 1 })],
            "must be a hello",
        ),
        ("no id", vec![hello("", &["a"])], "gateway_id"),
        ("long id", vec![hello(&long, &["a"])], "gateway_id"),
        ("odd id", vec![hello("a\nb", &["a"])], "gateway_id"),
        ("no pools", vec![hello("gw", &[])], "pools"),
        ("too many pools", vec![hello("gw", &many)], "at most 64"),
        ("pool twice", vec![hello("gw", &["a", "a"])], "twice"),
        (
            "second hello",
            vec![hello("gw", &["a"]), hello("gw", &["a"])],
            "second hello",
        ),
        (
            "bad load",
            vec![hello("gw", &["a"]), bad_load],
            "4 or 16 bytes",
        ),
        (
            "bad refusals",
            vec![hello("gw", &["a"]), M::Sheds(ShedReport::default())],
            "sheds.pool",
        ),
    ];
    for (name, messages, reason) in cases {
        let mut gateway = Gateway::silent(rig.channel().await).await;
        for message in messages {
            gateway.say(message).await;
        }
        let status = gateway.ending().await;
        assert_eq!(status.code(), Code::InvalidArgument, "{name}: {status:?}");
        assert!(status.message().contains(reason), "{name}: {status:?}");
    }

    let mut nothing = Gateway::silent(rig.channel().await).await;
    let started = Instant::now();
    assert_eq!(nothing.ending().await.code(), Code::DeadlineExceeded);
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );

    // After all that an honest gateway is served.
    let mut honest = rig.gateway("honest", &["a"]).await;
    assert!(matches!(honest.news().await.unwrap(), Message::Snapshot(_)));
}

#[tokio::test]
async fn a_gateway_that_does_not_read_costs_no_memory_and_gets_the_latest_state() {
    let rig = Rig::start().await;
    rig.members(&[("a", 1_000)]);
    (0..1_000).for_each(|target| rig.scraped(target, 0.0));
    let mut gateway = rig.gateway("slow", &["a"]).await;
    let mut mirror = PoolMirror::new("a");
    // Each round changes 1,000 endpoints, some 50 kB: without reading, window and buffers are full
    // after a fraction of them.
    for round in 1..=100u16 {
        (0..1_000).for_each(|target| rig.scraped(target, f32::from(round)));
        gateway.heartbeat().await;
        tokio::time::sleep(Duration::from_millis(14)).await;
    }
    let mut messages = 0;
    soon("the latest state", async {
        loop {
            apply(
                &mut mirror,
                gateway.news().await.unwrap(),
                rig.hub.clock.now(),
            );
            messages += 1;
            if queues(&mirror).iter().all(|(_, waiting)| *waiting == 100.0) {
                break;
            }
        }
    })
    .await;
    assert!(
        messages < 60,
        "{messages} messages were waiting for a slow gateway"
    );
}

#[tokio::test]
async fn as_many_idle_streams_as_documented_and_no_more() {
    let rig = Rig::start().await;
    rig.members(&[("a", 1)]);
    rig.scraped(0, 1.0);
    let mut streams = Vec::new();
    for connection in 0..metrics_agent::publish::MAX_STREAMS / 64 {
        let channel = rig.channel().await;
        for stream in 0..64 {
            let mut gateway = Gateway::silent(channel.clone()).await;
            gateway
                .hello(&format!("gw-{connection}-{stream}"), &["a"])
                .await;
            streams.push(gateway);
        }
        // On a busy machine it takes seconds to open them all.
        for gateway in &mut streams {
            gateway.heartbeat().await;
        }
    }
    for gateway in &mut streams {
        assert!(matches!(
            gateway.news().await.unwrap(),
            Message::Snapshot(_)
        ));
    }
    let channel = rig.channel().await;
    let (_sender, messages) = tokio::sync::mpsc::channel(1);
    let refused = pool_state::proto::pool_state_client::PoolStateClient::new(channel)
        .sync(tokio_stream::wrappers::ReceiverStream::new(messages))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::ResourceExhausted);
    streams.pop();
    soon("room for another", async {
        loop {
            let (_sender, messages) = tokio::sync::mpsc::channel(1);
            let again =
                pool_state::proto::pool_state_client::PoolStateClient::new(rig.channel().await)
                    .sync(tokio_stream::wrappers::ReceiverStream::new(messages))
                    .await;
            if again.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn messages_beyond_the_limit_end_the_stream() {
    use pool_state::proto::{InFlightReport, gateway_message::Message as M};
    let rig = Rig::start().await;
    rig.members(&[("a", 1)]);
    let mut gateway = rig.gateway("gw-1", &["a"]).await;
    gateway
        .say(M::InFlight(InFlightReport {
            pool: "x".repeat(5 << 20),
            loads: Vec::new(),
        }))
        .await;
    let status = gateway.ending().await;
    assert_ne!(status.code(), Code::DeadlineExceeded, "{status:?}");
    let mut honest = rig.gateway("honest", &["a"]).await;
    rig.scraped(0, 1.0);
    assert!(matches!(honest.news().await.unwrap(), Message::Snapshot(_)));
}

#[tokio::test]
async fn streams_end_when_the_agent_stops() {
    let mut rig = Rig::start().await;
    rig.members(&[("a", 1)]);
    rig.scraped(0, 1.0);
    let mut gateway = rig.gateway("gw-1", &["a"]).await;
    gateway.news().await.unwrap();
    rig.trigger.request();
    let status = gateway.ending().await;
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.message().contains("stopping"), "{status:?}");
    drop(gateway);
    soon("the server's end", &mut rig.server)
        .await
        .unwrap()
        .unwrap();
}
