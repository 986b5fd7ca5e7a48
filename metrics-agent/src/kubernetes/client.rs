//! The way to the API server.

use std::{path::Path, time::Duration};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

/// For a connection to the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a status or an event to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no way to the API server.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file is missing or wrong.
    #[error("{file}: {why}")]
    Kubeconfig {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// This is no pod, or one without a service account.
    #[error("not in a cluster ({0}); outside of one name a file with --kubeconfig")]
    NotInCluster(String),
    /// The configuration cannot be used.
    #[error("cannot make a client for the Kubernetes API: {0}")]
    Client(String),
}

/// A client, and the namespace that its configuration names. From `kubeconfig`, or from the service
/// account of the pod, whose token is read again when it is renewed.
///
/// # Errors
/// When the configuration is missing or wrong. Whether the server answers is not looked at.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<(Client, String), ConnectError> {
    let mut config = match kubeconfig {
        Some(path) => from_file(path).await?,
        None => {
            Config::incluster().map_err(|error| ConnectError::NotInCluster(error.to_string()))?
        }
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.write_timeout = Some(WRITE_TIMEOUT);
    let namespace = config.default_namespace.clone();
    let client =
        Client::try_from(config).map_err(|error| ConnectError::Client(error.to_string()))?;
    Ok((client, namespace))
}

async fn from_file(path: &Path) -> Result<Config, ConnectError> {
    let wrong = |why: String| ConnectError::Kubeconfig {
        file: path.display().to_string(),
        why,
    };
    let file = Kubeconfig::read_from(path).map_err(|error| wrong(error.to_string()))?;
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .map_err(|error| wrong(error.to_string()))
}
