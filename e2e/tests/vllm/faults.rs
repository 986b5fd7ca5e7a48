//! What dies, and who notices: nobody.

use std::time::Duration;

use e2e::rig::{Client, LoadReport, Protocol, RequestSpec, client::Outcome, eventually};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep},
};

use super::{
    direct::Busy,
    stage::{Kind, PATIENCE, RATE, Stage, request},
};

const FAULT_AT: Duration = Duration::from_secs(2);
const LOAD_SECONDS: u64 = 10;
/// A replica that is gone must be out of the picks within this time.
const OUT_WITHIN: Duration = Duration::from_secs(1);
/// Each of two workers asks a suspect again after 1 s, 2 s, 4 s.
const TRIALS: u64 = 6;

fn none_failed(report: &LoadReport, what: &str) {
    let expected = (RATE * LOAD_SECONDS as f64) as usize;
    assert_eq!(report.sent(), expected, "{what}");
    let failures = report.failures();
    assert!(failures.is_empty(), "{what}: {failures:#?}");
}

fn repeated(report: &LoadReport) -> usize {
    let attempts = |outcome: &&Outcome| {
        let response = outcome.result.as_ref();
        response.is_ok_and(|response| response.attempts() > 1)
    };
    report.outcomes.iter().filter(attempts).count()
}

/// The agent dies under load, and stays away until all signals have expired.
pub(super) async fn agent_killed(stage: &mut Stage) {
    let load = stage.load(LOAD_SECONDS, true);
    sleep(FAULT_AT).await;
    stage.rig.agent.as_mut().unwrap().kill();
    none_failed(&load.await.unwrap(), "agent killed");
    let agent = stage.rig.agent.as_mut().unwrap();
    agent.restart().await.unwrap();
}

/// A replica is killed under load, and comes back afterwards.
pub(super) async fn replica_killed(stage: &mut Stage) {
    let load = stage.load(LOAD_SECONDS, false);
    sleep(FAULT_AT).await;
    stage.replicas[0].kill();
    sleep(OUT_WITHIN).await;
    let tried = stage.tried(0).await;
    let report = load.await.unwrap();
    let later = stage.tried(0).await - tried;
    println!(
        "replica killed: {} repeated, {later} trials later",
        repeated(&report)
    );
    none_failed(&report, "replica killed");
    assert!(
        later <= TRIALS,
        "tried {later} times later than {OUT_WITHIN:?}"
    );
    let last = report.per_upstream(FAULT_AT + OUT_WITHIN..);
    assert_eq!(last.get(&stage.address(0)), None, "{last:?}");

    stage.replicas[0].restart().await.unwrap();
    picked_again(stage, 0).await;
}

async fn picked_again(stage: &Stage, replica: usize) {
    eventually("the replica is picked again", PATIENCE, || async {
        let mut picked = false;
        for number in 0..4 {
            let spec = request(Kind::of(number), "tiny", number, 2);
            let response = stage.rig.client.send(spec).await.unwrap();
            assert_eq!(response.status, 200, "{}", response.text());
            picked |= response.upstream() == Some(stage.address(replica));
        }
        picked
    })
    .await
    .unwrap();
}

/// A replica shuts down under load: it says that it is healthy and idle and answers 500, while the
/// other one is busy.
pub(super) async fn replica_draining(stage: &mut Stage) {
    let _busy = Busy::with(stage.address(1), "tiny", 6, 100);
    stage
        .sees(1, "the other replica has a queue", |page| {
            page["signals"]["waiting"]["value"].as_f64() >= Some(1.0)
        })
        .await;
    let load = stage.load(LOAD_SECONDS, false);
    sleep(FAULT_AT).await;
    // What keeps the shutdown from being over at once: some seconds of generation.
    let unfinished = Busy::once(stage.address(0), 4, 500);
    stage
        .sees(0, "it generates", |page| {
            page["signals"]["running"]["value"].as_f64() >= Some(4.0)
        })
        .await;
    stage.replicas[0].terminate().unwrap();
    let start = Instant::now();
    let address = stage.address(0);
    let mut refused = 0;
    // As long as its port is open: healthy, and of no use.
    while TcpStream::connect(address).await.is_ok() {
        assert!(start.elapsed() < PATIENCE, "it does not end");
        // On connections of their own, because it closes one after such a 500.
        let ask = |spec| async move { Client::new(address, Protocol::Http1).send(spec).await };
        let answer = ask(request(Kind::Completion, "tiny", 1, 1)).await;
        let health = ask(RequestSpec::get("/health")).await;
        if let (Ok(answer), Ok(health)) = (answer, health) {
            let shut = answer.text().contains("cannot schedule new futures");
            refused += u32::from(answer.status == 500 && shut && health.status == 200);
        }
        sleep(Duration::from_millis(50)).await;
    }
    let lasted = start.elapsed();
    let report = load.await.unwrap();
    println!(
        "replica draining for {lasted:?}: healthy with 500 {refused} times, {} repeated",
        repeated(&report)
    );
    drop(unfinished);
    assert!(refused > 0, "it was never healthy and useless");
    none_failed(&report, "replica draining");
    assert!(repeated(&report) > 0, "nothing had to be repeated");
    let last = report.per_upstream(FAULT_AT + lasted..);
    assert_eq!(last.get(&stage.address(0)), None, "{last:?}");
}
