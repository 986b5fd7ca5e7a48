//! A namespace of a cluster as a source of resources.

use std::{path::Path, sync::Arc};

use inference_api::Compiled;
use kube::Client;
use tokio::sync::{mpsc, watch};

use super::{
    Settings,
    client::{ConnectError, connect},
    sink::Resources,
    source,
    status::Parent,
};
use crate::resources::Update;

/// A namespace that can be followed.
pub struct Cluster {
    client: Client,
    settings: Settings,
}

impl Cluster {
    /// Prepares to follow `namespace`, or the one of the account. Nothing is sent yet.
    ///
    /// # Errors
    /// When there is no way to the API server.
    pub async fn open(
        kubeconfig: Option<&Path>,
        namespace: Option<&str>,
        gateway: &str,
        host: &str,
    ) -> Result<Self, ConnectError> {
        let (client, default) = connect(kubeconfig).await?;
        let settings = Settings {
            namespace: namespace.map_or(default, str::to_owned),
            parent: Parent {
                group: "gateway.networking.k8s.io".to_owned(),
                kind: "Gateway".to_owned(),
                name: gateway.to_owned(),
            },
            host: host.to_owned(),
        };
        Ok(Self { client, settings })
    }

    /// What it is called where sources are shown.
    #[must_use]
    pub fn name(&self) -> String {
        format!("Kubernetes, namespace {}", self.settings.namespace)
    }

    /// Tells of every change, for ever. What is wrong is told in events instead: one person's mistake
    /// is no reason for the agent of all to be unready.
    pub async fn follow(self, updates: mpsc::Sender<Update>) {
        // Only the latest counts: a slow receiver gets one update for many changes.
        let (latest, mut changed) = watch::channel(Arc::<Compiled>::default());
        let sink = Resources::new(move |compiled| {
            latest.send_replace(Arc::new(compiled));
        });
        let forward = async move {
            while changed.changed().await.is_ok() {
                let compiled = Arc::clone(&changed.borrow_and_update());
                let update = Update {
                    compiled: Some(compiled),
                    mistakes: Vec::new(),
                };
                if updates.send(update).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = source::run(self.client, self.settings, sink) => {}
            () = forward => {}
        }
    }
}
