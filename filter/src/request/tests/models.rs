//! What becomes of requests by their models.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use picker::Criticality;
use pool_state::{
    convert::policy_to_proto,
    policy::{ModelRule, Policy, PolicyParts, Target},
};
use serde_json::{Value, json};

use super::*;

pub(super) fn rule(model: Option<&str>, targets: &[(&str, u32)]) -> ModelRule {
    let target = |(name, weight): &(&str, u32)| Target::new(name, Some(*weight));
    ModelRule {
        model: model.map(str::to_owned),
        source: "r".to_owned(),
        priority: None,
        targets: targets.iter().map(target).collect(),
    }
}

pub(super) fn parts(pool: &str, rules: Vec<ModelRule>) -> PolicyParts {
    PolicyParts {
        pool: pool.to_owned(),
        rules,
        ..PolicyParts::default()
    }
}

impl Rig {
    pub(super) fn policy(&self, parts: PolicyParts) {
        let policy = policy_to_proto(&Policy::new(parts).unwrap());
        let worker = self.root.worker().unwrap();
        worker.borrow_mut().publish_policy(&self.host, &policy);
    }

    /// A request with this body and these further headers, in one piece; what Envoy does with it.
    pub(super) fn post(&self, body: &[u8], more: &[(&str, &[u8])]) -> (u32, Request, Flow) {
        let length = body.len().to_string();
        let mut headers: Vec<(&str, &[u8])> = vec![
            (":method", b"POST"),
            ("content-type", b"application/json"),
            ("content-length", length.as_bytes()),
        ];
        headers.extend(more);
        let (context, mut request) = self.request(&headers);
        assert_eq!(request.on_request_headers(&self.host, false), Flow::Pause);
        let size = self.host.buffer(context, body);
        let flow = request.on_request_body(&self.host, size, true);
        (context, request, flow)
    }

    pub(super) fn model_sent(&self, context: u32) -> String {
        let body = self.host.body_of(context);
        let length = self.host.header_of(context, "content-length");
        assert_eq!(length, Some(body.len().to_string()));
        let body: Value = serde_json::from_slice(&body).unwrap();
        body["model"].as_str().unwrap().to_owned()
    }

    fn models(&self, event: &str) -> u64 {
        self.metric(&format!("event=.={event};.;zerohop_models_total"))
    }
}

pub(super) fn body(model: &str) -> Vec<u8> {
    json!({"model": model, "prompt": "hello"})
        .to_string()
        .into_bytes()
}

