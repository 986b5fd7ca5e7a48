//! Resources of the inference APIs, from files, reach every worker without a reload, stay in force, and split
//! and roll out as they say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{collections::BTreeMap, time::Duration};

use e2e::rig::{
    Agent, AgentConfig, Answer, Client, Envoy, Load, Pod, Protocol, RequestSpec,
    discovering_config, eventually, resources,
};
use tokio::time::sleep;

/// From a file's change to every worker's knowing.
const EVERYWHERE: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(5);
const WORKERS: u32 = 4;
/// Every request goes to this model.
const ALL: [(&str, u32); 1] = [("tiny", 1)];

struct Set {
    pod: Pod,
    agent: Agent,
    envoy: Envoy,
}

impl Set {
    async fn start(targets: &[(&str, u32)]) -> Self {
        let pod = Pod::start().await.unwrap();
        pod.answer(Answer::Speak { piece: 1_000 });
        let agent = AgentConfig::of_resources(&text(&pod, "first", targets));
        let agent = Agent::start(agent).await.unwrap();
        let mut config = discovering_config(agent.config().grpc).unwrap();
        resources::follow(&mut config).unwrap();
        let envoy = Envoy::start(config, WORKERS).await.unwrap();
        let set = Self { pod, agent, envoy };
        let read = || async { set.count("policy_read").await >= u64::from(WORKERS) };
        eventually("every worker has a policy", SOON, read)
            .await
            .unwrap();
        set
    }

    /// How often something happened to policies, in all threads.
    async fn count(&self, what: &str) -> u64 {
        let stats = self.envoy.admin().stats(what).await.unwrap();
        stats.values().sum()
    }

    /// VMs that Envoy ever made.
    async fn vms(&self) -> u64 {
        self.count("v8.created").await
    }

    fn client(&self) -> Client {
        Client::new(self.envoy.address(), Protocol::Http1).with_limit(Duration::from_secs(20))
    }

    /// The models that the pod was asked for since the last call.
    fn asked(&self) -> Vec<String> {
        let recorded = self.pod.take_recorded().into_iter();
        recorded.filter_map(|request| request.model).collect()
    }

    /// Requests for `model` are rewritten, whichever worker serves them.
    async fn serves(&self, model: &str) {
        drop(self.pod.take_recorded());
        for _ in 0..8 {
            let client = Client::new(self.envoy.address(), Protocol::Http1);
            let spec = RequestSpec::completion(model, "still there?");
            let response = client.send(spec).await.unwrap();
            assert_eq!(response.status, 200, "{}", response.text());
            assert_eq!(response.upstream(), Some(self.pod.address()));
        }
        assert_eq!(self.asked(), vec!["tiny"; 8]);
    }
}

