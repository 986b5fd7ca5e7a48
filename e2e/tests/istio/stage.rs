//! A namespace with a Gateway, two model servers and an agent, under a real istiod.
//!
//! No kubelet runs a pod and no controller makes endpoints. For a Service a WorkloadEntry stands for
//! each pod, at a loopback address of its own; istiod lets a Service select them like pods. The Service
//! behind an InferencePool has no address of its own and takes endpoints from EndpointSlices alone,
//! which may not be loopback addresses: there the pods are two ports of this machine's own address.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr, UdpSocket},
    path::Path,
    process::Command,
    time::Duration,
};

use e2e::rig::{
    Agent, AgentConfig, Client, Envoy, Pod, Protocol, RequestSpec, artifacts,
    cluster::{ADMIN, Cluster, Istiod, Objects, documents, istiod},
    config::UPSTREAM_HEADER,
    eventually,
    ports::free_address,
};
use serde_json::{Value, json};

pub(crate) const NAMESPACE: &str = "inference";
/// The address that the gateway's own pod would have.
const GATEWAY_IP: &str = "127.0.2.1";
/// Everything that is waited for happens within this time, also on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Where the HTTPRoute leads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    /// The Service of the files that are applied by hand.
    Service,
    /// The InferencePool of the Kustomize overlay.
    Pool,
}

pub(crate) struct Stage {
    _cluster: Cluster,
    objects: Objects,
    istiod: Istiod,
    pods: [Pod; 2],
    agent: Agent,
    address: SocketAddr,
}

impl Stage {
    /// Starts everything but the gateway's Envoy.
    pub(crate) async fn start(backend: Backend) -> Self {
        let free = || free_address().port();
        let (pool, addresses) = match backend {
            Backend::Service => {
                let port = free();
                let here = |last: u8| SocketAddr::from(([127, 0, 1, last], port));
                ("default", [here(1), here(2)])
            }
            Backend::Pool => {
                let here = own_address();
                let at = |port: u16| SocketAddr::new(here, port);
                ("inference/default", [at(free()), at(free())])
            }
        };
        let pods = [
            Pod::start_here(addresses[0]).await.unwrap(),
            Pod::start_here(addresses[1]).await.unwrap(),
        ];
        pods[0].metrics(|metrics| metrics.waiting = 60.0);
        let mut config = AgentConfig::new(Vec::new());
        config.pools = vec![(pool.to_owned(), addresses.to_vec())];
        let agent = Agent::start(config).await.unwrap();

        let cluster = Cluster::start().await.unwrap();
        let objects = cluster.objects(ADMIN).await.unwrap();
        let definitions = istiod::definitions("istio").unwrap();
        objects.define(&definitions, SOON).await.unwrap();
        for namespace in [istiod::NAMESPACE, NAMESPACE] {
            let namespace =
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            objects.apply(&namespace).await.unwrap();
        }
        let istiod = Istiod::start(&cluster).await.unwrap();
        let stage = Self {
            _cluster: cluster,
            objects,
            istiod,
            address: free_address(),
            pods,
            agent,
        };
        let text = stage.installed(backend);
        for object in documents(Path::new("the stage's objects"), &text).unwrap() {
            stage.objects.apply(&object).await.unwrap();
        }
        if backend == Backend::Pool {
            stage.slice().await;
        }
        stage
    }

