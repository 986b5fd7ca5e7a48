//! Bad plugin configurations, each with words that the refusal must contain: the place of every
//! mistake in it.

use serde_json::{Value, json};

/// A configuration's text and what its refusal has to name.
pub(crate) fn cases() -> Vec<(String, Vec<&'static str>)> {
    let mut cases: Vec<(String, Vec<&'static str>)> = Vec::new();
    let mut text = |text: &str, mistakes: &[&'static str]| {
        cases.push((text.to_owned(), mistakes.to_vec()));
    };
    text("", &["not valid JSON"]);
    text("{", &["not valid JSON", "line 1"]);
    text("nonsense", &["not valid JSON"]);
    text("[]", &["object"]);
    text("7", &["object"]);
    text("null", &["object"]);
    text("{} {}", &["not valid JSON"]);
    text(
        r#"{"pools":[{"name":"a"}],"agent":{"cluster":"c"},"agent":{"cluster":"d"}}"#,
        &["agent: occurs twice"],
    );
    text("{}", &["pools"]);

    let mut json = |change: &dyn Fn(&mut Value), mistakes: &[&'static str]| {
        let mut config = good();
        change(&mut config);
        cases.push((config.to_string(), mistakes.to_vec()));
    };
    json(
        &|c| c["mode"] = json!("sideways"),
        &["mode", "sideways", "single"],
    );
    json(&|c| c["mode"] = json!(1), &["mode"]);
    json(&|c| c["Mode"] = json!("single"), &["Mode", "unknown field"]);
    json(&|c| c["agent"] = json!("c"), &["agent"]);
    json(&|c| c["agent"] = json!({}), &["agent.cluster"]);
    json(&|c| c["agent"]["cluster"] = json!(""), &["agent.cluster"]);
    json(
        &|c| c["agent"]["cluster"] = json!("x".repeat(300)),
        &["agent.cluster"],
    );
    json(
        &|c| c["agent"]["port"] = json!(1),
        &["agent.port", "unknown field"],
    );
    json(&|c| c["pools"] = json!([]), &["pools"]);
    json(&|c| c["pools"] = json!({}), &["pools"]);
    json(&|c| c["pools"] = json!([7]), &["pools[0]"]);
    json(&|c| c["pools"] = json!([{}]), &["pools[0].name"]);
    json(
        &|c| c["pools"][0]["name"] = json!("two words"),
        &["pools[0].name"],
    );
    json(
        &|c| c["pools"][0]["name"] = json!("x".repeat(129)),
        &["pools[0].name"],
    );
    json(
        &|c| c["pools"][0]["size"] = json!(1),
        &["pools[0].size", "unknown field"],
    );
    json(
        &|c| c["pools"] = json!([{"name": "a"}, {"name": "b"}]),
        &["pools[0].cluster", "pools[1].cluster"],
    );
    json(
        &|c| c["pools"] = json!([{"name": "a", "cluster": "x"}, {"name": "a", "cluster": "x"}]),
        &["pools[1].name", "pools[1].cluster", "twice"],
    );
    json(
        &|c| c["pools"][0]["members"] = json!("10.0.0.1:80"),
        &["pools[0].members"],
    );
    json(
        &|c| c["pools"][0]["members"] = json!(["10.0.0.1", "host:80", "10.0.0.1:0", 5]),
        &["members[0]", "members[1]", "members[2]", "members[3]"],
    );
    json(
        &|c| c["pools"][0]["members"] = json!(["127.0.0.1:80", "169.254.169.254:80", "[::1]:80"]),
        &["members[0]", "members[1]", "members[2]", "allowed_cidrs"],
    );
    json(
        &|c| c["pools"][0]["members"] = json!(["10.0.0.1:80", "10.0.0.1:80"]),
        &["members[1]", "twice"],
    );
    json(&|c| c["allowed_cidrs"] = json!([]), &["allowed_cidrs"]);
    json(
        &|c| c["allowed_cidrs"] = json!("10.0.0.0/8"),
        &["allowed_cidrs"],
    );
    json(
        &|c| c["allowed_cidrs"] = json!(["10.0.0.0", "10.0.0.0/33", "10.0.0.1/8", "x/8"]),
        &[
            "allowed_cidrs[0]",
            "allowed_cidrs[1]",
            "allowed_cidrs[2]",
            "allowed_cidrs[3]",
        ],
    );
    json(&|c| c["body"] = json!(1), &["body"]);
    json(&|c| c["body"]["cap_bytes"] = json!(0), &["body.cap_bytes"]);
    json(&|c| c["body"]["cap_bytes"] = json!(-5), &["body.cap_bytes"]);
    json(
        &|c| c["body"]["cap_bytes"] = json!(1.5),
        &["body.cap_bytes"],
    );
    json(
        &|c| c["body"]["cap_bytes"] = json!("64k"),
        &["body.cap_bytes"],
    );
    json(
        &|c| c["body"]["cap_bytes"] = json!(u64::MAX),
        &["body.cap_bytes"],
    );
    json(
        &|c| c["body"]["cap"] = json!(1),
        &["body.cap", "unknown field"],
    );
    json(&|c| c["strict_model"] = json!("yes"), &["strict_model"]);
    json(&|c| c["picker"] = json!([]), &["picker"]);
    json(
        &|c| c["picker"] = json!({"policy": "best"}),
        &["picker", "best"],
    );
    json(
        &|c| c["picker"] = json!({"polici": "scored"}),
        &["picker", "polici"],
    );
    json(
        &|c| c["picker"] = json!({"weights": {"queue": -1.0, "kv_cache": 1e300}}),
        &["picker.weights.queue", "picker.weights.kv_cache"],
    );
    json(
        &|c| c["picker"] = json!({"freshness": {"fresh_ms": 9000, "expired_ms": 10}}),
        &["picker.freshness"],
    );
    json(
        &|c| c["picker"] = json!({"prefix": {"block_bytes": 0}, "retries": {"choices": 0}}),
        &["picker.prefix.block_bytes", "picker.retries.choices"],
    );
    json(
        &|c| c["picker"] = json!({"retries": {"choices": 9}}),
        &["picker.retries.choices"],
    );
    // Many at once: none hides another.
    json(
        &|c| {
            *c = json!({
                "mode": "both", "agent": {"cluster": 1}, "pools": [{"name": ""}],
                "body": {"cap_bytes": "big"}, "allowed_cidrs": ["nowhere"], "strict_model": 1,
                "picker": {"weights": {"queue": -1.0}}, "extra": {}
            });
        },
        &[
            "mode",
            "agent.cluster",
            "pools[0].name",
            "body.cap_bytes",
            "allowed_cidrs[0]",
            "strict_model",
            "picker.weights.queue",
            "extra",
        ],
    );
    json(&|c| c["agent"] = Value::Null, &["agent"]);
    json(
        &|c| {
            c.as_object_mut().unwrap().remove("agent");
        },
        &["pools[0].members", "without an agent"],
    );
    cases
}

fn good() -> Value {
    json!({"mode": "single", "agent": {"cluster": "zerohop-agent"}, "pools": [{"name": "default"}],
           "body": {"cap_bytes": 65_536}})
}