fn text(pod: &Pod, model: &str, targets: &[(&str, u32)]) -> String {
    let targets = targets
        .iter()
        .map(|(name, weight)| ((*name).to_owned(), *weight));
    let rules = [(model.to_owned(), targets.collect())];
    format!(
        "{}{}",
        resources::pool(&[pod.address()]),
        resources::rewrite(&rules)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_reaches_every_worker_within_a_second_without_a_reload() {
    let mut set = Set::start(&ALL).await;
    // The main thread has a VM too, which may read later than the workers.
    sleep(Duration::from_millis(500)).await;
    let (threads, vms) = (set.count("policy_read").await, set.vms().await);
    for change in 1..=3 {
        let model = format!("model-{change}");
        let resources = text(&set.pod, &model, &ALL);
        set.agent.apply(&resources).unwrap();
        let read = || async { set.count("policy_read").await >= threads * (change + 1) };
        let took = eventually("every worker has the change", EVERYWHERE, read).await;
        println!("change {change} was everywhere after {:?}", took.unwrap());
        set.serves(&model).await;
    }
    assert_eq!(set.vms().await, vms, "nothing was reloaded");
    assert_eq!(set.count("policy_refused").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_file_and_a_dead_agent_leave_the_last_policy_in_force() {
    let mut set = Set::start(&ALL).await;
    sleep(Duration::from_millis(500)).await;
    let (taken, read) = (
        set.count("policy_taken").await,
        set.count("policy_read").await,
    );
    let broken = text(&set.pod, "second", &ALL).replace("modelRewrite", "modelRewritten");
    set.agent.apply(&broken).unwrap();
    let told = || async {
        let page = set.agent.page("/debug/pools").await.unwrap_or_default();
        page.contains("modelRewritten: is not a field here")
    };
    eventually("the mistake is told", SOON, told).await.unwrap();
    set.agent.kill();
    // Past the silence after which the agent counts as gone.
    sleep(Duration::from_secs(4)).await;
    set.serves("first").await;
    set.agent.apply(&text(&set.pod, "first", &ALL)).unwrap();
    set.agent.restart().await.unwrap();
    let up = || async { set.count("agent_stream_up").await == 1 };
    eventually("the agent is back", SOON, up).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    set.serves("first").await;
    assert_eq!(
        set.count("policy_taken").await,
        taken,
        "the same policy is not written again"
    );
    assert_eq!(set.count("policy_read").await, read);
    assert_eq!(set.count("policy_refused").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_are_split_as_the_weights_say() {
    let set = Set::start(&[("stable", 70), ("canary", 30)]).await;
    let tasks = (0..16).map(|_| {
        let client = set.client();
        tokio::spawn(async move {
            for _ in 0..10_000 / 16 {
                let spec = RequestSpec::completion("first", "hello");
                assert_eq!(client.send(spec).await.unwrap().status, 200);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let mut shares: BTreeMap<String, usize> = BTreeMap::new();
    for model in set.asked() {
        *shares.entry(model).or_default() += 1;
    }
    println!("{shares:?}");
    assert_eq!(shares["stable"] + shares["canary"], 10_000);
    assert!(shares["canary"].abs_diff(3_000) <= 200, "{shares:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roll_out_under_load_fails_nobody() {
    let steps = [
        [("stable", 100), ("canary", 0)],
        [("stable", 90), ("canary", 10)],
        [("stable", 50), ("canary", 50)],
        [("stable", 0), ("canary", 100)],
    ];
    // A target of weight 0 is one that is not there.
    let steps = steps.map(|targets| targets.into_iter().filter(|(_, weight)| *weight > 0));
    let steps = steps.map(Vec::from_iter);
    let mut set = Set::start(&steps[0]).await;
    let client = set.client();
    let load = Load {
        rate: 150.0,
        duration: Duration::from_secs(9),
    };
    let request = |_| RequestSpec::completion("first", "hello");
    let sending = tokio::spawn(async move { client.load(load, request).await });
    let mut seen = Vec::new();
    for targets in steps {
        let resources = text(&set.pod, "first", &targets);
        set.agent.apply(&resources).unwrap();
        // The change reaches every worker within a second.
        sleep(EVERYWHERE).await;
        drop(set.asked());
        sleep(Duration::from_secs(1)).await;
        let asked = set.asked();
        let canaries = asked.iter().filter(|model| *model == "canary").count();
        seen.push((canaries, asked.len()));
    }
    let report = sending.await.unwrap();
    assert!(report.failures().is_empty(), "{:#?}", report.failures());
    println!("canaries of requests in each step: {seen:?}");
    let shares: Vec<f64> = seen
        .iter()
        .map(|(canaries, all)| *canaries as f64 / *all as f64)
        .collect();
    assert!(seen.iter().all(|(_, all)| *all > 80), "{seen:?}");
    assert!(shares[0] == 0.0 && shares[3] == 1.0, "{seen:?}");
    assert!(
        (0.01..0.3).contains(&shares[1]) && (0.3..0.7).contains(&shares[2]),
        "{seen:?}"
    );
}
