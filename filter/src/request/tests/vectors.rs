//! The vectors C4 to C10 of the reference's hermetic tests and those of F about candidates, with our
//! answers where they differ. C1 to C3, the choice of pod, are `picker`'s; F's precedence of rewrites is
//! `inference-api`'s, and its 70/30 draw the end-to-end tests'.

use picker::{Endpoint, EndpointId, PoolSnapshot, Signal, SnapshotVersion};
use serde_json::Value;

use super::{
    models::{body, parts, rule},
    *,
};

/// Three pods by their waiting queues and KV-cache use: 192.168.1.1 to 3.
fn pods(rig: &Rig, rows: [(f32, f32); 3]) {
    let now = rig.host.now();
    let endpoints = (1..).zip(rows).map(|(host, (waiting, kv_usage))| {
        let mut endpoint = Endpoint::new(EndpointId {
            address: std::net::SocketAddr::from(([192, 168, 1, host], 8_000)),
            generation: 1,
        });
        endpoint.signals.waiting = Some(Signal::new(waiting, now));
        endpoint.signals.running = Some(Signal::new(0.0, now));
        endpoint.signals.kv_usage = Some(Signal::new(kv_usage, now));
        endpoint
    });
    let snapshot = PoolSnapshot {
        pool: "p".to_owned(),
        version: SnapshotVersion {
            agent_id: 1,
            epoch: 1,
            sequence: 1,
            taken_at_unix_ms: 1,
        },
        endpoints: endpoints.collect(),
    };
    let worker = rig.root.worker().unwrap();
    worker.borrow_mut().publish(&rig.host, 0, &snapshot);
}

/// The pods of C4 and C5: the second one is the best.
const ROWS: [(f32, f32); 3] = [(3.0, 0.2), (0.0, 0.1), (10.0, 0.2)];

fn first_choice(rig: &Rig, subset: &[u8]) -> Result<String, u32> {
    let (context, mut request, _) = rig.post(&body("m"), &[(headers::SUBSET, subset)]);
    request.on_log(&rig.host);
    match rig.destination(context) {
        Some(list) => Ok(list.split(',').next().unwrap().to_owned()),
        None => Err(rig.host.reply_of(context).unwrap()),
    }
}

