//! Dashboard, rules and alerts in a real Prometheus that scrapes an agent and an Envoy under traffic.
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

const SOON: Duration = Duration::from_secs(60);

fn file(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../observability")).join(path)
}

/// Every query of the dashboard, with its variables filled in as Grafana does for "All".
fn queries() -> BTreeSet<String> {
    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(file("grafana/zerohop.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .filter_map(|panel| panel["targets"].as_array());
    let queries = targets
        .flatten()
        .map(|target| target["expr"].as_str().unwrap());
    queries
        .map(|query| {
            query
                .replace("$pool", ".*")
                .replace("$__rate_interval", "30s")
        })
        .collect()
}

/// The shipped rules with every alert due at once.
fn impatient_rules() -> String {
    let rules = fs::read_to_string(file("prometheus/rules.yaml")).unwrap();
    let lines = rules
        .lines()
        .map(|line| match line.trim_start().starts_with("for: ") {
            true => "    for: 0s".to_owned(),
            false => line.replace("[5m]", "[30s]"),
        });
    lines.collect::<Vec<_>>().join("\n")
}

fn records() -> Vec<String> {
    let rules = fs::read_to_string(file("prometheus/rules.yaml")).unwrap();
    let records = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- record: "));
    records.map(str::to_owned).collect()
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
        let arguments = [
            format!("--config.file={}", config.display()),
            format!(
                "--storage.tsdb.path={}",
                scratch.path().join("data").display()
            ),
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

    /// The series that a query has now.
    async fn query(&self, query: &str) -> Vec<Value> {
        let mut encoded = String::new();
        for byte in query.bytes() {
            write!(encoded, "%{byte:02x}").unwrap();
        }
        let page = self
            .api
            .get(&format!("/api/v1/query?query={encoded}"))
            .await;
        let Ok(page) = page else { return Vec::new() };
        let answer: Value = serde_json::from_str(&page).unwrap();
        answer["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }

    async fn wait(&self, what: &str, query: &str) {
        let waited = eventually(what, SOON, || async { !self.query(query).await.is_empty() }).await;
        assert!(
            waited.is_ok(),
            "{what}: `{query}` stays empty\n{}",
            self.process.log()
        );
    }

    async fn fires(&self, alert: &str) {
        let query = format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}}");
        self.wait("the alert fires", &query).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Prometheus: make test-observability"]
async fn no_query_is_empty_under_traffic_and_the_alerts_that_matter_fire() {
    let promtool = |arguments: &[&str]| {
        let mut command = Command::new("promtool");
        let output = command
            .current_dir(file("prometheus"))
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    promtool(&["check", "rules", "rules.yaml"]);
    promtool(&["test", "rules", "rules_test.yaml"]);

    let pods = (0..3).map(|_| InstanceConfig::default());
    let Simulated { pods, mut rig } = Simulated::start(pods, RigOptions::default()).await.unwrap();
    let agent = rig.agent.as_ref().unwrap().config().admin.to_string();
    let envoy = rig.envoy.admin().0.to_string();
    let prometheus = Prometheus::start(&agent, &envoy);

    let client = Client::new(rig.envoy.address(), Protocol::Http1);
    let traffic = tokio::spawn(async move {
        for number in 0..u64::MAX {
            let prompt = "the report for region shows growth ".repeat(40);
            let stream = number % 2 == 0;
            client
                .send(RequestSpec::chat("tiny", &prompt, stream))
                .await
                .ok();
            // One that the model servers refuse, for the errors' panel.
            if number % 10 == 0 {
                client
                    .send(RequestSpec::post("{\"model\":\"tiny\"}".to_owned()))
                    .await
                    .ok();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    for query in queries() {
        prometheus.wait("a query of the dashboard", &query).await;
    }
    for record in records() {
        prometheus.wait("a recording rule", &record).await;
    }

    pods[0].kill().await.unwrap();
    prometheus.fires("ZerohopEndpointSuspect").await;
    rig.agent.as_mut().unwrap().kill();
    prometheus.fires("ZerohopAgentDown").await;
    prometheus.fires("ZerohopGatewayWithoutAgent").await;
    prometheus.fires("ZerohopDecidingBlind").await;
    traffic.abort();
}
