//! What the simulator costs: cores for 10 instances at 200 non-streamed requests/s, and how much
//! faster than real time the engine alone is. `cargo bench -p model-sim`.
//!
//! Prints a table and writes `target/bench/model_sim.json`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench that cannot go on panics"
)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use model_sim::engine::{Engine, EngineConfig, EventKind, Request as EngineRequest, SimTime};
use model_sim::lengths::{SHAREGPT_OUTPUT, SHAREGPT_PROMPT};
use serde_json::{Value, json};

const INSTANCES: usize = 10;
const REQUESTS_PER_SECOND: u64 = 200;
const WARM_UP: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(20);

type Pool = Client<HttpConnector, Full<Bytes>>;

/// The simulator as a child process; it ends with this value.
struct Simulator {
    child: Child,
    addresses: Vec<String>,
}

impl Simulator {
    fn start() -> Self {
        let count = INSTANCES.to_string();
        let mut child = Command::new(env!("CARGO_BIN_EXE_model-sim"))
            .args(["--count", &count, "--base-port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the simulator starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value = serde_json::from_str(&line).expect("a line of JSON");
        let addresses = ready["addresses"].as_array().unwrap();
        let addresses = addresses
            .iter()
            .map(|a| a.as_str().unwrap().to_owned())
            .collect();
        Simulator { child, addresses }
    }

    /// CPU time of all its threads so far.
    fn cpu(&self) -> Duration {
        let tasks = format!("/proc/{}/task", self.child.id());
        let nanos: u64 = std::fs::read_dir(tasks)
            .unwrap()
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
            .filter_map(|text| text.split(' ').next()?.parse::<u64>().ok())
            .sum();
        Duration::from_nanos(nanos)
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn completion(address: &str, number: u64) -> Request<Full<Bytes>> {
    let prompt = "word".repeat(SHAREGPT_PROMPT.draw(number) as usize);
    let body = json!({"model": "sim", "prompt": format!("{number:08} {prompt}")}).to_string();
    Request::post(format!("http://{address}/v1/completions"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .unwrap()
}

/// Cores that the simulator uses at the fixed rate, and the share of failed requests.
async fn measure(scraped: bool) -> (f64, u64, u64) {
    let simulator = Simulator::start();
    let pool: Pool = Client::builder(TokioExecutor::new()).build_http();
    let (done, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut scrapers = Vec::new();
    for address in simulator.addresses.clone().into_iter().filter(|_| scraped) {
        let pool = pool.clone();
        scrapers.push(tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(200));
            loop {
                tick.tick().await;
                let uri = format!("http://{address}/metrics").parse().unwrap();
                let page = pool
                    .get(uri)
                    .await
                    .unwrap()
                    .into_body()
                    .collect()
                    .await
                    .unwrap();
                assert!(page.to_bytes().len() > 10_000);
            }
        }));
    }
    let mut tick = tokio::time::interval(Duration::from_secs(1) / REQUESTS_PER_SECOND as u32);
    let began = Instant::now();
    let mut start = (Instant::now(), Duration::ZERO);
    for number in 0u64.. {
        tick.tick().await;
        if start.1.is_zero() && began.elapsed() >= WARM_UP {
            start = (Instant::now(), simulator.cpu());
        }
        if began.elapsed() >= WARM_UP + MEASURED {
            break;
        }
        let request = completion(&simulator.addresses[number as usize % INSTANCES], number);
        let (pool, done, failed) = (pool.clone(), Arc::clone(&done), Arc::clone(&failed));
        tokio::spawn(async move {
            let ok = match pool.request(request).await {
                Ok(response) => {
                    response.status() == 200 && response.into_body().collect().await.is_ok()
                }
                Err(_) => false,
            };
            if ok { done } else { failed }.fetch_add(1, Ordering::Relaxed);
        });
    }
    let cores = (simulator.cpu() - start.1).as_secs_f64() / start.0.elapsed().as_secs_f64();
    scrapers.iter().for_each(tokio::task::JoinHandle::abort);
    (
        cores,
        done.load(Ordering::Relaxed),
        failed.load(Ordering::Relaxed),
    )
}

/// Simulated seconds per second of CPU: 10 engines at this rate, round robin, without prefixes.
fn engine_speed(requests_per_second: f64) -> (f64, u64) {
    let mut pool: Vec<Engine> = (0..INSTANCES)
        .map(|_| Engine::new(EngineConfig::default()))
        .collect();
    let (seconds, mut finished) = (60.0, 0);
    let began = Instant::now();
    let total = (seconds * requests_per_second) as u64;
    for number in 0..total {
        let at = SimTime::from_seconds(number as f64 / requests_per_second);
        let engine = &mut pool[number as usize % INSTANCES];
        engine.submit(
            EngineRequest {
                prompt_tokens: SHAREGPT_PROMPT.draw(number),
                output_tokens: SHAREGPT_OUTPUT.draw(!number),
                ..EngineRequest::default()
            },
            at,
        );
        let ended = |kind: &EventKind| matches!(kind, EventKind::Finished(_));
        finished += engine
            .advance(at)
            .filter(|event| ended(&event.kind))
            .count() as u64;
    }
    (seconds / began.elapsed().as_secs_f64(), finished)
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (cores, done, failed) = runtime.block_on(measure(false));
    let (scraped, _, scraped_failed) = runtime.block_on(measure(true));
    let (factor, finished) = engine_speed(300.0);
    let (overload, _) = engine_speed(1_000.0);
    println!("model-sim: {INSTANCES} instances, {REQUESTS_PER_SECOND} requests/s, not streamed");
    println!("  cores                                  {cores:8.3}   (limit 0.5)");
    println!("  cores, all scraped every 200 ms        {scraped:8.3}");
    println!(
        "  requests answered / failed             {done:8} / {}",
        failed + scraped_failed
    );
    println!("engine alone: {INSTANCES} engines on one core");
    println!("  x real time at 300 requests/s          {factor:8.0}   ({finished} finished)");
    println!("  x real time at 1,000 requests/s        {overload:8.0}   (overload)");
    let figure = |id: &str, value: f64, unit: &str, goal: Option<f64>, better: &str| json!({"id": id, "value": value, "unit": unit, "goal": goal, "better": better});
    let figures = json!({"bench": "model_sim", "figures": [
        figure("model_sim.cores.10x200", cores, "cores", Some(0.5), "lower"),
        figure("model_sim.cores.10x200.scraped", scraped, "cores", None, "lower"),
        figure("model_sim.engine.x_real_time.300", factor, "x", None, "higher"),
        figure("model_sim.engine.x_real_time.1000", overload, "x", Some(100.0), "higher"),
    ]});
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("model_sim.json"), format!("{figures:#}\n")).unwrap();
    assert!(
        cores < 0.5 && failed + scraped_failed == 0,
        "{cores} cores, {failed} failed"
    );
}
