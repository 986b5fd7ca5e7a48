//! The series of requests.

use std::collections::BTreeSet;

use super::models::{parts, rule};
use super::*;

const EVENT: &[u8] =
    br#"data: {"id":"x","object":"chat.completion.chunk","choices":[{"delta":{"content":"a"}}]}

"#;

impl Rig {
    fn show(&mut self) {
        self.host.envoy().advance_ms(1_000);
        self.root.tick(&self.host);
    }

    /// A series by the labels and the family in one text, as Prometheus shows it.
    fn series(&self, family: &str, labels: &[(&str, &str)]) -> u64 {
        self.metric(&crate::metrics::series(family, labels))
    }

    fn of_model(&self, family: &str, model: &str) -> u64 {
        let labels = [
            ("pool", "p"),
            ("model_name", model),
            ("target_model_name", model),
        ];
        self.series(family, &labels)
    }

    /// A request for `model` that is answered with `status` and `chunks` at intervals of 100 ms.
    fn exchange(&mut self, model: &str, status: &[u8], chunks: &[&[u8]]) {
        let stream = chunks.len() > 1;
        let body = json(model, stream);
        let (context, mut request, flow) = self.post(body.as_bytes(), &[]);
        assert_eq!(flow, Flow::Continue);
        let running = self.of_model("llm_d_epp_request_running", "other");
        self.host
            .respond_with(context, status, Some(b"10.0.0.1:80"));
        request.on_response_headers(&self.host);
        for (index, chunk) in chunks.iter().enumerate() {
            self.host.envoy().advance_ms(100);
            let size = self.host.chunk(context, chunk);
            request.on_response_body(&self.host, size, index + 1 == chunks.len());
        }
        request.on_log(&self.host);
        request.on_log(&self.host);
        self.show();
        assert_eq!(self.of_model("llm_d_epp_request_running", "other"), running);
    }
}

fn json(model: &str, stream: bool) -> String {
    format!(
        r#"{{"model":"{model}","prompt":"hello","stream":{stream},"stream_options":{{"include_usage":{stream}}}}}"#
    )
}

const DOCUMENT: &[u8] =
    br#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":8}}}"#;

#[test]
fn the_series_of_configured_models_are_there_before_any_request() {
    let mut rig = Rig::new("");
    let names = rig.host.envoy().metric_names();
    let other = "pool=.=p;.;model_name=.=other;.;target_model_name=.=other;.;";
    for family in ["llm_d_epp_request_total", "llm_d_epp_request_running"] {
        assert!(names.contains(&format!("{other}{family}")), "{names:?}");
    }
    rig.policy(parts(
        "p",
        vec![
            rule(Some("llama"), &[("llama-a", 1), ("llama-b", 1)]),
            rule(Some("plain"), &[]),
        ],
    ));
    rig.show();
    let names = rig.host.envoy().metric_names();
    for (model, target) in [
        ("llama", "llama-a"),
        ("llama", "llama-b"),
        ("plain", "plain"),
    ] {
        let name = format!(
            "pool=.=p;.;model_name=.={model};.;target_model_name=.={target};.;llm_d_epp_request_running"
        );
        assert!(names.contains(&name), "{name}");
    }
}

#[test]
fn a_model_is_named_once_a_model_server_has_answered_for_it() {
    let mut rig = Rig::new("");
    rig.exchange("junk", b"404", &[b"{}"]);
    rig.exchange("junk", b"404", &[b"{}"]);
    assert_eq!(rig.of_model("llm_d_epp_request_total", "other"), 2);
    let error = [
        ("error_code", "BadRequest"),
        ("pool", "p"),
        ("model_name", "other"),
        ("target_model_name", "other"),
    ];
    assert_eq!(rig.series("llm_d_epp_request_error_total", &error), 2);
    let names = rig.host.envoy().metric_names();
    assert!(!names.iter().any(|name| name.contains("junk")));
    rig.exchange("good", b"200", &[DOCUMENT]);
    rig.exchange("good", b"200", &[DOCUMENT]);
    assert_eq!(rig.of_model("llm_d_epp_request_total", "other"), 3);
    assert_eq!(rig.of_model("llm_d_epp_request_total", "good"), 1);
    assert_eq!(
        rig.of_model("llm_d_epp_request_input_tokens_sum", "good"),
        9
    );
    assert_eq!(
        rig.of_model("llm_d_epp_request_cached_tokens_sum", "good"),
        8
    );
    assert_eq!(
        rig.of_model("llm_d_epp_request_output_tokens_count", "good"),
        1
    );
    assert_eq!(
        rig.of_model("llm_d_epp_request_ntpot_seconds_count", "good"),
        1
    );
}