#[test]
fn c4_to_c6_subsets() {
    let rig = Rig::new(r#", "trust_subset_header": true, "picker": {"policy": "scored"}"#);
    pods(&rig, ROWS);
    for (name, subset, expected) in [
        (
            "C4",
            &b"192.168.1.1:8000,192.168.1.2:8000"[..],
            Ok("192.168.1.2:8000"),
        ),
        (
            "C4, by address",
            b"192.168.1.1, 192.168.1.2",
            Ok("192.168.1.2:8000"),
        ),
        ("C5", b"192.168.1.3:8000", Ok("192.168.1.3:8000")),
        ("C6", b"192.168.1.99:8000", Err(503)),
        // The reference compares addresses alone; we honour the port.
        ("C6, port", b"192.168.1.2:8001", Err(503)),
    ] {
        assert_eq!(
            first_choice(&rig, subset),
            expected.map(str::to_owned),
            "{name}"
        );
    }
}

#[test]
fn f_candidates_by_metadata_and_the_status() {
    let rig = Rig::new(r#", "picker": {"policy": "scored"}"#);
    pods(&rig, ROWS);
    let best = Ok("192.168.1.2:8000");
    // A list as Envoy serializes it: pairs without values.
    let list = |elements: &[&str]| {
        let size = |size: usize| u32::try_from(size).unwrap().to_le_bytes();
        let sizes = elements.iter().flat_map(|text| [size(text.len()), size(0)]);
        let texts = elements.iter().map(|text| format!("{text}\0\0"));
        let texts: String = texts.collect();
        [
            &size(elements.len()),
            sizes.collect::<Vec<_>>().concat().as_slice(),
            texts.as_bytes(),
        ]
        .concat()
    };
    for (name, metadata, expected) in [
        ("no hint", None, best),
        ("an empty list", Some(list(&[])), Err(503)),
        ("an empty text", Some(Vec::new()), Err(503)),
        (
            "one",
            Some(list(&["192.168.1.3:8000"])),
            Ok("192.168.1.3:8000"),
        ),
        (
            "one, as text",
            Some(b"192.168.1.3:8000".to_vec()),
            Ok("192.168.1.3:8000"),
        ),
        (
            "some unknown",
            Some(list(&["192.168.1.99:8000", "192.168.1.2:8000"])),
            best,
        ),
        ("all unknown", Some(list(&["192.168.1.99:8000"])), Err(503)),
        // The reference compares addresses alone; we honour the port.
        ("another port", Some(list(&["192.168.1.2:8001"])), Err(503)),
    ] {
        let (context, mut request) = rig.request(&[(":method", b"GET")]);
        if let Some(value) = &metadata {
            let place = [
                "metadata",
                "filter_metadata",
                "envoy.lb.subset_hint",
                headers::SUBSET,
            ];
            rig.host.property_of(context, &place, value);
        }
        request.on_request_headers(&rig.host, true);
        let got = match rig.destination(context) {
            Some(list) => Ok(list.split(',').next().unwrap().to_owned()),
            None => Err(rig.host.reply_of(context).unwrap()),
        };
        request.on_log(&rig.host);
        assert_eq!(got, expected.map(str::to_owned), "{name}");
    }
}

#[test]
fn c7_what_is_no_json_or_names_no_model() {
    let table: [&[u8]; 3] = [b"no json", b"{\"model\": ", br#"{"prompt": "no model"}"#];
    // The reference answers 400 to all of them. We leave that to the engine, which says what it did
    // not like, and answer ourselves only where the configuration wants it.
    let rig = Rig::new("");
    for body in table {
        let (context, _, flow) = rig.post(body, &[]);
        assert_eq!((flow, rig.host.reply_of(context)), (Flow::Continue, None));
    }
    for strict in [
        r#", "strict_model": true"#,
        r#", "models": {"unknown": "refuse"}"#,
    ] {
        let rig = Rig::new(strict);
        for body in table {
            let (context, _, flow) = rig.post(body, &[]);
            assert_eq!((flow, rig.host.reply_of(context)), (Flow::Pause, Some(400)));
        }
    }
}

#[test]
fn c8_no_body_and_no_pods() {
    let config = r#"{"agent": {"cluster": "a"}, "pools": [{"name": "p"}]}"#;
    let host = FakeEnvoy::new().vm().configured(config);
    let root = Root::configure(&host, 0).unwrap();
    let rig = Rig { host, root };
    let get = || {
        let (context, mut request) = rig.request(&[(":method", b"GET"), (":path", b"/v1/models")]);
        (
            request.on_request_headers(&rig.host, true),
            rig.host.reply_of(context),
        )
    };
    // The reference answers 500; to us it is a pool of which nothing is known.
    assert_eq!(
        get(),
        (Flow::Continue, None),
        "without a policy the cluster decides"
    );
    rig.policy(parts("p", Vec::new()));
    assert_eq!(get(), (Flow::Pause, Some(503)), "FailClose");
}

#[test]
fn c9_rewritten_and_restored() {
    let rig = Rig::new("");
    let rewrite = rule(Some("model-to-be-rewritten"), &[("rewritten-model", 1)]);
    rig.policy(parts("p", vec![rewrite]));
    let (context, mut request, _) = rig.post(&body("model-to-be-rewritten"), &[]);
    assert_eq!(rig.model_sent(context), "rewritten-model");
    rig.host.respond_with(context, b"200", None);
    rig.host
        .respond_header(context, "content-type", b"application/json");
    request.on_response_headers(&rig.host);
    let size = rig
        .host
        .chunk(context, br#"{"model":"rewritten-model","choices":[]}"#);
    request.on_response_body(&rig.host, size, true);
    let answer: Value = serde_json::from_slice(&rig.host.chunk_of(context)).unwrap();
    assert_eq!(answer["model"], "model-to-be-rewritten");
    request.on_log(&rig.host);
}

#[test]
fn c10_usage_of_a_stream() {
    let mut tail = crate::usage::Tail::default();
    // Split where the reference loses it: within the line, and before the mark of the end.
    tail.push(b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"total_to");
    tail.push(b"kens\":17,\"completion_tokens\":10}}\n\n");
    tail.push(b"data: [DONE]\n\n");
    let usage = tail.of_events().unwrap();
    assert_eq!(
        (usage.prompt_tokens, usage.output_tokens),
        (Some(7), Some(10))
    );
}
