//! Dashboard, rules, alerts and autoscalers in a real Prometheus that scrapes an agent and an Envoy under traffic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{
    collections::BTreeSet, fmt::Write as _, fs, path::PathBuf, process::Command, time::Duration,
};

use e2e::rig::{
    Admin, Client, Protocol, RequestSpec, RigOptions, Simulated, eventually, ports,
    process::Process, scratch::Scratch,
};
use model_sim::server::InstanceConfig;
use serde_json::Value;

const SOON: Duration = Duration::from_secs(90);
/// The rates' window, in place of five minutes: the traffic of the test is as young as it.
const WINDOW: &str = "30s";

fn file(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../observability")).join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap()
}

/// Every query of the dashboard, with its variables filled in as Grafana does for "All".
fn dashboard() -> BTreeSet<String> {
    let dashboard: Value = serde_json::from_str(&text("grafana/zerohop.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let queries = targets
        .flatten()
        .map(|target| target["expr"].as_str().unwrap());
    let filled = |query: &str| {
        let query = query.replace("$pool", ".*");
        query.replace("$__rate_interval", WINDOW)
    };
    queries.map(filled).collect()
}

/// What KEDA and, through the adapter of Prometheus, an HPA ask for, of the pool `default`.
fn autoscalers() -> BTreeSet<String> {
    let files = [text("autoscaling/keda.yaml"), text("autoscaling/hpa.yaml")];
    let lines = files.iter().flat_map(|file| file.lines());
    let queries = lines.filter_map(|line| {
        let line = line.trim();
        line.strip_prefix("query: ")
            .or_else(|| line.strip_prefix("metricsQuery: "))
    });
    let filled = |query: &str| {
        let query = query.replace("\"chat\"", "\"default\"");
        query.replace("<<.LabelMatchers>>", "name=\"default\"")
    };
    queries.map(filled).collect()
}

/// Every series of ours that a rule, the dashboard or an autoscaler names.
fn named() -> BTreeSet<String> {
    let files = [
        "grafana/zerohop.json",
        "prometheus/rules.yaml",
        "autoscaling/keda.yaml",
        "autoscaling/hpa.yaml",
    ];
    let mut names = BTreeSet::new();
    for file in files {
        let text = text(file);
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
        let ours = words.filter(|word| {
            let of_us = word.starts_with("zerohop_") || word.starts_with("zerohop:");
            of_us || word.starts_with("llm_d_epp_")
        });
        names.extend(ours.map(str::to_owned));
    }
    // What the HPA calls it, behind the adapter.
    names.remove("zerohop_average_queue_size");
    names
}

/// The shipped rules with every alert due at once.
fn impatient_rules() -> String {
    let rules = text("prometheus/rules.yaml");
    let lines = rules
        .lines()
        .map(|line| match line.trim_start().starts_with("for: ") {
            true => "    for: 0s".to_owned(),
            false => line.replace("[5m]", &format!("[{WINDOW}]")),
        });
    lines.collect::<Vec<_>>().join("\n")
}

struct Prometheus {
    api: Admin,
    process: Process,
    _scratch: Scratch,
}

impl Prometheus {
    fn start(agent: &str, envoy: &str) -> Self {
        let scratch = Scratch::new().unwrap();
        let mut config = "global: {scrape_interval: 1s, evaluation_interval: 1s}\n\
             rule_files: [rules.yaml]\nscrape_configs:\n"
            .to_owned();
        for (job, path, target) in [
            ("zerohop-agent", "/metrics", agent),
            ("envoy", "/stats/prometheus", envoy),
        ] {
            writeln!(
                config,
                "- {{job_name: {job}, metrics_path: {path}, static_configs: [{{targets: ['{target}']}}]}}"
            )
            .unwrap();
        }
        let config = scratch.write("prometheus.yaml", &config).unwrap();
        scratch.write("rules.yaml", &impatient_rules()).unwrap();
        let address = ports::free_address();
        let data = scratch.path().join("data");
        let arguments = [
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", data.display()),
            format!("--web.listen-address={address}"),
        ];
        let log = scratch.path().join("prometheus.log");
        let program = PathBuf::from("prometheus");
        let process = Process::start("prometheus", &program, arguments, &[], &log).unwrap();
        Self {
            api: Admin(address),
            process,
            _scratch: scratch,
        }
    }

    async fn ask(&self, path: &str) -> Value {
        let page = self.api.get(path).await;
        let answer = page.ok().and_then(|page| serde_json::from_str(&page).ok());
        answer.unwrap_or_default()
    }

    /// The series that a query has now.
    async fn query(&self, query: &str) -> Vec<Value> {
        let mut encoded = String::new();
        for byte in query.bytes() {
            write!(encoded, "%{byte:02x}").unwrap();
        }
        let answer = self.ask(&format!("/api/v1/query?query={encoded}")).await;
        let series = answer["data"]["result"].as_array();
        series.cloned().unwrap_or_default()
    }

    async fn wait(&self, what: &str, query: &str) {
        let waited = eventually(what, SOON, || async { !self.query(query).await.is_empty() }).await;
        let log = self.process.log();
        assert!(waited.is_ok(), "{what}: `{query}` stays empty\n{log}");
    }

    async fn fires(&self, alert: &str) {
        let query = format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}}");
        self.wait("the alert fires", &query).await;
    }

    /// Rules that could not be evaluated, with the reason.
    async fn broken_rules(&self) -> Vec<String> {
        let answer = self.ask("/api/v1/rules").await;
        let groups = answer["data"]["groups"].as_array().unwrap();
        let rules = groups.iter().filter_map(|group| group["rules"].as_array());
        let broken = rules.flatten().filter(|rule| rule["health"] != "ok");
        broken.map(ToString::to_string).collect()
    }
}