#[test]
fn a_stream_shows_its_first_token_and_the_time_between_tokens() {
    let mut rig = Rig::new("");
    rig.exchange("m", b"200", &[DOCUMENT]);
    let usage = [b"data: ", DOCUMENT, b"\n\ndata: [DONE]\n\n"].concat();
    rig.exchange("m", b"200", &[EVENT, EVENT, EVENT, &usage]);
    let bucket = |family: &str, le: &str, more: &[(&str, &str)]| {
        let mut labels = vec![
            ("le", le),
            ("pool", "p"),
            ("model_name", "m"),
            ("target_model_name", "m"),
        ];
        labels.extend(more);
        rig.series(&format!("{family}_bucket"), &labels)
    };
    let streaming = [("streaming", "true")];
    let first = |le| bucket("llm_d_epp_request_ttft_seconds", le, &streaming);
    assert_eq!([first("0.05"), first("0.1"), first("+Inf")], [0, 1, 1]);
    let between = |le| bucket("llm_d_epp_request_streaming_itl_seconds", le, &[]);
    assert_eq!(
        [between("0.05"), between("0.1"), between("+Inf")],
        [0, 3, 3]
    );
    let per_token = |le| bucket("llm_d_epp_request_streaming_tpot_seconds", le, &[]);
    assert_eq!(
        [per_token("0.05"), per_token("0.1")],
        [0, 1],
        "300 ms for 3"
    );
    let duration = |le| bucket("llm_d_epp_request_duration_seconds", le, &[]);
    assert_eq!([duration("0.2"), duration("0.4")], [0, 1]);
    assert_eq!(
        rig.metric("llm_d_epp_scheduler_e2e_duration_seconds_count"),
        2
    );
    let success = [("status", "success")];
    assert_eq!(
        rig.series("llm_d_epp_scheduler_attempts_total", &success),
        2
    );
}

#[test]
fn what_the_filter_waits_for_is_no_work_of_its_own() {
    let mut rig = Rig::new("");
    rig.host.envoy().move_clock_by_looks(10_000);
    let (context, mut request) = rig.json();
    request.on_request_headers(&rig.host, false);
    let body = json("m", false);
    let (head, tail) = body.as_bytes().split_at(10);
    for (piece, last) in [(head, false), (tail, true)] {
        rig.host.envoy().advance_ms(1_000);
        let size = rig.host.buffer(context, piece);
        request.on_request_body(&rig.host, size, last);
    }
    request.on_log(&rig.host);
    rig.show();
    let at_work = |le| rig.series("zerohop_filter_seconds_bucket", &[("le", le)]);
    assert_eq!(
        [at_work("0.00001"), at_work("0.001"), at_work("+Inf")],
        [0, 1, 1],
        "some looks of 10 us each, and not the two seconds between them"
    );
}

