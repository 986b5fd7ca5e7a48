//! Three replicas with different adapters, of which the last has only the CPU that the others leave,
//! and the picks among them.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use e2e::rig::{
    Client, Envoy, Protocol, RequestSpec, Response, Rig, RigOptions, base_config,
    vllm::{Replica, ReplicaOptions},
};
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use xxhash_rust::xxh64::xxh64;

use super::stage::PATIENCE;

/// The adapters that each replica serves.
const ADAPTERS: [&str; 3] = ["sql", "sql chat", "code"];
/// KV-cache blocks of 32 tokens of each replica: some four conversations.
const BLOCKS: &str = "--num-gpu-blocks-override=128";

pub(super) struct Trio {
    replicas: Vec<Replica>,
    rig: Rig,
}

/// Tokens of prompts, and those of them that vLLM found in its prefix cache, of all replicas.
#[derive(Debug, Clone, Copy)]
struct Prefixes {
    queried: f64,
    hit: f64,
}

impl Trio {
    pub(super) async fn start() -> Self {
        let options = ADAPTERS.map(|adapters| ReplicaOptions {
            arguments: vec![BLOCKS.to_owned()],
            adapters: Some(adapters.to_owned()),
        });
        let replicas = Replica::start_each(options).await.unwrap();
        replicas[2].slow_down().unwrap();
        let members: Vec<SocketAddr> = replicas.iter().map(Replica::address).collect();
        // The engines do not tell how many requests they run at once; `vllm/replica.sh` has made it 4.
        let options = RigOptions {
            change: |config| {
                config.change_plugin(|plugin| {
                    plugin["picker"] = json!({"cost": {"max_num_seqs": 4}});
                })
            },
            ..RigOptions::default()
        };
        let rig = Rig::around(&members, options).await.unwrap();
        rig.informed().await.unwrap();
        Self { replicas, rig }
    }

    fn members(&self) -> Vec<SocketAddr> {
        self.replicas.iter().map(Replica::address).collect()
    }

    async fn prefixes(&self) -> Prefixes {
        let mut sums = Prefixes {
            queried: 0.0,
            hit: 0.0,
        };
        for replica in self.members() {
            let page = ask(replica, RequestSpec::get("/metrics")).await.text();
            sums.queried += counter(&page, "vllm:prefix_cache_queries_total");
            sums.hit += counter(&page, "vllm:prefix_cache_hits_total");
        }
        sums
    }

    async fn forget_prefixes(&self) {
        for replica in self.members() {
            let reset = RequestSpec {
                path: "/reset_prefix_cache".to_owned(),
                ..RequestSpec::post("")
            };
            ask(replica, reset).await;
        }
    }
}

/// Sends a request on a connection of its own and wants a 200.
async fn ask(target: SocketAddr, spec: RequestSpec) -> Response {
    let client = Client::new(target, Protocol::Http1).with_limit(PATIENCE);
    let response = client.send(spec).await.unwrap();
    assert_eq!(response.status, 200, "{}", response.text());
    response
}

fn counter(page: &str, name: &str) -> f64 {
    let series = page.lines().filter(|line| line.starts_with(name));
    let values = series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    values.sum()
}

fn post(path: &str, mut body: Value) -> RequestSpec {
    // Always the same answer, always of the same length.
    body["temperature"] = json!(0);
    body["ignore_eos"] = json!(true);
    RequestSpec {
        path: path.to_owned(),
        ..RequestSpec::post(body.to_string())
    }
}

/// A number from 0 to 1 that belongs to these two.
fn draw(one: u64, other: u64) -> f64 {
    xxh64(&one.to_le_bytes(), other) as f64 / u64::MAX as f64
}

fn text(seed: u64, chars: usize) -> String {
    const WORDS: [&str; 16] = [
        "return", "value", "of", "the", "list", "when", "an", "error", "is", "not", "found", "in",
        "file", "and", "class", "name",
    ];
    let words = (0..).map(|at| WORDS[(draw(at, seed) * 15.99) as usize]);
    let mut text = String::new();
    for word in words {
        if text.len() >= chars {
            break;
        }
        text = text + word + " ";
    }
    text
}

/// One person's conversation: four questions, each with everything that was said before, after some
/// time to read and to think.
async fn converse(gateway: SocketAddr, person: u64) {
    const TURNS: u64 = 4;
    let mut messages = vec![json!({"role": "system", "content": text(person, 300)})];
    for turn in 0..TURNS {
        sleep(Duration::from_secs_f64(0.2 + 1.5 * draw(turn, person))).await;
        let question = text(1_000 * person + turn, 400);
        messages.push(json!({"role": "user", "content": question}));
        let body = json!({"model": "tiny", "messages": messages, "max_tokens": 24});
        let answer = ask(gateway, post("/v1/chat/completions", body)).await;
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        let said = body["choices"][0]["message"]["content"].as_str().unwrap();
        messages.push(json!({"role": "assistant", "content": said}));
    }
}

