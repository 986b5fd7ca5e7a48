//! A real istiod on a real Kubernetes API, and the bootstrap of a gateway's Envoy that follows it.
//!
//! ```text
//!   kube-apiserver <--- watches --- istiod <--- ADS (plain text) --- Envoy, as a gateway's pod
//!        ^
//!        +--- Gateway, HTTPRoute, InferencePool, WasmPlugin, EnvoyFilter, ... of a test
//! ```
//!
//! Istio's agent, which runs beside Envoy in a pod, is left out: it hands certificates and images
//! over, of which a test has none. Images are local files.

use std::{fs, net::SocketAddr, process::Command, time::Duration};

use serde_json::{Value, json};

use super::{
    super::{
        artifacts, error::RigError, eventually::eventually, ports::free_address, process::Process,
        raw,
    },
    ADMIN, Cluster, documents,
};

/// The namespace of istiod itself.
pub const NAMESPACE: &str = "istio-system";
/// On a busy machine it takes its time.
const START_LIMIT: Duration = Duration::from_secs(120);

/// What istiod may not do here: Envoy as it is published lacks Istio's own filters, and there is no
/// authority for certificates.
const ENVIRONMENT: [(&str, &str); 9] = [
    ("POD_NAMESPACE", NAMESPACE),
    ("POD_NAME", "istiod-0"),
    ("ENABLE_GATEWAY_API_INFERENCE_EXTENSION", "true"),
    ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
    ("PILOT_ENABLE_ALPN_FILTER", "false"),
    ("PILOT_CERT_PROVIDER", "none"),
    ("ENABLE_CA_SERVER", "false"),
    ("VALIDATION_WEBHOOK_CONFIG_NAME", ""),
    ("INJECTION_WEBHOOK_CONFIG_NAME", ""),
];

/// A running istiod. Dropping it ends it.
#[derive(Debug)]
pub struct Istiod {
    process: Process,
    grpc: SocketAddr,
}

impl Istiod {
    /// Starts istiod on the cluster, which has to have its definitions and [`NAMESPACE`], and waits
    /// until it is ready.
    ///
    /// # Errors
    /// When it does not come up; the error carries the end of its log.
    pub async fn start(cluster: &Cluster) -> Result<Self, RigError> {
        let (grpc, http) = (free_address(), free_address());
        let kubeconfig = cluster.kubeconfig("istiod.kubeconfig", NAMESPACE, ADMIN)?;
        // It looks for more files below its working directory.
        let home = cluster.directory().join("istiod");
        fs::create_dir_all(&home).map_err(RigError::io("make a directory for istiod"))?;
        let mesh = home.join("mesh.yaml");
        // Nothing of what Istio's own Envoy adds: no statistics filter, no mutual TLS.
        fs::write(&mesh, "enableAutoMtls: false\ndefaultProviders: {}\n")
            .map_err(RigError::io("write the mesh's configuration"))?;
        let mut command = Command::new(artifacts::istiod()?);
        command
            .current_dir(&home)
            .envs(ENVIRONMENT)
            .arg("discovery")
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .arg(format!("--meshConfig={}", mesh.display()))
            .arg(format!("--grpcAddr={grpc}"))
            .arg(format!("--httpAddr={http}"))
            .arg(format!("--monitoringAddr={}", free_address()))
            .args(["--httpsAddr=", "--secureGRPCAddr=", "--ctrlz_port=0"])
            .args(["--shutdownDuration=0s", "--log_target=stderr"]);
        let process = Process::run("istiod", &mut command, &home.join("istiod.log"))?;
        let mut istiod = Self { process, grpc };
        let waited = eventually("istiod is ready", START_LIMIT, || ready(http)).await;
        match (waited, istiod.process.ended()) {
            (_, Some(status)) => Err(istiod.process.failure(format!("ended with {status}"))),
            (Err(_), None) => Err(istiod.process.failure("did not become ready")),
            (Ok(_), None) => Ok(istiod),
        }
    }

    /// The process.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// The bootstrap of the Envoy of a Gateway, as Istio's agent would write it: everything comes
    /// from istiod. `ip` stands for the pod's address.
    #[must_use]
    pub fn bootstrap(&self, namespace: &str, gateway: &str, ip: &str) -> Value {
        let source =
            json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"});
        json!({
            "node": {
                "id": format!("router~{ip}~{gateway}-0.{namespace}~{namespace}.svc.cluster.local"),
                "cluster": format!("{gateway}.{namespace}"),
                "metadata": {
                    "CLUSTER_ID": "Kubernetes",
                    "NAMESPACE": namespace,
                    "NAME": format!("{gateway}-0"),
                    "INSTANCE_IPS": ip,
                    "LABELS": {"gateway.networking.k8s.io/gateway-name": gateway},
                },
            },
            "dynamic_resources": {
                "lds_config": source, "cds_config": source,
                "ads_config": {
                    "api_type": "DELTA_GRPC", "transport_api_version": "V3",
                    "set_node_on_first_message_only": true,
                    "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
                },
            },
            "static_resources": {"clusters": [{
                "name": "xds-grpc", "type": "STATIC", "connect_timeout": "1s",
                "load_assignment": {"cluster_name": "xds-grpc", "endpoints": [{"lb_endpoints": [
                    {"endpoint": {"address": super::super::config::socket_address(self.grpc)}}]}]},
                "typed_extension_protocol_options": {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                        "explicit_http_config": {"http2_protocol_options": {}},
                    },
                },
            }]},
        })
    }
}

async fn ready(http: SocketAddr) -> bool {
    let request = b"GET /ready HTTP/1.1\r\nhost: istiod\r\nconnection: close\r\n\r\n";
    let answer = raw::exchange(http, request, Duration::from_secs(2)).await;
    answer.is_ok_and(|answer| answer.status == 200)
}

/// The resource definitions of one product: `istio`, with those of the Gateway API and of the
/// InferencePool that istiod was built with, or `envoy-gateway`.
///
/// # Errors
/// When they are missing or cannot be read.
pub fn definitions(product: &str) -> Result<Vec<Value>, RigError> {
    let directory = artifacts::istio_definitions(product)?;
    let doing = format!("list {}", directory.display());
    let entries = fs::read_dir(&directory).map_err(RigError::io(doing))?;
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let text =
            fs::read_to_string(&path).map_err(RigError::io(format!("read {}", path.display())))?;
        found.extend(documents(&path, &text)?);
    }
    found.retain(|document| document["kind"] == "CustomResourceDefinition");
    Ok(found)
}