#[test]
fn refusals_are_errors_and_a_client_that_left_is_none() {
    let mut rig = Rig::new(r#", "strict_model": true"#);
    let (_, mut request, flow) = rig.post(br#"{"prompt":"x"}"#, &[]);
    assert_eq!(flow, Flow::Pause);
    request.on_log(&rig.host);
    let (_, mut request, _) = rig.post(json("m", false).as_bytes(), &[]);
    request.on_log(&rig.host);
    rig.show();
    let error = |code: &str| {
        let labels = [
            ("error_code", code),
            ("pool", "p"),
            ("model_name", "other"),
            ("target_model_name", "other"),
        ];
        rig.series("llm_d_epp_request_error_total", &labels)
    };
    assert_eq!(error("BadRequest"), 1);
    assert_eq!(rig.of_model("llm_d_epp_request_total", "other"), 2);
    assert_eq!(rig.of_model("llm_d_epp_request_running", "other"), 0);
}

#[test]
fn however_many_models_are_answered_for_there_are_so_many_rows() {
    let mut rig = Rig::new("");
    for index in 0..300 {
        rig.exchange(&format!("model-{index}"), b"200", &[b"{}"]);
    }
    let names = rig.host.envoy().metric_names();
    let rows = names.iter().filter(|name| name.ends_with("_request_total"));
    assert_eq!(rows.count(), 256);
}

/// The families of series, those of a histogram under its own name.
fn families(names: &[String]) -> BTreeSet<String> {
    let family = |name: &String| {
        let (_, family) = name.rsplit_once(";.;").unwrap_or(("", name));
        let parts = ["_bucket", "_count", "_sum"];
        let histogram = parts.iter().find_map(|part| family.strip_suffix(part));
        histogram.unwrap_or(family).to_owned()
    };
    names.iter().map(family).collect()
}

#[test]
fn the_page_names_every_series_and_no_other() {
    let mut rig = Rig::new("");
    rig.exchange("m", b"200", &[DOCUMENT]);
    rig.exchange("m", b"500", &[DOCUMENT]);
    let usage = [b"data: ", DOCUMENT, b"\n\ndata: [DONE]\n\n"].concat();
    rig.exchange("m", b"200", &[EVENT, EVENT, EVENT, &usage]);
    let shadow = Rig::new(r#", "shadow": true"#);
    let mut shown = families(&rig.host.envoy().metric_names());
    shown.extend(families(&shadow.host.envoy().metric_names()));
    // The age of signals needs an agent's snapshot.
    shown.insert("zerohop_signal_age_seconds".to_owned());

    let page = include_str!("../../../../docs/metrics.md");
    let (_, ours) = page.split_once("## From Envoy").unwrap();
    let rows = ours
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let named: BTreeSet<String> = rows.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(named, shown);
}

#[test]
fn the_prefix_index_shows_its_size_and_its_hits_under_the_references_names() {
    let mut rig = Rig::new("");
    let plugin = [
        ("pool", "p"),
        ("plugin_name", "approx-prefix-cache-producer"),
        ("plugin_type", "approx-prefix-cache-producer"),
    ];
    let size = |rig: &Rig| rig.series("llm_d_epp_prefix_indexer_size", &plugin);
    assert_eq!(size(&rig), 0);
    let body = format!(r#"{{"model":"m","prompt":"{}"}}"#, "x".repeat(2_560));
    for _ in 0..2 {
        let (context, mut request, _) = rig.post(body.as_bytes(), &[]);
        let list = rig.destination(context).unwrap();
        let first = list.split(',').next().map(str::as_bytes);
        rig.host.respond_with(context, b"200", first);
        request.on_response_headers(&rig.host);
        request.on_log(&rig.host);
        rig.show();
    }
    assert_eq!(size(&rig), 10, "blocks of 256 bytes");
    let below = |rig: &Rig, family: &str, le| {
        let labels: Vec<_> = [("le", le)].into_iter().chain(plugin).collect();
        rig.series(&format!("{family}_bucket"), &labels)
    };
    let ratio = "llm_d_epp_prefix_indexer_hit_ratio";
    assert_eq!(
        ["0", "0.8", "0.9", "1"].map(|le| below(&rig, ratio, le)),
        [1, 1, 1, 2],
        "nothing of the first, nearly all of the second"
    );
    let bytes = "llm_d_epp_prefix_indexer_hit_bytes";
    assert_eq!(
        ["0", "2048", "4096"].map(|le| below(&rig, bytes, le)),
        [1, 1, 2]
    );
    assert_eq!(rig.series(&format!("{bytes}_count"), &plugin), 2, "of both");
}
