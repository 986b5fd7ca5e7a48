//! Two replicas, the agent and Envoy, and what can be asked of them.

use std::{net::SocketAddr, time::Duration};

use e2e::rig::{
    Agent, AgentConfig, Client, Envoy, Load, LoadReport, Protocol, RequestSpec, Rig, agent,
    base_config, eventually, label_of, vllm::Replica,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Requests per second of the loads: two replicas and everything else share two cores.
pub(super) const RATE: f64 = 8.0;
/// Generous, because replicas that generate take the CPU from everybody.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Stage {
    pub(super) replicas: Vec<Replica>,
    pub(super) rig: Rig,
}

/// The requests that vLLM serves, as far as routing can tell them apart.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Completion,
    CompletionStream,
    Chat,
    ChatStream,
}

impl Kind {
    pub(super) fn of(number: u64) -> Self {
        [
            Self::Completion,
            Self::Chat,
            Self::CompletionStream,
            Self::ChatStream,
        ][number as usize % 4]
    }

    pub(super) fn streamed(self) -> bool {
        matches!(self, Self::CompletionStream | Self::ChatStream)
    }
}

/// A request of exactly `max_tokens` tokens whose prompt shares no beginning with another number's.
pub(super) fn request(kind: Kind, model: &str, number: u64, max_tokens: u64) -> RequestSpec {
    let text = format!("{number}: tell me");
    let mut body = json!({
        "model": model, "max_tokens": max_tokens, "ignore_eos": true, "stream": kind.streamed(),
    });
    let path = match kind {
        Kind::Completion | Kind::CompletionStream => {
            body["prompt"] = json!(text);
            "/v1/completions"
        }
        Kind::Chat | Kind::ChatStream => {
            body["messages"] = json!([{"role": "user", "content": text}]);
            "/v1/chat/completions"
        }
    };
    RequestSpec {
        path: path.to_owned(),
        ..RequestSpec::post(body.to_string())
    }
}

impl Stage {
    pub(super) async fn set() -> Self {
        // With a shutdown time-out a replica that is told to end looks idle and answers 500.
        let replicas = Replica::start(2, &["--shutdown-timeout", "20"])
            .await
            .unwrap();
        let members: Vec<SocketAddr> = replicas.iter().map(Replica::address).collect();
        let agent = Agent::start(AgentConfig::new(members.clone()))
            .await
            .unwrap();
        let config = base_config(&members, agent.config().grpc).unwrap();
        let envoy = Envoy::start(config, 2).await.unwrap();
        let client = Client::new(envoy.address(), Protocol::Http1).with_limit(PATIENCE);
        let rig = Rig {
            pods: Vec::new(),
            agent: Some(agent),
            envoy,
            client,
        };
        rig.informed().await.unwrap();
        Self { replicas, rig }
    }

    pub(super) fn address(&self, replica: usize) -> SocketAddr {
        self.replicas[replica].address()
    }

    /// Starts a load of `seconds` at [`RATE`], of all kinds or of those that can be repeated.
    pub(super) fn load(&self, seconds: u64, streams: bool) -> JoinHandle<LoadReport> {
        let client = self.rig.client.clone();
        let load = Load {
            rate: RATE,
            duration: Duration::from_secs(seconds),
        };
        tokio::spawn(async move {
            let kind = |number| Kind::of(if streams { number } else { number % 2 });
            client
                .load(load, |number| request(kind(number), "tiny", number, 8))
                .await
        })
    }

    /// What the agent's `/debug/pools` says of a replica.
    pub(super) async fn page(&self, replica: usize) -> Value {
        let page = self.rig.agent.as_ref().unwrap().page("/debug/pools").await;
        let page: Value = serde_json::from_str(&page.unwrap()).unwrap();
        let endpoints = page["pools"][0]["endpoints"].as_array().unwrap();
        let address = self.address(replica).to_string();
        let found = endpoints.iter().find(|each| each["address"] == address);
        found.unwrap().clone()
    }

    /// Waits until `probe` holds for the agent's view of a replica.
    pub(super) async fn sees(&self, replica: usize, what: &str, probe: impl Fn(&Value) -> bool) {
        let seen = eventually(what, PATIENCE, || async {
            probe(&self.page(replica).await)
        })
        .await;
        if let Err(error) = seen {
            panic!("{error}: {:#}", self.page(replica).await);
        }
    }

    /// How often each endpoint was tried so far.
    pub(super) async fn tried(&self, replica: usize) -> u64 {
        let tried = self.rig.tried().await.unwrap();
        tried.get(&self.address(replica)).copied().unwrap_or(0)
    }

    /// The replicas that were tried at least once.
    pub(super) async fn served(&self) -> Vec<SocketAddr> {
        let tried = self.rig.tried().await.unwrap();
        tried
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(address, _)| address)
            .collect()
    }

    /// How often the filter has picked for this reason.
    pub(super) async fn picked_for(&self, reason: &str) -> u64 {
        let picks = self.rig.envoy.admin().stats("zerohop_picks_total").await;
        let picks = picks.unwrap();
        let of_it = picks
            .iter()
            .filter(|(name, _)| label_of(name, "reason") == Some(reason));
        of_it.map(|(_, count)| count).sum()
    }

    /// Waits until every account of requests under way is exactly 0: Envoy's, the filter's own and
    /// what the agent was told.
    pub(super) async fn settled(&self, when: &str) {
        let (admin, agent) = (self.rig.envoy.admin(), self.rig.agent.as_ref().unwrap());
        let accounts = || async {
            let active = "http.openai.downstream_rq_active";
            let ours = admin.stats("zerohop_in_flight_requests").await.unwrap();
            assert!(!ours.is_empty(), "the filter has no in-flight gauge");
            let told = agent.page("/debug/pools").await.unwrap();
            (
                admin.stat(active).await.unwrap(),
                ours.values().sum::<u64>(),
                agent::in_flight(&told),
            )
        };
        let zero = || async { accounts().await == (0, 0, Some(0)) };
        if let Err(error) = eventually("nothing is in flight", PATIENCE, zero).await {
            panic!("{when}: {error}: {:?}", accounts().await);
        }
    }
}