#[test]
fn a_model_with_a_rule_is_rewritten_and_its_name_restored() {
    let rig = Rig::new("");
    rig.policy(parts(
        "p",
        vec![rule(Some("public"), &[("a-longer-target", 1)])],
    ));
    let (context, mut request, flow) = rig.post(&body("public"), &[]);
    assert_eq!(flow, Flow::Continue);
    assert_eq!(rig.model_sent(context), "a-longer-target");
    assert!(rig.destination(context).is_some());
    rig.host.respond_with(context, b"200", None);
    rig.host
        .respond_header(context, "content-type", b"application/json");
    rig.host.respond_header(context, "content-length", b"26");
    request.on_response_headers(&rig.host);
    assert_eq!(rig.host.response_header_of(context, "content-length"), None);
    let mut restored = Vec::new();
    for chunk in [
        &br#"{"id":1,"model":"a-lon"#[..],
        b"",
        br#"ger-target","n":2}"#,
    ] {
        let size = rig.host.chunk(context, chunk);
        request.on_response_body(&rig.host, size, false);
        restored.extend(rig.host.chunk_of(context));
    }
    assert_eq!(restored, br#"{"id":1,"model":"public","n":2}"#);
    request.on_log(&rig.host);
    assert_eq!(rig.in_flight(), 0);
    assert_eq!((rig.models("rewritten"), rig.models("provisional")), (1, 0));
}

#[test]
fn every_model_of_a_body_is_rewritten_where_it_stands() {
    let rig = Rig::new("");
    rig.policy(parts("p", vec![rule(Some("public"), &[("target", 1)])]));
    let sent =
        br#"{"model":"x","n":1,"mod\u0065l":7,"model" : "y","prompt":"hello","model":"public"} "#;
    let (context, _, flow) = rig.post(sent, &[]);
    assert_eq!(flow, Flow::Continue);
    assert_eq!(
        String::from_utf8(rig.host.body_of(context)).unwrap(),
        r#"{"model":"target","n":1,"mod\u0065l":7,"model" : "target","prompt":"hello","model":"target"} "#
    );
    assert_eq!(rig.model_sent(context), "target", "with the length of this");
}

#[test]
fn an_encoded_answer_is_left_alone_and_counted() {
    let rig = Rig::new("");
    rig.policy(parts("p", vec![rule(Some("public"), &[("target", 1)])]));
    let (context, mut request, _) = rig.post(&body("public"), &[]);
    rig.host.respond_with(context, b"200", None);
    for (name, value) in [
        ("content-type", &b"application/json"[..]),
        ("content-encoding", b"gzip"),
        ("content-length", b"18"),
    ] {
        rig.host.respond_header(context, name, value);
    }
    request.on_response_headers(&rig.host);
    let length = rig.host.response_header_of(context, "content-length");
    assert_eq!(length.as_deref(), Some("18"));
    let size = rig.host.chunk(context, br#"{"model":"target"}"#);
    request.on_response_body(&rig.host, size, true);
    assert_eq!(rig.host.chunk_of(context), br#"{"model":"target"}"#);
    assert_eq!(rig.models("answer_encoded"), 1);
    request.on_log(&rig.host);
}

#[test]
fn other_models_and_other_answers_pass_untouched() {
    let rig = Rig::new("");
    let same = rule(Some("same"), &[("same", 1)]);
    rig.policy(parts(
        "p",
        vec![same, rule(Some("public"), &[("target", 1)])],
    ));
    for model in ["other", "same"] {
        let sent = body(model);
        let (context, mut request, flow) = rig.post(&sent, &[]);
        assert_eq!(flow, Flow::Continue);
        assert_eq!(rig.host.body_of(context), sent);
        rig.host.respond_with(context, b"200", None);
        rig.host
            .respond_header(context, "content-type", b"application/json");
        request.on_response_headers(&rig.host);
        let reads = rig.host.reads();
        let size = rig.host.chunk(context, br#"{"model":"target"}"#);
        request.on_response_body(&rig.host, size, false);
        assert_eq!(rig.host.chunk_of(context), br#"{"model":"target"}"#);
        assert!(rig.host.reads() <= reads + 1, "for the token counts");
        request.on_log(&rig.host);
    }
    assert_eq!(rig.models("rewritten"), 0);
}

#[test]
fn the_draw_follows_the_weights_and_repeats_itself_for_a_request_id() {
    let rig = Rig::new("");
    let split = rule(Some("public"), &[("stable", 70), ("canary", 30)]);
    rig.policy(parts("p", vec![split]));
    let draw = |id: Option<&str>| {
        let headers: Vec<_> = id
            .iter()
            .map(|id| ("x-request-id", id.as_bytes()))
            .collect();
        let (context, mut request, _) = rig.post(&body("public"), &headers);
        request.on_log(&rig.host);
        let model = rig.model_sent(context);
        rig.host.end(context);
        model
    };
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for number in 0..4_000 {
        let id = format!("0a1b-{number}");
        let model = draw(Some(&id));
        if number % 10 == 0 {
            assert_eq!(draw(Some(&id)), model, "the same again");
        }
        *counts.entry(model).or_default() += 1;
    }
    assert!(counts["canary"].abs_diff(1_200) <= 100, "{counts:?}");
    let without: Vec<_> = (0..40).map(|_| draw(None)).collect();
    assert!(without.contains(&"stable".to_owned()) && without.contains(&"canary".to_owned()));
}

#[test]
fn the_picker_sees_the_target() {
    type Seen = Arc<Mutex<Vec<(Option<String>, Criticality)>>>;
    #[derive(Debug)]
    struct Sees(Seen);
    impl picker::policy::Policy for Sees {
        fn decide(&mut self, round: &Round<'_>, _: &mut dyn Entropy) -> Decision {
            let facts = round.facts;
            let mut seen = self.0.lock().unwrap();
            seen.push((facts.model.clone(), facts.criticality));
            Decision::none(Reason::NoEndpoints)
        }
    }
    let rig = Rig::new(r#", "models": {"trust_headers": true}"#);
    let mut legacy = rule(Some("public"), &[("adapter", 1)]);
    legacy.priority = Some(1);
    let mut all = parts("p", vec![legacy]);
    all.fail_open = true;
    all.objectives = BTreeMap::from([("batch".to_owned(), -1)]);
    rig.policy(all);
    let seen = Seen::default();
    let worker = rig.root.worker().unwrap();
    worker
        .borrow_mut()
        .use_policy(0, Box::new(Sees(Arc::clone(&seen))));
    rig.post(&body("public"), &[]);
    rig.post(
        &body("public"),
        &[("x-llm-d-inference-objective", b"batch")],
    );
    rig.post(
        &body("public"),
        &[("x-gateway-inference-objective", b"nobody")],
    );
    rig.post(
        &body("public"),
        &[("x-llm-d-model-name-rewrite", b"forced")],
    );
    rig.post(&body("other"), &[]);
    let expected = [
        (Some("adapter"), Criticality::Critical),
        (Some("adapter"), Criticality::Sheddable),
        (Some("adapter"), Criticality::Critical),
        (Some("forced"), Criticality::Critical),
        (Some("other"), Criticality::Standard),
    ];
    let expected = expected.map(|(model, criticality)| (model.map(str::to_owned), criticality));
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn headers_that_name_models_are_believed_only_where_they_may() {
    let steering: [(&str, &[u8]); 4] = [
        ("x-llm-d-model-name-rewrite", b"forced"),
        ("x-gateway-model-name-rewrite", b"older"),
        ("x-llm-d-inference-objective", b"o"),
        ("x-gateway-inference-objective", b"o"),
    ];
    let rig = Rig::new("");
    let (context, ..) = rig.post(&body("public"), &steering);
    assert_eq!(rig.model_sent(context), "public");
    for (name, _) in steering {
        assert_eq!(rig.host.header_of(context, name), None, "{name}");
    }
    let rig = Rig::new(r#", "models": {"trust_headers": true}"#);
    let (context, ..) = rig.post(&body("public"), &steering);
    assert_eq!(rig.model_sent(context), "forced", "without any policy");
    let (context, ..) = rig.post(&body("public"), &[(steering[1].0, b"older")]);
    assert_eq!(rig.model_sent(context), "older");
    for nonsense in [&b""[..], b"a\x00b", &[b'x'; 300], b"\xff"] {
        let (context, ..) = rig.post(&body("public"), &[(steering[0].0, nonsense)]);
        assert_eq!(rig.model_sent(context), "public");
    }
}

#[test]
fn an_unknown_model_is_refused_only_if_configured() {
    let known = || parts("p", vec![rule(Some("public"), &[])]);
    let rig = Rig::new("");
    rig.policy(known());
    assert_eq!(rig.post(&body("other"), &[]).2, Flow::Continue);
    let rig = Rig::new(r#", "models": {"unknown": "refuse"}"#);
    assert_eq!(
        rig.post(&body("other"), &[]).2,
        Flow::Continue,
        "no policy yet"
    );
    rig.policy(known());
    assert_eq!(rig.post(&body("public"), &[]).2, Flow::Continue);
    let (context, _, flow) = rig.post(&body("a\"b"), &[]);
    assert_eq!(flow, Flow::Pause);
    assert_eq!(rig.host.reply_of(context), Some(404));
    let reply: Value = serde_json::from_str(&rig.host.reply_body_of(context)).unwrap();
    assert_eq!(reply["error"]["code"], "model_not_found");
    assert_eq!(reply["error"]["param"], "model");
    assert_eq!(reply["error"]["type"], "invalid_request_error");
    assert_eq!(reply["error"]["message"], "the model `a\"b` does not exist");
    for unreadable in [&b"{\"model\":"[..], b"{}", br#"{"model":7}"#] {
        let (context, _, flow) = rig.post(unreadable, &[]);
        assert_eq!((flow, rig.host.reply_of(context)), (Flow::Pause, Some(400)));
    }
    // A rule for all others leaves nobody unknown.
    rig.policy(parts("p", vec![rule(None, &[("target", 1)])]));
    let (context, ..) = rig.post(&body("other"), &[]);
    assert_eq!(rig.model_sent(context), "target");
    assert_eq!(rig.models("unknown"), 1);
}

#[test]
fn what_a_pool_says_of_its_models_goes_before_what_all_say() {
    let pool = r#", "pools": [{"name": "p", "members": ["10.0.0.1:8000"], "models": {"unknown": "UNKNOWN"}}]"#;
    for (all, own, refused) in [("refuse", "pass", false), ("pass", "refuse", true)] {
        let pool = pool.replace("UNKNOWN", own);
        let all = format!(r#""models": {{"unknown": "{all}", "list": true}}"#);
        let rig = Rig::configured(&format!("{{{all}{pool}}}"));
        rig.policy(parts("p", vec![rule(Some("public"), &[])]));
        let (context, _, flow) = rig.post(&body("other"), &[]);
        assert_eq!(flow == Flow::Pause, refused);
        assert_eq!(rig.host.reply_of(context), refused.then_some(404));
        let (context, _, flow) = rig.post(b"{}", &[]);
        assert_eq!(flow == Flow::Pause, refused);
        assert_eq!(rig.host.reply_of(context), refused.then_some(400));
        let list: [(&str, &[u8]); 2] = [(":method", b"GET"), (":path", b"/v1/models")];
        let (context, mut request) = rig.request(&list);
        request.on_request_headers(&rig.host, true);
        assert_eq!(rig.host.reply_of(context), Some(200), "the list stays on");
    }
}

#[test]
fn the_list_of_models_comes_from_the_policy_if_configured() {
    let get = |rig: &Rig, method: &[u8], path: &[u8]| {
        let (context, mut request) = rig.request(&[(":method", method), (":path", path)]);
        let flow = request.on_request_headers(&rig.host, true);
        (
            flow,
            rig.host.reply_of(context),
            rig.host.reply_body_of(context),
        )
    };
    let passes = |rig: &Rig, method: &[u8], path: &[u8]| get(rig, method, path).0 == Flow::Continue;
    let rules = || {
        vec![
            rule(Some("b\"1"), &[("t", 1)]),
            rule(Some("a"), &[]),
            rule(None, &[]),
        ]
    };
    let rig = Rig::new("");
    rig.policy(parts("p", rules()));
    assert!(passes(&rig, b"GET", b"/v1/models"));
    let rig = Rig::new(r#", "models": {"list": true}"#);
    assert!(passes(&rig, b"GET", b"/v1/models"), "no policy yet");
    rig.policy(parts("p", rules()));
    assert!(passes(&rig, b"POST", b"/v1/models"));
    assert!(passes(&rig, b"GET", b"/v1/models/a"));
    let (flow, status, text) = get(&rig, b"GET", b"/v1/models?x=1");
    assert_eq!((flow, status), (Flow::Pause, Some(200)));
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list["object"], "list");
    let names: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model["id"])
        .collect();
    assert_eq!(names, ["a", "b\"1"]);
    assert!(list["data"][0]["object"] == "model" && list["data"][0]["owned_by"] == "zerohop");
}

#[test]
fn a_body_past_the_cap_is_rewritten_as_far_as_it_was_read_or_refused() {
    let rig = Rig::new(r#", "models": {"rewrite_bytes": 40000}"#);
    rig.policy(parts("p", vec![rule(Some("public"), &[("target", 1)])]));
    let filling = "x".repeat(50_000);
    let first = format!(r#"{{"model":"public","prompt":"{filling}"}}"#);
    let (context, _, flow) = rig.post(first.as_bytes(), &[]);
    assert_eq!(flow, Flow::Continue);
    assert_eq!(rig.model_sent(context), "target");
    assert_eq!(rig.models("provisional"), 1);
    let last = format!(r#"{{"prompt":"{filling}","model":"public"}}"#);
    let (context, _, flow) = rig.post(last.as_bytes(), &[]);
    assert_eq!((flow, rig.host.reply_of(context)), (Flow::Pause, Some(413)));
    assert_eq!(rig.models("too_late"), 1);
    // Below the cap, and above the cap of those that are not rewritten.
    let last = format!(r#"{{"prompt":"{}","model":"public"}}"#, "x".repeat(39_000));
    let (context, _, flow) = rig.post(last.as_bytes(), &[]);
    assert_eq!(flow, Flow::Continue);
    assert_eq!(rig.model_sent(context), "target");
    rig.policy(parts("p", vec![rule(Some("public"), &[])]));
    let (context, _, flow) = rig.post(first.as_bytes(), &[]);
    assert_eq!(flow, Flow::Continue, "{:?}", rig.host.reply_of(context));
}

#[test]
fn nothing_known_of_a_pool_is_503_or_the_clusters_own_choice() {
    let config = r#"{"agent": {"cluster": "a"}, "pools": [{"name": "p"}]}"#;
    let host = FakeEnvoy::new().vm().configured(config);
    let root = Root::configure(&host, 0).unwrap();
    let rig = Rig { host, root };
    let (context, _, flow) = rig.post(&body("m"), &[]);
    assert_eq!(flow, Flow::Continue, "without a policy");
    assert_eq!(rig.destination(context), None);
    let mut open = parts("p", Vec::new());
    open.fail_open = true;
    rig.policy(open);
    assert_eq!(rig.post(&body("m"), &[]).2, Flow::Continue);
    rig.policy(parts("p", Vec::new()));
    let (context, _, flow) = rig.post(&body("m"), &[]);
    assert_eq!((flow, rig.host.reply_of(context)), (Flow::Pause, Some(503)));
    assert_eq!(
        rig.metric("event=.=no_endpoint;.;zerohop_attempts_total"),
        1
    );
}

#[test]
fn the_model_chooses_the_pool_and_is_shown_to_envoys_routes() {
    let config = r#"{"models": {"route": true}, "pools": [
        {"name": "a", "cluster": "ca", "members": ["10.0.0.1:80"]},
        {"name": "b", "cluster": "cb", "members": ["10.0.0.2:80"]}]}"#;
    let host = FakeEnvoy::new().vm().configured(config);
    let root = Root::configure(&host, 0).unwrap();
    let rig = Rig { host, root };
    rig.policy(parts("a", vec![rule(Some("model-a"), &[])]));
    let mut b = parts("b", vec![rule(Some("public-b"), &[("adapter-b", 1)])]);
    b.models = BTreeMap::from([("adapter-b".to_owned(), Some("base-b".to_owned()))]);
    rig.policy(b);
    let forged: [(&str, &[u8]); 2] = [
        ("x-gateway-model-name", b"forged"),
        ("x-gateway-base-model-name", b"forged"),
    ];
    for (model, destination, base, sent) in [
        ("model-a", Some("10.0.0.1:80"), Some("model-a"), "model-a"),
        ("public-b", Some("10.0.0.2:80"), Some("base-b"), "adapter-b"),
        (
            "adapter-b",
            Some("10.0.0.2:80"),
            Some("base-b"),
            "adapter-b",
        ),
        ("nobodys", None, None, "nobodys"),
    ] {
        let (context, _, flow) = rig.post(&body(model), &forged);
        assert_eq!(flow, Flow::Continue);
        assert_eq!(rig.destination(context).as_deref(), destination, "{model}");
        let header = |name: &str| rig.host.header_of(context, name);
        assert_eq!(header("x-gateway-model-name").as_deref(), Some(model));
        assert_eq!(header("x-gateway-base-model-name").as_deref(), base);
        assert_eq!(rig.model_sent(context), sent);
    }
    // A request without a model has no headers of one.
    let (context, mut request) = rig.request(&forged);
    assert_eq!(request.on_request_headers(&rig.host, true), Flow::Continue);
    assert_eq!(rig.host.headers_of(context), []);
}

#[test]
fn who_served_is_told_where_configured_and_tests_may_choose() {
    let serve = |extra: &str| {
        let rig = Rig::new(extra);
        let (context, mut request, _) =
            rig.post(&body("m"), &[("test-epp-endpoint-selection", b"10.0.0.2")]);
        let destination = rig.destination(context).unwrap();
        rig.host.respond_with(context, b"200", Some(b"10.0.0.2:80"));
        request.on_response_headers(&rig.host);
        request.on_log(&rig.host);
        let header = |name: &str| rig.host.response_header_of(context, name);
        let served = header("x-gateway-destination-endpoint-served");
        (
            destination,
            served,
            header("x-conformance-test-served-endpoint"),
        )
    };
    let address = Some("10.0.0.2:80".to_owned());
    let (destination, served, tested) = serve("");
    assert_eq!(destination.split(',').count(), 3);
    assert_eq!((served, tested), (None, None));
    let (_, served, tested) = serve(r#", "report_served": true"#);
    assert_eq!((served, tested), (address.clone(), None));
    let (destination, served, tested) = serve(r#", "conformance_test": true"#);
    assert_eq!(destination, "10.0.0.2:80");
    assert_eq!((served, tested), (None, address));
}
