//! The filter's configuration.

use filter::config::Config;
use serde_json::{Value, json};

use crate::{
    comments::Owner,
    parser::Mistake,
    section::{Document, Section, elsewhere},
};

const CONFIG: Owner = Owner::of("filter/src/config.rs", "Config");
const MODELS: Owner = Owner::of("filter/src/config/models.rs", "ModelsConfig");
const ANSWERS: Owner = Owner {
    name: "ModelAnswers",
    ..MODELS
};
const PICKER: Owner = Owner::of("picker/src/config/mod.rs", "PickerConfig");
const STEP: Owner = Owner::of("picker/src/step_model.rs", "StepModel");
const FILTER_ADMISSION: Owner = Owner::of("filter/src/config/admission.rs", "AdmissionConfig");
const ADMISSION: Owner = Owner::of("admission/src/config.rs", "AdmissionConfig");

/// What a page says better than a message, which must cost the wasm little; and the policies that only the
/// simulator is built with.
const SAID_BETTER: [(&str, &str); 7] = [
    (", power_of_two", ""),
    (", blend", ""),
    (", sticky", ""),
    (", higress", ""),
    (
        "a number from -10^9 or more to 10^9 or more",
        "a whole number of 32 bits",
    ),
    ("10^9 or more", "1000000000"),
    ("any of !#$%&'*+-.^_`|~", "other signs of an HTTP token"),
];

fn parse(document: &Value) -> Result<String, Vec<Mistake>> {
    let config = Config::parse(document.to_string().as_bytes());
    let mistake = |line: String| {
        let better = |line: String, (said, better): &(&str, &str)| line.replace(said, better);
        let line = SAID_BETTER.iter().fold(line, better);
        let (path, message) = line.split_once(": ").unwrap_or(("", &line));
        (path.to_owned(), message.to_owned())
    };
    match config {
        Ok(config) => Ok(format!("{config:#?}")),
        Err(mistakes) => Err(mistakes.0.into_iter().map(mistake).collect()),
    }
}

pub(crate) fn chapter() -> String {
    let document = Document {
        parse,
        base: json!({
            "agent": {"cluster": "zerohop-agent"},
            "pools": [{"name": "default"}],
            "admission": {},
        }),
        sections: sections(),
    };
    let is_picker = |path: &str| path == "picker" || path.starts_with("picker.");
    let is_cost = |path: &str| path == "picker.cost";
    let is_admission = |path: &str| path.starts_with("admission");
    [
        "## The filter\n\nWhat it does with each: [filter.md](filter.md). `pools` is required but in `pair_second`, which needs `mode` alone.\n",
        &document.table(|path| !is_picker(path) && !is_admission(path)),
        "### The picker\n\n[decision.md](decision.md) explains the terms of `picker.cost`.\n",
        &document.table(|path| is_picker(path) && !is_cost(path)),
        "### The picker's cost model\n",
        &document.table(is_cost),
        "### Admission\n\n`\"admission\": {}` switches it on with every default, without it nobody waits: [admission.md](admission.md).\n",
        &document.table(is_admission),
    ]
    .join("\n")
}

fn sections() -> Vec<Section> {
    let plain = |path, file, name, checked| Section {
        path,
        owner: Owner { file, name },
        checked,
        elsewhere: Vec::new(),
    };
    let picker = |path, name, checked| plain(path, PICKER.file, name, checked);
    let rules = |path, file, name, checked| plain(path, file, name, checked);
    let mut sections = vec![
        Section {
            elsewhere: vec![elsewhere("allowed_cidrs", CONFIG, "allowed", "=the usual")],
            ..plain("", CONFIG.file, CONFIG.name, "")
        },
        Section {
            elsewhere: vec![elsewhere(
                "cluster",
                CONFIG,
                "agent_cluster",
                "agent_cluster",
            )],
            ..plain("agent", CONFIG.file, CONFIG.name, "")
        },
        plain(
            "pools[0]",
            "filter/src/config/pools.rs",
            "PoolConfig",
            "pools",
        ),
        Section {
            elsewhere: vec![
                elsewhere("unknown", ANSWERS, "refuse_unknown", "=as `models.unknown`"),
                elsewhere("list", ANSWERS, "list", "=as `models.list`"),
            ],
            ..plain("pools[0].models", ANSWERS.file, ANSWERS.name, "")
        },
        plain("body", CONFIG.file, CONFIG.name, ""),
        Section {
            elsewhere: vec![
                elsewhere("unknown", ANSWERS, "refuse_unknown", "=`pass`"),
                elsewhere("list", ANSWERS, "list", "models.answers.list"),
            ],
            ..plain("models", MODELS.file, MODELS.name, "models")
        },
        plain(
            "session",
            "filter/src/config/session.rs",
            "SessionConfig",
            "session",
        ),
        picker("picker", "PickerConfig", "picker"),
        picker("picker.weights", "Weights", "picker.weights"),
        Section {
            elsewhere: vec![
                elsewhere("step_base_us", STEP, "base_us", "picker.cost.step.base_us"),
                elsewhere(
                    "step_token_us",
                    STEP,
                    "token_us",
                    "picker.cost.step.token_us",
                ),
                elsewhere(
                    "step_kv_token_us",
                    STEP,
                    "kv_token_us",
                    "picker.cost.step.kv_token_us",
                ),
            ],
            ..plain(
                "picker.cost",
                "picker/src/config/cost.rs",
                "CostConfig",
                "picker.cost",
            )
        },
        plain(
            "picker.freshness",
            "picker/src/freshness.rs",
            "Ladder",
            "picker.freshness",
        ),
        picker("picker.prefix", "PrefixConfig", "picker.prefix"),
        picker("picker.retries", "PickerConfig", "picker"),
        plain(
            "admission",
            FILTER_ADMISSION.file,
            FILTER_ADMISSION.name,
            "admission",
        ),
        plain(
            "admission.fairness",
            FILTER_ADMISSION.file,
            "FairnessConfig",
            "admission.fairness",
        ),
        rules(
            "admission.rules",
            ADMISSION.file,
            ADMISSION.name,
            "admission.rules",
        ),
        rules(
            "admission.rules.room",
            "admission/src/room.rs",
            "Limits",
            "admission.rules.room",
        ),
        rules(
            "admission.rules.hold_back",
            ADMISSION.file,
            "HoldBack",
            "admission.rules.hold_back",
        ),
    ];
    sections.push(Section {
        path: "admission.rules.queue",
        owner: ADMISSION,
        checked: "",
        elsewhere: vec![
            elsewhere(
                "requests",
                ADMISSION,
                "worker",
                "admission.rules.worker.requests",
            ),
            elsewhere("bytes", ADMISSION, "worker", "admission.rules.worker.bytes"),
            elsewhere(
                "priority_requests",
                ADMISSION,
                "priority",
                "admission.rules.priority.requests",
            ),
            elsewhere(
                "priority_bytes",
                ADMISSION,
                "priority",
                "admission.rules.priority.bytes",
            ),
            elsewhere(
                "flow_requests",
                ADMISSION,
                "flow",
                "admission.rules.flow.requests",
            ),
            elsewhere(
                "flow_bytes",
                ADMISSION,
                "flow",
                "admission.rules.flow.bytes",
            ),
        ],
    });
    sections
}
