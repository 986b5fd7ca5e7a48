//! Clients that go away at every phase of a request: afterwards every in-flight count is exactly 0.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use e2e::rig::{Answer, Client, Protocol, RequestSpec, Rig, RigOptions, eventually, raw};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

const ABORTS: usize = 10_000;
const AT_ONCE: usize = 64;
/// The filter's own gauge, one a pool.
const GAUGE: &str = "zerohop_in_flight_requests";

/// Where an HTTP/1.1 client leaves.
#[derive(Debug, Clone, Copy)]
enum Phase {
    InTheHeaders,
    BeforeTheBody,
    InTheBody,
    InALongBody,
    WaitingForTheAnswer,
    InTheAnswer,
    Never,
}

const PHASES: [Phase; 7] = [
    Phase::InTheHeaders,
    Phase::BeforeTheBody,
    Phase::InTheBody,
    Phase::InALongBody,
    Phase::WaitingForTheAnswer,
    Phase::InTheAnswer,
    Phase::Never,
];

/// One request that ends in `phase`, by a clean close or by a reset.
async fn leave(envoy: SocketAddr, phase: Phase, reset: bool) -> std::io::Result<()> {
    let body = r#"{"model":"tiny","stream":true,"prompt":"go away"}"#;
    let length = match phase {
        Phase::InALongBody => 1_000_000,
        _ => body.len(),
    };
    let head = format!(
        "POST /v1/completions HTTP/1.1\r\nhost: rig\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n"
    );
    let mut stream = TcpStream::connect(envoy).await?;
    stream.set_nodelay(true)?;
    let part = match phase {
        Phase::InTheHeaders => head[..40].to_owned(),
        Phase::BeforeTheBody => head,
        Phase::InTheBody => format!("{head}{}", &body[..20]),
        // Far past the point where the filter has decided.
        Phase::InALongBody => format!("{head}{{\"prompt\":\"{}", "x".repeat(200_000)),
        Phase::WaitingForTheAnswer | Phase::InTheAnswer | Phase::Never => format!("{head}{body}"),
    };
    stream.write_all(part.as_bytes()).await?;
    match phase {
        Phase::InTheAnswer => {
            let mut some = [0; 64];
            stream.read_exact(&mut some).await?;
        }
        Phase::Never => drop(raw::receive(&mut stream).await?),
        _ => sleep(Duration::from_millis(2)).await,
    }
    if reset {
        // Closing with unsent data thrown away makes the kernel send RST instead of FIN.
        stream.set_zero_linger()?;
    }
    Ok(())
}

/// Runs `count` tasks, some at a time, and counts those that did not even get as far as leaving.
async fn run<F>(count: usize, make: impl Fn(usize) -> F) -> usize
where
    F: Future<Output = bool> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let slot = Arc::clone(&slots).acquire_owned().await.unwrap();
        let task = make(number);
        tasks.spawn(async move {
            let done = task.await;
            drop(slot);
            done
        });
    }
    tasks
        .join_all()
        .await
        .into_iter()
        .filter(|done| !done)
        .count()
}

