//! Resources of the inference APIs reach every worker, without a reload, and stay in force.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use e2e::rig::{
    Agent, AgentConfig, Answer, Client, Envoy, Pod, Protocol, RequestSpec, discovering_config,
    eventually, resources,
};
use tokio::time::sleep;

/// From a file's change to every worker's knowing.
const EVERYWHERE: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(5);
const WORKERS: u32 = 4;

struct Set {
    pod: Pod,
    agent: Agent,
    envoy: Envoy,
}

impl Set {
    async fn start() -> Self {
        let pod = Pod::start().await.unwrap();
        pod.answer(Answer::Speak { piece: 1_000 });
        let agent = AgentConfig::of_resources(&text(&pod, "first"));
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
        let models: Vec<Option<String>> = self
            .pod
            .take_recorded()
            .into_iter()
            .map(|asked| asked.model)
            .collect();
        assert_eq!(models, vec![Some("tiny".to_owned()); 8]);
    }
}

fn text(pod: &Pod, model: &str) -> String {
    let rules = [(model.to_owned(), vec![("tiny".to_owned(), 1)])];
    format!(
        "{}{}",
        resources::pool(&[pod.address()]),
        resources::rewrite(&rules)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_file_reaches_every_worker_within_a_second_without_a_reload() {
    let mut set = Set::start().await;
    // The main thread has a VM too, which may read later than the workers.
    sleep(Duration::from_millis(500)).await;
    let (threads, vms) = (set.count("policy_read").await, set.vms().await);
    for change in 1..=3 {
        let model = format!("model-{change}");
        let resources = text(&set.pod, &model);
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
    let mut set = Set::start().await;
    sleep(Duration::from_millis(500)).await;
    let (taken, read) = (
        set.count("policy_taken").await,
        set.count("policy_read").await,
    );
    let broken = text(&set.pod, "second").replace("modelRewrite", "modelRewritten");
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
    set.agent.apply(&text(&set.pod, "first")).unwrap();
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
