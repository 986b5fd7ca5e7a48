//! The agent's file.

use metrics_agent::config;
use serde_json::{Value, json};

use crate::{
    comments::Owner,
    parser::Mistake,
    section::{Document, Section, elsewhere, said},
};

const CHECKED: &str = "metrics-agent/src/config/checked.rs";
const CUSTOM: &str = "metrics-agent/src/scrape/dialect/custom.rs";
const CONFIG: Owner = Owner::of(CHECKED, "Config");
const PLACE: Owner = Owner::of(CHECKED, "MetricsPlace");

fn parse(document: &Value) -> Result<String, Vec<Mistake>> {
    match config::parse("agent.yaml", &document.to_string()) {
        Ok(config) => Ok(format!("{config:#?}")),
        Err(mistakes) => {
            let list = mistakes.list.into_iter();
            Err(list.map(|one| (one.path, one.message)).collect())
        }
    }
}

pub(crate) fn chapter() -> String {
    let document = Document {
        parse,
        base: json!({
            "listen": {"tls": {"certificate": "a.pem", "key": "a.key"}},
            "scrape": {},
            "engines": {"name-of-yours": {"waiting": "queue"}},
            "pools": [{"name": "default", "endpoints": [{"address": "10.0.0.1:8000"}]}],
            "adapters": [{"pool": "default", "present": [{"name": "a", "source": "b"}]}],
        }),
        sections: sections(),
    };
    let is_engine = |path: &str| path.starts_with("engines.");
    [
        "## The agent's file\n\nWhat the agent does with each: [agent.md](agent.md). A complete file: \
         [testdata/agent-config/good/everything.yaml](../testdata/agent-config/good/everything.yaml). Without \
         `resources` there must be `pools`. Changes of `listen`, `agent_id`, `resources` and `api_key` wait for a \
         restart.\n",
        &document.table(|path| !is_engine(path)),
        "### Engines that are not built in\n\nEach value is the selector of a metric: `name`, or \
         `name{label=\"value\"}`. At least one of `waiting`, `running` and `kv_usage` is needed.\n",
        &document.table(is_engine),
    ]
    .join("\n")
}

fn sections() -> Vec<Section> {
    let section = |path, name, checked| Section {
        path,
        owner: Owner::of(CHECKED, name),
        checked,
        elsewhere: Vec::new(),
    };
    let engine = |path, name, fields: &[&'static str]| Section {
        elsewhere: fields
            .iter()
            .map(|field| elsewhere(field, Owner::of(CUSTOM, name), field, "=none"))
            .collect(),
        ..section(path, name, "")
    };
    vec![
        Section {
            elsewhere: vec![elsewhere(
                "agent_id",
                CONFIG,
                "agent_id",
                "=the host's name",
            )],
            ..section("", "Config", "")
        },
        section("listen", "Listen", "listen"),
        section("listen.tls", "TlsFiles", "listen.tls"),
        section("scrape", "ScrapeSettings", "scrape"),
        Section {
            elsewhere: vec![
                said(
                    "engine",
                    "Whose metric names its endpoints speak; `auto` is recognised by the page. `trtllm` and `triton` are short for the built-in names.",
                    "=`auto`",
                ),
                said(
                    "price",
                    "What a second of its endpoints costs relative to others.",
                    "=`1`",
                ),
            ],
            ..section("pools[0]", "Pool", "pools")
        },
        Section {
            elsewhere: vec![
                elsewhere("port", PLACE, "port", "=the endpoint's, of Triton 8002"),
                elsewhere("path", PLACE, "path", "=the engine's"),
            ],
            ..section("pools[0].metrics", "MetricsPlace", "")
        },
        Section {
            elsewhere: vec![
                said(
                    "address",
                    "Where the model server is. A DNS name stands for all its addresses.",
                    "",
                ),
                elsewhere(
                    "name",
                    Owner::of(CHECKED, "Endpoint"),
                    "name",
                    "=the address",
                ),
                elsewhere(
                    "price",
                    Owner::of(CHECKED, "Endpoint"),
                    "price",
                    "=the pool's",
                ),
                elsewhere(
                    "engine",
                    Owner::of(CHECKED, "Endpoint"),
                    "engine",
                    "=the pool's",
                ),
                elsewhere(
                    "metrics",
                    Owner::of(CHECKED, "Endpoint"),
                    "metrics",
                    "=the pool's",
                ),
            ],
            ..section("pools[0].endpoints[0]", "Endpoint", "pools.endpoints")
        },
        section("adapters[0]", "PoolAdapters", "adapters"),
        section("adapters[0].present[0]", "Adapter", ""),
        Section {
            elsewhere: vec![
                said(
                    "file",
                    "The path of a file with the key. It is read again every two seconds, and while it holds no key the last one counts.",
                    "=none",
                ),
                said(
                    "env",
                    "The variable of the environment with the key.",
                    "=none",
                ),
            ],
            ..section("api_key", CONFIG.name, "")
        },
        engine(
            "engines.name-of-yours",
            "RawCustomDialect",
            &[
                "waiting",
                "running",
                "kv_usage",
                "kv_used",
                "kv_total",
                "kv_block_size",
                "kv_blocks",
                "block_info",
                "generation_tokens",
                "prompt_tokens",
                "cached_prompt_tokens",
                "success",
                "process_start_time",
                "awake",
                "lora",
                "mirrored_labels",
                "moves_every_step",
            ],
        ),
        engine(
            "engines.name-of-yours.block_info",
            "RawBlockInfo",
            &["metric", "block_size_label", "blocks_label"],
        ),
        engine(
            "engines.name-of-yours.lora",
            "RawLoraInfo",
            &["metric", "active_label", "waiting_label", "max_label"],
        ),
    ]
}
