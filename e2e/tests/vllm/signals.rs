//! The signals of the real engine, and the picks that follow from them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    direct::Busy,
    stage::{Kind, Stage, request},
};

/// `vllm/replica.sh` serves so many requests at once.
const MAX_NUM_SEQS: f64 = 4.0;

fn signal(endpoint: &Value, name: &str) -> f64 {
    endpoint["signals"][name]["value"].as_f64().unwrap_or(-1.0)
}

fn adapters<'a>(endpoint: &'a Value, list: &str) -> Vec<&'a str> {
    let names = endpoint["signals"]["lora"][list].as_array();
    let mut names: Vec<&str> = names
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    names.sort_unstable();
    names
}

fn idle(endpoint: &Value) -> bool {
    ["waiting", "running", "kv_usage"]
        .iter()
        .all(|name| signal(endpoint, name) == 0.0)
}

/// One replica is busy behind the gateway's back: its page says so in every signal, and all new
/// requests go to the other.
pub(super) async fn the_page_of_a_busy_replica_is_understood_and_it_is_avoided(stage: &Stage) {
    for replica in 0..2 {
        let page = stage.page(replica).await;
        assert_eq!(page["health"], "ready", "{page:#}");
        assert_eq!(page["signals"]["kv_block_size"], json!(32), "{page:#}");
        assert_eq!(page["signals"]["kv_blocks"], json!(64), "{page:#}");
        assert_eq!(adapters(&page, "registered"), ["chat", "code", "sql"]);
        stage.sees(replica, "an idle replica", idle).await;
    }
    for busy in 0..2 {
        let load = Busy::with(stage.address(busy), "sql", 8, 300);
        let full = |page: &Value| {
            signal(page, "running") == MAX_NUM_SEQS
                && signal(page, "waiting") >= 2.0
                && (0.05..=1.0).contains(&signal(page, "kv_usage"))
                && adapters(page, "active") == ["sql"]
                && page["signals"]["lora"]["max"] == 2
        };
        stage.sees(busy, "a replica with a queue", full).await;
        // Until the gateway has it too.
        sleep(Duration::from_millis(200)).await;
        for number in 0..12 {
            let spec = request(Kind::of(number), "tiny", number, 2);
            let response = stage.rig.client.send(spec).await.unwrap();
            assert_eq!(response.status, 200, "{}", response.text());
            let upstream = response.upstream().unwrap();
            assert_eq!(upstream, stage.address(1 - busy), "replica {busy} is busy");
        }
        stage.sees(busy, "it still has a queue", full).await;
        drop(load);
        stage.sees(busy, "the queue is gone", idle).await;
    }
}

/// With as much to do on both, requests for an adapter go where it is active.
pub(super) async fn adapters_stay_where_they_are_active(stage: &Stage) {
    for home in 0..2 {
        let away = 1 - home;
        let loads = [
            Busy::with(stage.address(home), "sql", 2, 150),
            Busy::with(stage.address(away), "chat", 1, 150),
            Busy::with(stage.address(away), "code", 1, 150),
        ];
        stage
            .sees(home, "sql is active", |page| {
                adapters(page, "active") == ["sql"]
            })
            .await;
        stage
            .sees(away, "both other adapters are", |page| {
                adapters(page, "active") == ["chat", "code"]
            })
            .await;
        sleep(Duration::from_millis(200)).await;
        let before = stage.picked_for("lora_affinity").await;
        let mut at_home = 0;
        for number in 0..16 {
            let spec = request(Kind::of(number), "sql", number, 2);
            let response = stage.rig.client.send(spec).await.unwrap();
            assert_eq!(response.status, 200, "{}", response.text());
            at_home += u32::from(response.upstream() == Some(stage.address(home)));
        }
        let by_adapter = stage.picked_for("lora_affinity").await - before;
        println!(
            "sql on replica {home}: {at_home} of 16 there, {by_adapter} of them for that reason"
        );
        // A scrape may fall between two requests of a keeper, when an adapter is not active.
        assert!(at_home >= 14, "{at_home} of 16 went where sql was active");
        assert!(by_adapter >= 8, "{by_adapter} of 16 because of the adapter");
        drop(loads);
        for replica in 0..2 {
            stage.sees(replica, "it is idle again", idle).await;
        }
    }
}
