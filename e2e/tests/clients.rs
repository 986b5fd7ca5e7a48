//! Clients that nobody here wrote, through real Envoy, filter and agent: `make test-clients`, which sets
//! them up first. What they check is in `clients/`; here is what they meet.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use e2e::rig::{
    Agent, AgentConfig, Client, Envoy, Protocol, RequestSpec, Rig, RigOptions, Simulated,
    artifacts, discovering_config, eventually, informed, process::Process, resources,
    scratch::Scratch, vllm::Replica,
};
use model_sim::server::{Faults, Instance, InstanceConfig};
use serde_json::{Value, json};

/// A client that has not ended by then hangs; load clients take half a minute to start.
const LIMIT: Duration = Duration::from_secs(240);

fn home() -> PathBuf {
    artifacts::repository().join(".tools/clients")
}

fn tokenizer() -> PathBuf {
    home().join("tiny/model")
}

/// Runs a client to its end, which has to be a success.
async fn run(name: &str, mut command: Command) {
    let scratch = Scratch::new().unwrap();
    // Nothing may be asked of the network.
    command.env("HF_HUB_OFFLINE", "1").env("NO_PROXY", "*");
    let mut process = Process::run(name, &mut command, &scratch.path().join("client.log")).unwrap();
    let status = process.wait(LIMIT).await.unwrap();
    assert_eq!(status, "exit status: 0", "{}", process.failure("failed"));
}

/// One of the official clients: `what` is a word of its script.
async fn official(script: &str, url: &str, what: &str) {
    let path = artifacts::repository().join("clients").join(script);
    let program = if script.ends_with(".py") {
        home().join("venv/bin/python")
    } else {
        home().join("node/node")
    };
    let mut command = Command::new(program);
    command
        .arg(path)
        .args([url, what])
        .env("NODE_PATH", home().join("node/node_modules"));
    run(&format!("{script} {what}"), command).await;
}

const OFFICIAL: [&str; 3] = [
    "python/openai_client.py",
    "python/anthropic_client.py",
    "node/openai_client.mjs",
];

fn url(rig: &Rig) -> String {
    format!("http://{}", rig.envoy.address())
}