/// The same conversations through Envoy's own round robin and through ours, each with empty caches.
pub(super) async fn conversations_find_their_prefixes(trio: &Trio) {
    const PEOPLE: u64 = 16;
    let mut plain = base_config(&trio.members(), trio.rig.envoy.address()).unwrap();
    plain.balance_by_fallback().unwrap();
    let round_robin = Envoy::start(plain, 2).await.unwrap();
    let mut shares = BTreeMap::new();
    for (name, envoy) in [("round robin", &round_robin), ("ours", &trio.rig.envoy)] {
        trio.forget_prefixes().await;
        let before = trio.prefixes().await;
        let mut running = JoinSet::new();
        for person in 0..PEOPLE {
            running.spawn(converse(envoy.address(), person));
        }
        running.join_all().await;
        let after = trio.prefixes().await;
        let (hit, queried) = (after.hit - before.hit, after.queried - before.queried);
        println!("{name}: {hit} of {queried} prompt tokens were in vLLM's prefix cache");
        shares.insert(name, hit / queried);
    }
    let ratio = shares["ours"] / shares["round robin"];
    println!("prefix hits: {ratio:.2} x round robin's");
    assert!(ratio >= 1.5, "{shares:?}");
}

/// Each adapter is served by some of the replicas only, and every request for it goes there.
pub(super) async fn adapters_go_where_they_are(trio: &Trio) {
    let gateway = trio.rig.envoy.address();
    let mut running = JoinSet::new();
    for number in 0..60_u64 {
        let adapter = ["sql", "chat", "code"][number as usize % 3];
        let prompt = text(7_000 + number, 100);
        let body = json!({"model": adapter, "prompt": prompt, "max_tokens": 8});
        running.spawn(async move {
            let answer = ask(gateway, post("/v1/completions", body)).await;
            assert_eq!(answer.attempts(), 1, "{adapter}: {}", answer.text());
            (adapter, answer.upstream().unwrap())
        });
        sleep(Duration::from_millis(60)).await;
    }
    let mut counts: BTreeMap<&str, [u32; 3]> = BTreeMap::new();
    for (adapter, upstream) in running.join_all().await {
        let members = trio.members();
        let replica = members.iter().position(|each| *each == upstream).unwrap();
        counts.entry(adapter).or_default()[replica] += 1;
    }
    println!("adapters by replica: {counts:?}");
    for (adapter, counts) in counts {
        for (served, count) in ADAPTERS.iter().zip(counts) {
            let serves = served.split(' ').any(|each| each == adapter);
            assert!(serves || count == 0, "{adapter}: {counts:?}");
        }
    }
}

/// The slow replica gets fewer requests than the others, but some.
pub(super) async fn a_slow_replica_gets_its_smaller_share(trio: &Trio) {
    const LEARNED_AFTER: Duration = Duration::from_secs(10);
    const MEASURED: Duration = Duration::from_secs(15);
    let start = Instant::now();
    let gateway = trio.rig.envoy.address();
    let members = Arc::new(trio.members());
    let mut running = JoinSet::new();
    for keeper in 0..9_u64 {
        let members = Arc::clone(&members);
        running.spawn(async move {
            let mut counts = [0_u32; 3];
            for turn in 0.. {
                if start.elapsed() > LEARNED_AFTER + MEASURED {
                    break;
                }
                let prompt = text(100_000 * (keeper + 1) + turn, 200);
                let body = json!({"model": "tiny", "prompt": prompt, "max_tokens": 48});
                let sent = start.elapsed();
                let answer = ask(gateway, post("/v1/completions", body)).await;
                let upstream = answer.upstream().unwrap();
                let replica = members.iter().position(|each| *each == upstream).unwrap();
                counts[replica] += u32::from(sent > LEARNED_AFTER);
            }
            counts
        });
    }
    let mut total = [0; 3];
    for counts in running.join_all().await {
        for (sum, count) in total.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    println!("requests by replica, the last one slow: {total:?}");
    let fast = f64::from(total[0] + total[1]) / 2.0;
    assert!(f64::from(total[2]) <= 0.7 * fast, "{total:?}");
    // Slow is not dead.
    assert!(total[2] > 0, "{total:?}");
}
