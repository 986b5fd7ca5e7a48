//! The processes: etcd and kube-apiserver.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

use super::{
    super::{
        artifacts, error::RigError, eventually::eventually, ports::free_address, process::Process,
        raw, scratch::Scratch,
    },
    Objects,
};

/// The token that may do everything.
pub const ADMIN: &str = "admin-of-the-tests";
/// On a busy machine both programs take their time.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A running API. Dropping it ends its processes and removes its data.
#[derive(Debug)]
pub struct Cluster {
    etcd: Process,
    api: Process,
    etcd_address: SocketAddr,
    address: SocketAddr,
    scratch: Scratch,
}

impl Cluster {
    /// Starts etcd and the API server, empty, and waits until it is ready.
    ///
    /// # Errors
    /// When one of them does not come up; the error carries the end of its log.
    pub async fn start() -> Result<Self, RigError> {
        let scratch = Scratch::new()?;
        prepare(&scratch)?;
        let etcd_address = free_address();
        let address = free_address();
        let etcd = start_etcd(&scratch, etcd_address)?;
        let http = |path: &'static str| async move {
            let request = format!("GET {path} HTTP/1.1\r\nhost: etcd\r\nconnection: close\r\n\r\n");
            raw::exchange(etcd_address, request.as_bytes(), Duration::from_secs(2)).await
        };
        let up = eventually("etcd is healthy", START_LIMIT, || async {
            http("/health")
                .await
                .is_ok_and(|answer| answer.status == 200)
        });
        if up.await.is_err() {
            return Err(etcd.failure("did not become healthy"));
        }
        let api = start_api(&scratch, address, etcd_address)?;
        let mut cluster = Self {
            etcd,
            api,
            etcd_address,
            address,
            scratch,
        };
        cluster.wait_ready().await?;
        Ok(cluster)
    }

    /// A client with a token; [`ADMIN`] may do everything.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn client(&self, token: &str) -> Result<Client, RigError> {
        let wrong = |error: &dyn std::fmt::Display| RigError::http("make a client", error);
        let file = self.kubeconfig("test.kubeconfig", "default", token)?;
        let file = Kubeconfig::read_from(file).map_err(|error| wrong(&error))?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .map_err(|error| wrong(&error))?;
        Client::try_from(config).map_err(|error| wrong(&error))
    }

    /// The objects of the cluster, to whoever has the token.
    ///
    /// # Errors
    /// As [`Cluster::client`].
    pub async fn objects(&self, token: &str) -> Result<Objects, RigError> {
        Ok(Objects::new(self.client(token).await?))
    }

    /// Writes a file for clients that read their configuration from one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn kubeconfig(
        &self,
        name: &str,
        namespace: &str,
        token: &str,
    ) -> Result<PathBuf, RigError> {
        let authority = self.scratch.path().join("certificates/apiserver.crt");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": {
                "server": format!("https://{}", self.address),
                "certificate-authority": authority,
            } }],
            "users": [{ "name": "test", "user": { "token": token } }],
            "contexts": [{ "name": "test", "context": {
                "cluster": "test", "user": "test", "namespace": namespace,
            } }],
        });
        // JSON is YAML.
        self.scratch.write(name, &config.to_string())
    }

    /// A place for files of the test.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// What the API server has audited so far: every request that it has answered.
    #[must_use]
    pub fn audit(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.scratch.path().join("audit.log")).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Kills the API server as a crash would.
    pub fn kill_api(&mut self) {
        self.api.kill();
    }

    /// Starts the API server again, on the same address and data.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart_api(&mut self) -> Result<(), RigError> {
        self.api.kill();
        self.api = start_api(&self.scratch, self.address, self.etcd_address)?;
        self.wait_ready().await
    }

    /// Makes etcd forget every version but the present one, so that no watch can go on from before.
    ///
    /// # Errors
    /// When etcd refuses.
    pub async fn compact(&self) -> Result<(), RigError> {
        let present = self
            .etcd_call("/v3/kv/range", &json!({ "key": "AA==" }))
            .await?;
        let revision = present.pointer("/header/revision").cloned();
        let revision = revision.ok_or_else(|| RigError::http("ask etcd", &"no revision"))?;
        let request = json!({ "revision": revision, "physical": true });
        self.etcd_call("/v3/kv/compaction", &request)
            .await
            .map(drop)
    }

    async fn etcd_call(&self, path: &str, body: &Value) -> Result<Value, RigError> {
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: etcd\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = raw::exchange(
            self.etcd_address,
            request.as_bytes(),
            Duration::from_secs(10),
        )
        .await?;
        if answer.status != 200 {
            let said = String::from_utf8_lossy(&answer.body).into_owned();
            return Err(RigError::http(format!("POST {path}"), &said));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|error| RigError::http(format!("POST {path}"), &error))
    }

    async fn wait_ready(&mut self) -> Result<(), RigError> {
        let deadline = tokio::time::Instant::now() + START_LIMIT;
        loop {
            // A new client each time: the server writes its certificate meanwhile, and a client that
            // has read half of it trusts nobody for ever.
            if let Ok(client) = self.client(ADMIN).await
                && let Ok(request) = http::Request::get("/readyz").body(Vec::new())
                && client.request_text(request).await.is_ok()
            {
                return Ok(());
            }
            if let Some(status) = self.api.ended() {
                return Err(self.api.failure(format!("ended with {status}")));
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(self.api.failure("did not become ready"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The server first: it complains for ten seconds about a store that is gone.
        self.api.kill();
        self.etcd.kill();
    }
}

/// The keys and files that the API server reads.
fn prepare(scratch: &Scratch) -> Result<(), RigError> {
    scratch.write("tokens.csv", &format!("{ADMIN},admin,1,system:masters\n"))?;
    scratch.write(
        "audit.yaml",
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- level: Metadata\n",
    )?;
    let key = scratch.path().join("tokens.key");
    let made = Command::new("openssl")
        .args([
            "ecparam",
            "-genkey",
            "-name",
            "prime256v1",
            "-noout",
            "-out",
        ])
        .arg(&key)
        .stdin(Stdio::null())
        .output()
        .map_err(RigError::io("run openssl (Debian: apt install openssl)"))?;
    if made.status.success() {
        Ok(())
    } else {
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        Err(RigError::http("make a key with openssl", &said))
    }
}

fn start_etcd(scratch: &Scratch, address: SocketAddr) -> Result<Process, RigError> {
    let peers = format!("http://{}", free_address());
    let clients = format!("http://{address}");
    let data = scratch.path().join("etcd");
    Process::start(
        "etcd",
        &artifacts::kubernetes("etcd")?,
        [
            format!("--data-dir={}", data.display()),
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=default={peers}"),
            // Nothing here has to survive the machine.
            "--unsafe-no-fsync".to_owned(),
            "--log-level=warn".to_owned(),
        ],
        &[],
        &scratch.path().join("etcd.log"),
    )
}

fn start_api(
    scratch: &Scratch,
    address: SocketAddr,
    etcd: SocketAddr,
) -> Result<Process, RigError> {
    let file = |name: &str| scratch.path().join(name).display().to_string();
    Process::start(
        "kube-apiserver",
        &artifacts::kubernetes("kube-apiserver")?,
        [
            format!("--etcd-servers=http://{etcd}"),
            format!("--bind-address={}", address.ip()),
            format!("--secure-port={}", address.port()),
            format!("--advertise-address={}", address.ip()),
            // A loopback address may not be an endpoint of the Service `kubernetes`.
            "--endpoint-reconciler-type=none".to_owned(),
            format!("--cert-dir={}", file("certificates")),
            format!("--token-auth-file={}", file("tokens.csv")),
            "--authorization-mode=RBAC".to_owned(),
            "--anonymous-auth=false".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--service-account-issuer=https://zerohop.test".to_owned(),
            format!("--service-account-signing-key-file={}", file("tokens.key")),
            format!("--service-account-key-file={}", file("tokens.key")),
            // It would want an account in every namespace, which no controller makes here.
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            "--profiling=false".to_owned(),
            format!("--audit-policy-file={}", file("audit.yaml")),
            format!("--audit-log-path={}", file("audit.log")),
            "--audit-log-mode=blocking".to_owned(),
        ],
        &[],
        &scratch.path().join("apiserver.log"),
    )
}