/// Pods several times as fast as real ones, so that nobody waits for them.
fn quick() -> InstanceConfig {
    let mut config = InstanceConfig {
        model: "tiny".to_owned(),
        ..InstanceConfig::default()
    };
    config.engine.speed = 5.0;
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the clients: make test-clients"]
async fn official_clients_stream_call_tools_and_read_a_404() {
    let mut pods = Vec::new();
    for _ in 0..3 {
        pods.push(Instance::start(quick()).await.unwrap());
    }
    let members: Vec<_> = pods.iter().map(Instance::address).collect();
    // With resources there is a policy, by which the filter refuses unknown models.
    let agent = AgentConfig::of_resources(&resources::pool(&members));
    let agent = Agent::start(agent).await.unwrap();
    let mut config = discovering_config(agent.config().grpc).unwrap();
    resources::follow(&mut config).unwrap();
    config
        .change_plugin(|plugin| plugin["models"] = json!({"unknown": "refuse"}))
        .unwrap();
    let envoy = Envoy::start(config, 2).await.unwrap();
    let client = Client::new(envoy.address(), Protocol::Http1);
    informed(&envoy, &client).await.unwrap();
    // Nobody is refused before the agent has said which models there are, to each worker.
    let refused = || async {
        let mut all = true;
        for _ in 0..8 {
            let client = Client::new(envoy.address(), Protocol::Http1);
            let spec = RequestSpec::completion("nobody", "are you there?");
            let answer = client.send(spec).await;
            all &= answer.is_ok_and(|answer| answer.text().contains("model_not_found"));
        }
        all
    };
    eventually("the policy is known", Duration::from_secs(20), refused)
        .await
        .unwrap();
    let url = format!("http://{}", envoy.address());
    for script in OFFICIAL {
        official(script, &url, "serves").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the clients: make test-clients"]
async fn official_clients_read_refusals_as_their_own_errors() {
    let options = RigOptions {
        // Each worker has a queue of its own.
        concurrency: 1,
        change: |config| {
            config.change_plugin(|plugin| {
                plugin["admission"] =
                    json!({"rules": {"room": {"waiting": 1}, "queue": {"requests": 1}}});
            })
        },
        ..RigOptions::default()
    };
    let stage = Simulated::start([quick()], options).await.unwrap();
    let url = url(&stage.rig);
    let pod = &stage.pods[0];
    let faults = Faults {
        hang: true,
        ..Faults::default()
    };
    pod.set_faults(faults).unwrap();
    // One is sent and hangs, one is held, and the queue is full.
    let occupants: Vec<_> = (0..2)
        .map(|number| {
            let client = Client::new(stage.rig.envoy.address(), Protocol::Http1);
            let spec = RequestSpec::chat("tiny", &format!("occupant {number}"), true);
            tokio::spawn(async move { client.with_limit(LIMIT * 4).send(spec).await })
        })
        .collect();
    eventually("the queue is full", Duration::from_secs(10), || async {
        let admin = stage.rig.envoy.admin();
        let gauges = admin.stats("zerohop_queued_requests").await;
        gauges.unwrap_or_default().values().sum::<u64>() == 1
    })
    .await
    .unwrap();
    for script in OFFICIAL {
        official(script, &url, "refuses").await;
    }
    pod.set_faults(Faults::default()).unwrap();
    for occupant in occupants {
        assert_eq!(occupant.await.unwrap().unwrap().status, 200);
    }

    let faults = Faults {
        status: Some(503),
        ..Faults::default()
    };
    pod.set_faults(faults).unwrap();
    for script in OFFICIAL {
        official(script, &url, "is_down").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the clients: make test-clients"]
async fn load_clients_see_no_error() {
    let stage = Simulated::start([quick(), quick(), quick()], RigOptions::default())
        .await
        .unwrap();
    let url = url(&stage.rig);
    guidellm(&url, 8, 200).await;
    inference_perf(&url, 20, 15).await;
    for pod in &stage.pods {
        let completions = pod.stats().requests_finished;
        assert!(completions > 0, "a pod got nothing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the clients, and real vLLM where it is set up: make test-clients"]
async fn load_clients_see_no_error_of_real_vllm() {
    if !artifacts::repository()
        .join(".tools/vllm/complete")
        .is_file()
    {
        eprintln!("skipped: real vLLM is not set up (vllm/setup.sh)");
        return;
    }
    let replicas = Replica::start(2, &[]).await.unwrap();
    let members: Vec<_> = replicas.iter().map(Replica::address).collect();
    let rig = Rig::around(&members, RigOptions::default()).await.unwrap();
    rig.informed().await.unwrap();
    let url = url(&rig);
    official("python/openai_client.py", &url, "generates").await;
    guidellm(&url, 4, 40).await;
    inference_perf(&url, 2, 10).await;
}

/// So many requests of about 100 tokens, so many at once.
async fn guidellm(url: &str, concurrent: u32, requests: u32) {
    let scratch = Scratch::new().unwrap();
    let report = scratch.path().join("guidellm.json");
    let mut command = Command::new(home().join("venv/bin/guidellm"));
    command
        .args(["benchmark", "run", "--target", url, "--model", "tiny"])
        .args([
            "--rate-type",
            "concurrent",
            "--rate",
            &concurrent.to_string(),
        ])
        .args(["--max-requests", &requests.to_string()])
        .args(["--data", r#"{"prompt_tokens":100,"output_tokens":20}"#])
        .args(["--disable-progress", "--disable-console-outputs"])
        .arg("--processor")
        .arg(tokenizer())
        .arg("--output-path")
        .arg(&report);
    run("guidellm", command).await;
    let totals = read(&report)["benchmarks"][0]["request_totals"].take();
    assert_eq!(totals["errored"], 0, "{totals}");
    assert_eq!(totals["successful"], requests, "{totals}");
}

/// So many streamed chats a second, in groups that share a prefix.
async fn inference_perf(url: &str, rate: u32, seconds: u32) {
    let scratch = Scratch::new().unwrap();
    let config = json!({
        "api": {"type": "chat", "streaming": true},
        "data": {"type": "shared_prefix", "shared_prefix": {
            "num_groups": 4, "num_prompts_per_group": 16,
            "system_prompt_len": 200, "question_len": 50, "output_len": 20}},
        "load": {"type": "constant", "num_workers": 1, "stages": [{"rate": rate, "duration": seconds}]},
        "server": {"type": "vllm", "model_name": "tiny", "base_url": url, "ignore_eos": true},
        "tokenizer": {"pretrained_model_name_or_path": tokenizer()},
        "report": {"request_lifecycle": {"summary": true}},
        "storage": {"local_storage": {"path": scratch.path().join("report")}},
    });
    // JSON is YAML.
    let file = scratch.write("config.yaml", &config.to_string()).unwrap();
    let mut command = Command::new(home().join("venv/bin/inference-perf"));
    command.arg("--config_file").arg(file);
    run("inference-perf", command).await;
    let report = read(&scratch.path().join("report/summary_lifecycle_metrics.json"));
    assert_eq!(report["failures"]["count"], 0, "{report}");
    assert_eq!(report["successes"]["count"], rate * seconds, "{report}");
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    serde_json::from_str(&text).unwrap()
}