    /// Does for the pool's Service what the controller for EndpointSlices would.
    async fn slice(&self) {
        let found = tokio::sync::OnceCell::new();
        let made = || async {
            let services = self.objects.list("v1", "Service", NAMESPACE).await.unwrap();
            let of_pool = |service: &&Value| {
                let name = service["metadata"]["name"].as_str().unwrap_or("");
                name.starts_with("default-ip-")
            };
            let service = services.iter().find(of_pool).cloned();
            service.is_some_and(|service| found.set(service).is_ok())
        };
        eventually("istiod has made the pool's Service", SOON, made)
            .await
            .unwrap();
        let service = found.get().unwrap();
        let ports = service["spec"]["ports"].as_array().unwrap().iter();
        let ports: Vec<Value> = ports
            .map(
                |port| json!({"name": port["name"], "port": port["targetPort"], "protocol": "TCP"}),
            )
            .collect();
        assert_eq!(ports.len(), 2, "{service}");
        let name = &service["metadata"]["name"];
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"kubernetes.io/service-name": name}},
            "endpoints": [{"addresses": [self.pods[0].address().ip()], "conditions": {"ready": true}}],
            "ports": ports,
        });
        self.objects.apply(&slice).await.unwrap();
    }

    /// What a cluster has before zerohop comes: gateway, route, model servers; and where the agent is.
    fn installed(&self, backend: Backend) -> String {
        let backend = match backend {
            Backend::Service => "{name: model-servers, port: 8000}",
            Backend::Pool => {
                "{group: inference.networking.k8s.io, kind: InferencePool, name: default}"
            }
        };
        let listener = self.address.port();
        let [pods, second] = self.pods.each_ref().map(|pod| pod.address().port());
        let agent = self.agent.config().grpc.port();
        let more = if second == pods {
            String::new()
        } else {
            format!(", {{number: {second}}}")
        };
        let entry = |name: &str, address: &str, labels: &str, ports: &str| {
            format!(
                "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\n\
                 metadata: {{name: {name}, namespace: {NAMESPACE}}}\n\
                 spec: {{address: {address}, labels: {{{labels}}}, ports: {{{ports}}}}}\n"
            )
        };
        let agents = "app.kubernetes.io/name: zerohop-agent, app.kubernetes.io/instance: zerohop";
        [
            format!(
                "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
                 metadata: {{name: inference-gateway, namespace: {NAMESPACE}}}\n\
                 spec: {{gatewayClassName: istio, listeners: [{{name: http, port: {listener}, protocol: HTTP}}]}}\n\
                 ---\napiVersion: v1\nkind: Service\n\
                 metadata: {{name: inference-gateway-istio, namespace: {NAMESPACE}}}\n\
                 spec:\n  selector: {{gateway.networking.k8s.io/gateway-name: inference-gateway}}\n  \
                 ports: [{{name: http, port: {listener}}}]\n\
                 ---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
                 metadata: {{name: models, namespace: {NAMESPACE}}}\n\
                 spec: {{parentRefs: [{{name: inference-gateway}}], rules: [{{backendRefs: [{backend}]}}]}}\n\
                 ---\napiVersion: v1\nkind: Service\n\
                 metadata: {{name: model-servers, namespace: {NAMESPACE}}}\n\
                 spec: {{selector: {{app: llama}}, ports: [{{name: http, port: 8000, targetPort: {pods}}}]}}\n\
                 ---\napiVersion: v1\nkind: Service\n\
                 metadata: {{name: zerohop-agent, namespace: {NAMESPACE}}}\n\
                 spec: {{selector: {{{agents}}}, ports: [{{name: grpc, port: 9002, targetPort: grpc, appProtocol: grpc}}]}}\n\
                 ---\napiVersion: inference.networking.k8s.io/v1\nkind: InferencePool\n\
                 metadata: {{name: default, namespace: {NAMESPACE}}}\n\
                 spec:\n  selector: {{matchLabels: {{app: llama}}}}\n  targetPorts: [{{number: {pods}}}{more}]\n  \
                 endpointPickerRef: {{name: zerohop-agent, port: {{number: 9002}}}}\n"
            ),
            entry("pod-0", "127.0.1.1", "app: llama", &format!("http: {pods}")),
            entry("pod-1", "127.0.1.2", "app: llama", &format!("http: {pods}")),
            entry("agent", "127.0.0.1", agents, &format!("grpc: {agent}")),
            // Of the test alone: loopback, and a header that shows who answered.
            format!(
                "---\napiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\n\
                 metadata: {{name: of-the-test, namespace: {NAMESPACE}}}\nspec:\n  configPatches:\n  \
                 - applyTo: LISTENER\n    match: {{context: GATEWAY}}\n    \
                 patch: {{operation: MERGE, value: {{address: {{socket_address: {{address: 127.0.0.1}}}}}}}}\n  \
                 - applyTo: VIRTUAL_HOST\n    match: {{context: GATEWAY}}\n    \
                 patch: {{operation: MERGE, value: {{response_headers_to_add: \
                 [{{header: {{key: {UPSTREAM_HEADER}, value: \"%UPSTREAM_HOST%\"}}}}]}}}}\n"
            ),
        ]
        .concat()
    }

    /// Applies files of `envoy-config/istio/`, with the filter from a local file and the tests' network.
    pub(crate) async fn apply(&self, files: &[&str]) {
        let folder = artifacts::repository().join("envoy-config/istio");
        for file in files {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            self.apply_ours(documents(Path::new(file), &text).unwrap())
                .await;
        }
    }

    /// Applies what the Kustomize overlay for Istio installs.
    pub(crate) async fn apply_overlay(&self) {
        let overlay = artifacts::repository().join("deploy/kustomize/istio");
        let built = Command::new(artifacts::kubernetes("kustomize").unwrap())
            .arg("build")
            .arg(&overlay)
            .output()
            .unwrap();
        let text = String::from_utf8(built.stdout).unwrap();
        self.apply_ours(documents(&overlay, &text).unwrap()).await;
    }

    async fn apply_ours(&self, mut objects: Vec<Value>) {
        assert!(!objects.is_empty());
        for object in &mut objects {
            self.localize(object);
            self.objects.apply(object).await.unwrap();
        }
    }

    /// Starts the gateway's Envoy and waits until it listens.
    pub(crate) async fn gateway(&self) -> Envoy {
        let bootstrap = self
            .istiod
            .bootstrap(NAMESPACE, "inference-gateway", GATEWAY_IP);
        let envoy = Envoy::follow(bootstrap, self.address, 2).await.unwrap();
        let listens = || async { tokio::net::TcpStream::connect(self.address).await.is_ok() };
        if let Err(error) = eventually("the gateway listens", SOON, listens).await {
            panic!(
                "{error}\n{}\n{}",
                envoy.process().failure("does not listen"),
                self.istiod.process().failure("configured it")
            );
        }
        envoy
    }

    /// The names of the HTTP filters of the gateway's listener, in their order.
    pub(crate) async fn filters(&self, envoy: &Envoy) -> Vec<String> {
        let admin = envoy.admin();
        let dump = admin.get("/config_dump?resource=dynamic_listeners").await;
        let dump: Value = serde_json::from_str(&dump.unwrap()).unwrap();
        let mut names = Vec::new();
        for listener in dump["configs"].as_array().unwrap() {
            let chain =
                "/active_state/listener/filter_chains/0/filters/0/typed_config/http_filters";
            let filters = listener.pointer(chain).and_then(Value::as_array);
            for filter in filters.into_iter().flatten() {
                names.push(filter["name"].as_str().unwrap().to_owned());
            }
        }
        names
    }

    /// Waits until every request goes to the pod without a queue, whatever its size, and whether the
    /// pods see the routing header.
    pub(crate) async fn picks_the_idle_pod(&self, envoy: &Envoy, header_reaches_pods: bool) {
        let idle = self.pods[1].address().to_string();
        let picked = eventually("the idle pod is picked", SOON, || async {
            for number in 0..12 {
                let client = Client::new(self.address, Protocol::Http1);
                // Longer than the 32 KiB buffers of Istio's gateways.
                let prompt = format!("{number} {}", "x".repeat(number * 9_000));
                let response = client.send(RequestSpec::completion("tiny", &prompt)).await;
                let upstream = response.ok().filter(|response| response.status == 200);
                if upstream.and_then(|response| response.header(UPSTREAM_HEADER).map(str::to_owned))
                    != Some(idle.clone())
                {
                    return false;
                }
            }
            envoy.admin().picked_by_signals().await
        })
        .await;
        picked.unwrap_or_else(|error| {
            panic!(
                "{error}\n{}\n{}",
                envoy.process().failure("runs"),
                self.istiod.process().failure("configured it")
            )
        });
        let seen = self.pods[1].take_recorded();
        let with_header = seen
            .iter()
            .filter(|request| !request.header("x-gateway-destination-endpoint").is_empty())
            .count();
        assert_eq!(
            with_header > 0,
            header_reaches_pods,
            "{with_header} of {}",
            seen.len()
        );
    }

    /// The examples name a registry and a pod network; the tests have a file and these pods.
    fn localize(&self, object: &mut Value) {
        let wasm = artifacts::filter_wasm().unwrap();
        let networks: BTreeSet<String> = self
            .pods
            .iter()
            .map(|pod| format!("{}/32", pod.address().ip()))
            .collect();
        let cidrs = json!(networks);
        if let Some(url) = object.pointer_mut("/spec/url") {
            *url = json!(format!("file://{}", wasm.display()));
        }
        if let Some(allowed) = object.pointer_mut("/spec/pluginConfig/allowed_cidrs") {
            *allowed = cidrs.clone();
        }
        let patches = object.pointer_mut("/spec/configPatches");
        for patch in patches.and_then(Value::as_array_mut).into_iter().flatten() {
            let config = "/patch/value/typed_config/config";
            if let Some(code) = patch.pointer_mut(&format!("{config}/vm_config/code")) {
                *code = json!({"local": {"filename": wasm}});
            }
            if let Some(text) = patch.pointer_mut(&format!("{config}/configuration/value")) {
                let mut plugin: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
                plugin["allowed_cidrs"] = cidrs.clone();
                *text = json!(plugin.to_string());
            }
        }
    }
}

/// The address by which this machine would reach others. Nothing is sent for the question.
fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket
        .connect("192.0.2.1:9")
        .expect("a machine without any route has no address that Kubernetes takes for a pod");
    socket.local_addr().unwrap().ip()
}