fn promtool(arguments: &[&str]) {
    let mut command = Command::new("promtool");
    command.current_dir(file("prometheus")).args(arguments);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
}

/// Streams, documents, requests of one prefix, and some that model servers refuse.
async fn traffic(client: Client) {
    for number in 0..u64::MAX {
        let prompt = "the report for region shows growth ".repeat(40);
        let spec = RequestSpec::chat("tiny", &prompt, number % 2 == 0);
        client.send(spec).await.ok();
        if number % 10 == 0 {
            let spec = RequestSpec::post("{\"model\":\"tiny\"}".to_owned());
            client.send(spec).await.ok();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Prometheus: make test-observability"]
async fn no_query_is_empty_under_traffic_and_the_alerts_that_matter_fire() {
    promtool(&["check", "rules", "rules.yaml"]);
    promtool(&["test", "rules", "rules_test.yaml"]);
    assert!(dashboard().len() > 25 && autoscalers().len() >= 4 && named().len() > 30);

    let pods = (0..3).map(|_| InstanceConfig::default());
    let options = RigOptions {
        change: |config| config.change_plugin(|plugin| plugin["admission"] = serde_json::json!({})),
        ..RigOptions::default()
    };
    let Simulated { pods, mut rig } = Simulated::start(pods, options).await.unwrap();
    let agent = rig.agent.as_ref().unwrap().config().admin.to_string();
    let envoy = rig.envoy.admin().0.to_string();
    let prometheus = Prometheus::start(&agent, &envoy);
    let client = Client::new(rig.envoy.address(), Protocol::Http1);
    let traffic = tokio::spawn(traffic(client));
    for query in dashboard() {
        prometheus.wait("a query of the dashboard", &query).await;
    }
    for query in autoscalers() {
        prometheus.wait("a query of an autoscaler", &query).await;
    }
    for name in named() {
        prometheus.wait("a series that is named", &name).await;
    }
    let broken = prometheus.broken_rules().await;
    assert!(broken.is_empty(), "{broken:?}");

    pods[0].kill().await.unwrap();
    prometheus.fires("ZerohopEndpointSuspect").await;
    rig.agent.as_mut().unwrap().kill();
    prometheus.fires("ZerohopAgentDown").await;
    prometheus.fires("ZerohopGatewayWithoutAgent").await;
    prometheus.fires("ZerohopDecidingBlind").await;
    traffic.abort();
}
