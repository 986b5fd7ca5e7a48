//! The real agent against the cluster, with the rights that its Role gives it and no others.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use e2e::rig::{
    RigError, artifacts,
    cluster::{Cluster, Objects},
    eventually,
    ports::free_address,
    process::Process,
    raw,
};
use http::Request;
use serde_json::{Value, json};

use crate::{
    packaging::kustomize,
    support::{NAMESPACE, SOON},
};

/// The service account of the agent.
pub(crate) const ACCOUNT: &str = "system:serviceaccount:inference:zerohop-agent";

/// A running agent.
pub(crate) struct Agent {
    pub(crate) process: Process,
    admin: SocketAddr,
}

/// Makes the account and its Role as `deploy/` has them; a token of the account.
pub(crate) async fn account(objects: &Objects) -> String {
    for document in kustomize("base") {
        let kind = document["kind"].as_str().unwrap();
        if matches!(kind, "ServiceAccount" | "Role" | "RoleBinding") {
            objects.apply(&document).await.unwrap();
        }
    }
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": { "expirationSeconds": 3600 },
    });
    let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/zerohop-agent/token");
    let request = Request::post(path)
        .header("content-type", "application/json")
        .body(request.to_string().into_bytes())
        .unwrap();
    let answer: Value = objects.client().request(request).await.unwrap();
    answer["status"]["token"].as_str().unwrap().to_owned()
}

impl Agent {
    /// Starts an agent with a token, and waits until it answers.
    pub(crate) async fn start(cluster: &Cluster, name: &str, token: &str) -> Self {
        let (admin, grpc) = (free_address(), free_address());
        let config = cluster.directory().join(format!("{name}.yaml"));
        let text = format!(
            "agent_id: {name}\nlisten:\n  grpc: \"{grpc}\"\n  admin: \"{admin}\"\nscrape:\n  interval: 1s\n"
        );
        std::fs::write(&config, text).unwrap();
        let kubeconfig = cluster
            .kubeconfig(&format!("{name}.kubeconfig"), NAMESPACE, token)
            .unwrap();
        let process = Process::start(
            "zerohop-agent",
            &artifacts::agent().unwrap(),
            [
                "run",
                "--config",
                config.to_str().unwrap(),
                "--kubernetes",
                "--kubeconfig",
                kubeconfig.to_str().unwrap(),
                "--gateway",
                "inference-gateway",
            ],
            &[],
            &cluster.directory().join(format!("{name}.log")),
        )
        .unwrap();
        let agent = Self { process, admin };
        let answers = || async { agent.page("/healthz").await.is_ok() };
        if let Err(error) = eventually("the agent answers", SOON, answers).await {
            panic!("{error}\n{}", agent.process.failure("does not answer"));
        }
        agent
    }

    /// Waits until it is ready.
    pub(crate) async fn ready(&self) {
        let ready = || async { self.page("/readyz").await.is_ok() };
        if let Err(error) = eventually("the agent is ready", SOON, ready).await {
            panic!("{error}\n{}", self.process.failure("is not ready"));
        }
    }

    /// A page of its admin interface.
    pub(crate) async fn page(&self, path: &str) -> Result<String, RigError> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let limit = Duration::from_secs(5);
        let answer = raw::exchange(self.admin, request.as_bytes(), limit).await?;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        match answer.status {
            200 => Ok(body),
            _ => Err(RigError::http(path, &body)),
        }
    }

    /// The addresses of each pool's endpoints, without the namespace in the pools' names.
    pub(crate) async fn pools(&self) -> BTreeMap<String, Vec<String>> {
        let page = self.page("/debug/pools").await.unwrap();
        let page: Value = serde_json::from_str(&page).unwrap();
        let pools = page["pools"].as_array().unwrap().iter();
        pools
            .map(|pool| {
                let endpoints = pool["endpoints"].as_array().unwrap().iter();
                let mut addresses: Vec<String> = endpoints
                    .map(|endpoint| endpoint["address"].as_str().unwrap().to_owned())
                    .collect();
                addresses.sort();
                let name = pool["name"].as_str().unwrap();
                let name = name.strip_prefix("inference/").unwrap_or(name);
                (name.to_owned(), addresses)
            })
            .collect()
    }

    /// The policy of a pool, as `/debug/pools` shows it.
    pub(crate) async fn policy(&self, pool: &str) -> Value {
        let page = self.page("/debug/pools").await.unwrap();
        let page: Value = serde_json::from_str(&page).unwrap();
        let name = format!("{NAMESPACE}/{pool}");
        let found = page["pools"].as_array().unwrap().iter();
        found
            .filter(|one| one["name"] == name)
            .map(|one| one["policy"].clone())
            .next()
            .unwrap_or_default()
    }

    /// Waits until a pool has exactly these endpoints; how long that took.
    pub(crate) async fn has(&self, pool: &str, endpoints: &[&str]) -> Duration {
        let wanted = || async {
            self.pools()
                .await
                .get(pool)
                .is_some_and(|found| found.iter().eq(endpoints))
        };
        match eventually(&format!("{pool} has {endpoints:?}"), SOON, wanted).await {
            Ok(took) => took,
            Err(error) => panic!("{error}; it has {:?}", self.pools().await),
        }
    }
}