/// Every account of requests under way: Envoy's, the filter's own and what the agent was told.
async fn nothing_is_in_flight(rig: &Rig) {
    let admin = rig.envoy.admin();
    eventually(
        "Envoy has no active request",
        Duration::from_secs(10),
        || async {
            admin
                .stat("http.openai.downstream_rq_active")
                .await
                .unwrap()
                == 0
        },
    )
    .await
    .unwrap();
    let limit = Duration::from_secs(3);
    let at_zero = eventually("the filter's in-flight gauge is 0", limit, || async {
        let gauges = admin.stats("in_flight").await.unwrap();
        let ours = gauges.iter().filter(|(name, _)| name.contains(GAUGE));
        let values: Vec<u64> = ours.map(|(_, value)| *value).collect();
        !values.is_empty() && values.iter().all(|value| *value == 0)
    })
    .await;
    if let Err(error) = at_zero {
        panic!("{error}: {:?}", admin.stats("in_flight").await);
    }
    if let Some(agent) = &rig.agent {
        let told = eventually("the agent was told 0", limit, || async {
            let pools = agent.page("/debug/pools").await.unwrap();
            e2e::rig::agent::in_flight(&pools) == Some(0)
        })
        .await;
        if let Err(error) = told {
            panic!("{error}: {}", agent.page("/debug/pools").await.unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http1_clients_that_leave_at_every_phase() {
    let rig = Rig::start(RigOptions::default()).await.unwrap();
    for pod in &rig.pods {
        pod.answer(Answer::Stream {
            chunks: 4,
            gap: Duration::from_millis(3),
        });
    }
    let envoy = rig.envoy.address();
    let failed = run(ABORTS * 7 / 10, move |number| async move {
        let phase = PHASES[number % PHASES.len()];
        let task = leave(envoy, phase, number % 2 == 0);
        timeout(Duration::from_secs(10), task)
            .await
            .is_ok_and(|done| done.is_ok())
    })
    .await;
    assert!(
        failed < ABORTS / 100,
        "{failed} clients could not do their part"
    );
    nothing_is_in_flight(&rig).await;
    // The counts are alive: held requests show in them.
    for pod in &rig.pods {
        pod.answer(Answer::Hold);
    }
    let held: Vec<_> = (0..5)
        .map(|number| {
            let client = rig.client.clone();
            let spec = RequestSpec::completion("tiny", &format!("held {number}"));
            tokio::spawn(async move { client.send(spec).await })
        })
        .collect();
    let admin = rig.envoy.admin();
    eventually("the gauge counts 5", Duration::from_secs(3), || async {
        let gauges = admin.stats("in_flight").await.unwrap();
        gauges
            .iter()
            .any(|(name, value)| name.contains(GAUGE) && *value == 5)
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    let agent = rig.agent.as_ref().unwrap();
    eventually("the agent was told 5", Duration::from_secs(3), || async {
        let pools = agent.page("/debug/pools").await.unwrap();
        e2e::rig::agent::in_flight(&pools) == Some(5)
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    for pod in &rig.pods {
        pod.release();
    }
    for task in held {
        assert_eq!(task.await.unwrap().unwrap().status, 200);
    }
    nothing_is_in_flight(&rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_streams_that_are_reset_at_every_phase() {
    let rig = Rig::start(RigOptions::default()).await.unwrap();
    let client = Client::new(rig.envoy.address(), Protocol::Http2);
    for (round, answer) in [
        Answer::Late(Duration::from_millis(20)),
        Answer::Hang,
        Answer::Stream {
            chunks: 5,
            gap: Duration::from_millis(4),
        },
    ]
    .into_iter()
    .enumerate()
    {
        for pod in &rig.pods {
            pod.answer(answer.clone());
        }
        let client = client.clone();
        let failed = run(ABORTS / 10, move |number| {
            // The limit of the exchange is the moment at which the stream is reset.
            let patience = Duration::from_micros(200 + 173 * (number as u64 % 100));
            let client = client.clone().with_limit(patience);
            let size = [10, 3_000, 70_000][number % 3];
            async move {
                let prompt = "p".repeat(size);
                client
                    .send(RequestSpec::chat("tiny", &prompt, round == 2))
                    .await
                    .ok();
                true
            }
        })
        .await;
        assert_eq!(failed, 0);
    }
    nothing_is_in_flight(&rig).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_the_pods_break_off() {
    let rig = Rig::start(RigOptions::default()).await.unwrap();
    for (number, answer) in [
        Answer::Cut,
        Answer::Status(500),
        Answer::Status(404),
        Answer::Echo,
    ]
    .into_iter()
    .enumerate()
    {
        for pod in &rig.pods {
            pod.answer(answer.clone());
        }
        let client = rig.client.clone();
        let failed = run(100, move |request| {
            let client = client.clone();
            async move {
                let spec = RequestSpec::completion("tiny", &format!("{number}-{request}"));
                client.send(spec).await.is_ok()
            }
        })
        .await;
        assert_eq!(
            failed, 0,
            "every request is answered, if only with an error"
        );
    }
    nothing_is_in_flight(&rig).await;
}
