use picker::{
    Decision, Entropy, Estimate, InFlight, Reason,
    policy::{Policy, Round},
};
use proptest::prelude::*;

use super::*;
use crate::{
    root::{Root, Stream},
    testing::{FakeEnvoy, FakeHost},
};

mod held;
mod metrics;
mod models;
mod refusals;
mod shadow;
mod vectors;

const BODY: &[u8] = br#"{"model":"llama","prompt":"hello"}"#;

struct Rig {
    host: FakeHost,
    root: Root,
}

impl Rig {
    fn new(extra: &str) -> Self {
        Self::configured(&format!(
            r#"{{"pools": [{{"name": "p", "members": ["10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80"]}}]{extra}}}"#
        ))
    }

    fn configured(config: &str) -> Self {
        let host = FakeEnvoy::new().vm().configured(config);
        let root = Root::configure(&host, 0).unwrap();
        Self { host, root }
    }

    fn request(&self, headers: &[(&str, &[u8])]) -> (u32, Request) {
        let context = self.host.stream(headers);
        match self.root.stream(context) {
            Stream::Request(request) => (context, *request),
            Stream::Second(_) => panic!("this root context decides"),
        }
    }

    fn json(&self) -> (u32, Request) {
        self.request(&[(":method", b"POST"), ("content-type", b"application/json")])
    }

    fn destination(&self, context: u32) -> Option<String> {
        self.host.header_of(context, headers::DESTINATION)
    }

    fn in_flight(&self) -> u32 {
        let worker = self.root.worker().unwrap().borrow();
        worker.ledger().iter().map(|(_, load)| load.requests).sum()
    }

    fn metric(&self, name: &str) -> u64 {
        self.host.envoy().metric(name)
    }
}

#[test]
fn a_json_body_is_read_before_the_headers_go_on() {
    let rig = Rig::new("");
    let (context, mut request) = rig.json();
    assert_eq!(request.on_request_headers(&rig.host, false), Flow::Pause);
    assert_eq!(rig.destination(context), None);
    let (head, tail) = BODY.split_at(10);
    let size = rig.host.buffer(context, head);
    assert_eq!(request.on_request_body(&rig.host, size, false), Flow::Pause);
    let size = rig.host.buffer(context, tail);
    assert_eq!(
        request.on_request_body(&rig.host, size, true),
        Flow::Continue
    );
    let destination = rig.destination(context).unwrap();
    assert_eq!(destination.split(',').count(), 3, "{destination}");
    assert!(destination.contains("[fd00::1]:80"), "{destination}");
    assert_eq!(rig.in_flight(), 1);
    request.on_log(&rig.host);
    assert_eq!(rig.in_flight(), 0);
    request.on_log(&rig.host);
    assert_eq!(rig.in_flight(), 0, "once");
    assert_eq!(rig.metric("outcome=.=complete;.;zerohop_scans_total"), 1);
}

#[test]
fn a_known_length_needs_no_end_of_stream() {
    let rig = Rig::new("");
    let length = BODY.len().to_string();
    let (context, mut request) = rig.request(&[
        ("content-type", b"application/json"),
        ("content-length", length.as_bytes()),
    ]);
    request.on_request_headers(&rig.host, false);
    let size = rig.host.buffer(context, BODY);
    assert_eq!(
        request.on_request_body(&rig.host, size, false),
        Flow::Continue
    );
    assert!(rig.destination(context).is_some());
    assert_eq!(rig.metric("outcome=.=complete;.;zerohop_scans_total"), 1);
}

#[test]
fn bodies_that_cannot_be_read_are_not_waited_for() {
    type Headers = &'static [(&'static str, &'static [u8])];
    let cases: [(&str, Headers, bool); 8] = [
        ("no_body", &[("content-type", b"application/json")], true),
        ("no_body", &[(":method", b"HEAD")], true),
        ("not_json_type", &[], false),
        ("not_json_type", &[("content-type", b"text/plain")], false),
        ("not_json_type", &[("content-type", b"\xff\xfe")], false),
        (
            "encoded",
            &[
                ("content-type", b"application/json"),
                ("content-encoding", b"gzip"),
            ],
            false,
        ),
        (
            "tunnel",
            &[
                ("content-type", b"application/json"),
                ("upgrade", b"websocket"),
            ],
            false,
        ),
        (
            "tunnel",
            &[
                ("content-type", b"application/json"),
                (":method", b"CONNECT"),
            ],
            false,
        ),
    ];
    for (outcome, headers, end) in cases {
        let rig = Rig::new("");
        let (context, mut request) = rig.request(headers);
        assert_eq!(
            request.on_request_headers(&rig.host, end),
            Flow::Continue,
            "{outcome} {headers:?}"
        );
        assert!(rig.destination(context).is_some(), "routed by load");
        assert_eq!(
            rig.metric(&format!("outcome=.={outcome};.;zerohop_scans_total")),
            1
        );
    }
}

#[test]
fn every_routing_header_of_the_client_is_gone_before_anything_else() {
    for name in headers::ROUTING {
        for values in [
            vec![&b"127.0.0.1:9901"[..]],
            vec![b"10.0.0.1:80", b"6.6.6.6:66"],
            vec![b"[::1]:9901,6.6.6.6:66"],
            vec![b"\xff\x00"],
            vec![b""],
        ] {
            for end_of_stream in [true, false] {
                for cluster in ["", r#", "cluster": "models""#] {
                    let config = format!(
                        r#"{{"pools": [{{"name": "p", "members": ["10.0.0.9:80"]{cluster}}}]}}"#
                    );
                    let host = FakeEnvoy::new().vm().configured(&config);
                    let root = Root::configure(&host, 0).unwrap();
                    let mut pairs = vec![("content-type", &b"application/json"[..])];
                    pairs.extend(values.iter().map(|value| (name, *value)));
                    let context = host.stream(&pairs);
                    let Stream::Request(mut request) = root.stream(context) else {
                        panic!("this root context decides");
                    };
                    request.on_request_headers(&host, end_of_stream);
                    for (left, value) in host.headers_of(context) {
                        if left == headers::DESTINATION {
                            assert_eq!(value, b"10.0.0.9:80", "ours");
                        } else {
                            assert!(!headers::ROUTING.contains(&left.as_str()), "{left}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_trusted_subset_is_obeyed_and_an_untrusted_one_is_not() {
    const SUBSET: &str = headers::SUBSET;
    // What the header says, and who may then be named; nobody is a refusal.
    let table: [(&[u8], &[&str]); 6] = [
        (b"10.0.0.2:80", &["10.0.0.2:80"]),
        (b"10.0.0.2, [fd00::1]:80", &["10.0.0.2:80", "[fd00::1]:80"]),
        (b"10.0.0.2:81", &[]),
        (b"10.0.0.99", &[]),
        (b"", &[]),
        (b"\xff\x00,,", &[]),
    ];
    for (value, allowed) in table {
        for trusted in [true, false] {
            for with_body in [true, false] {
                let rig = Rig::new(&format!(r#", "trust_subset_header": {trusted}"#));
                let json = ("content-type", &b"application/json"[..]);
                let (context, mut request) = rig.request(&[json, (SUBSET, value)]);
                let mut flow = request.on_request_headers(&rig.host, !with_body);
                if with_body {
                    assert_eq!(flow, Flow::Pause);
                    let size = rig.host.buffer(context, BODY);
                    flow = request.on_request_body(&rig.host, size, true);
                }
                assert_eq!(rig.host.header_of(context, SUBSET), None, "stripped");
                let destination = rig.destination(context);
                if trusted && allowed.is_empty() {
                    assert_eq!((flow, destination), (Flow::Pause, None));
                    assert_eq!(rig.host.reply_of(context), Some(503));
                    assert_eq!(
                        rig.metric("event=.=none_eligible;.;zerohop_attempts_total"),
                        1
                    );
                    assert_eq!(
                        rig.metric("pool=.=p;.;reason=.=none_eligible;.;zerohop_picks_total"),
                        1
                    );
                    assert_eq!(rig.in_flight(), 0);
                    continue;
                }
                assert_eq!(flow, Flow::Continue);
                assert_eq!(rig.host.reply_of(context), None);
                let destination = destination.unwrap();
                let mut named: Vec<&str> = destination.split(',').collect();
                named.sort_unstable();
                if trusted {
                    assert_eq!(named, allowed, "{value:?}");
                } else {
                    assert_eq!(named.len(), 3, "{value:?} was obeyed: {named:?}");
                }
            }
        }
    }
}

#[test]
fn a_trusted_subset_of_a_pool_without_members_goes_nowhere() {
    let config = r#"{"agent": {"cluster": "agent"}, "pools": [{"name": "p"}],
        "trust_subset_header": true}"#;
    for (headers, reply) in [
        (&[(headers::SUBSET, &b"10.0.0.1:80"[..])][..], Some(503)),
        (&[], None),
    ] {
        let host = FakeEnvoy::new().vm().configured(config);
        let root = Root::configure(&host, 0).unwrap();
        let context = host.stream(headers);
        let Stream::Request(mut request) = root.stream(context) else {
            panic!("this root context decides");
        };
        request.on_request_headers(&host, true);
        assert_eq!(host.reply_of(context), reply);
    }
}

#[test]
fn a_body_over_the_cap_is_decided_at_the_cap() {
    let rig = Rig::new(r#", "body": {"cap_bytes": 100}"#);
    let (context, mut request) = rig.json();
    request.on_request_headers(&rig.host, false);
    let size = rig.host.buffer(context, &[b' '; 100]);
    assert_eq!(request.on_request_body(&rig.host, size, false), Flow::Pause);
    let size = rig.host.buffer(context, &[b' '; 1]);
    assert_eq!(
        request.on_request_body(&rig.host, size, false),
        Flow::Continue
    );
    assert!(rig.destination(context).is_some());
    assert_eq!(rig.metric("outcome=.=cap_reached;.;zerohop_scans_total"), 1);
    let size = rig.host.buffer(context, &[b' '; 1_000]);
    assert_eq!(
        request.on_request_body(&rig.host, size, true),
        Flow::Continue,
        "what follows passes untouched"
    );
}

#[test]
fn a_route_may_say_what_its_requests_ask_for_where_that_is_switched_on() {
    const PATH: [&str; 5] = [
        "xds",
        "route_metadata",
        "filter_metadata",
        "zerohop",
        "work",
    ];
    let cases: [(&str, &[u8], Work); 4] = [
        ("true", b"encode", Work::Encode),
        ("true", b"nonsense", Work::Generate),
        ("true", b"\xff", Work::Generate),
        ("false", b"encode", Work::Generate),
    ];
    for (on, said, work) in cases {
        let rig = Rig::new(&format!(r#", "route_metadata": {on}"#));
        let (context, request) = rig.json();
        rig.host.property_of(context, &PATH, said);
        let headers = rig.host.request_headers();
        let worker = request.worker.borrow();
        assert_eq!(worker.work(&rig.host, &headers), work, "{on} {said:?}");
    }
}

#[test]
fn trailers_end_a_body_too() {
    let rig = Rig::new("");
    let (context, mut request) = rig.json();
    request.on_request_headers(&rig.host, false);
    let size = rig.host.buffer(context, BODY);
    assert_eq!(request.on_request_body(&rig.host, size, false), Flow::Pause);
    assert_eq!(request.on_request_trailers(&rig.host), Flow::Continue);
    assert!(rig.destination(context).is_some());
}

#[test]
fn a_retry_moves_the_count_to_the_endpoint_that_served() {
    let rig = Rig::new("");
    let (context, mut request) = rig.request(&[]);
    request.on_request_headers(&rig.host, true);
    let list = rig.destination(context).unwrap();
    let second = list.split(',').nth(1).unwrap().to_owned();
    rig.host
        .respond_with(context, b"200", Some(second.as_bytes()));
    request.on_response_headers(&rig.host);
    {
        let worker = rig.root.worker().unwrap().borrow();
        let counted: Vec<_> = worker.ledger().iter().collect();
        assert_eq!(counted.len(), 1);
        assert_eq!(counted[0].0.address.to_string(), second);
    }
    assert_eq!(rig.metric("event=.=moved;.;zerohop_attempts_total"), 1);
    request.on_log(&rig.host);
    assert_eq!(rig.in_flight(), 0);
}

#[test]
fn an_upstream_that_is_no_member_is_not_counted() {
    let rig = Rig::new("");
    let (context, mut request) = rig.request(&[]);
    request.on_request_headers(&rig.host, true);
    rig.host.respond_with(context, b"200", Some(b"10.9.9.9:1"));
    request.on_response_headers(&rig.host);
    assert_eq!(rig.in_flight(), 0);
    request.on_log(&rig.host);
    assert_eq!(rig.in_flight(), 0);
}

#[test]
fn three_failures_in_a_row_take_an_endpoint_out_of_the_first_place() {
    let rig = Rig::new("");
    let broken = "10.0.0.1:80";
    let mut firsts = Vec::new();
    for _ in 0..60 {
        let (context, mut request) = rig.request(&[]);
        request.on_request_headers(&rig.host, true);
        let list = rig.destination(context).unwrap();
        let first = list.split(',').next().unwrap().to_owned();
        let status: &[u8] = if first == broken { b"503" } else { b"200" };
        rig.host
            .respond_with(context, status, Some(first.as_bytes()));
        request.on_response_headers(&rig.host);
        request.on_log(&rig.host);
        firsts.push(first);
    }
    let hits = firsts.iter().filter(|first| *first == broken).count();
    assert_eq!(hits, 3, "tried until it was suspect");
}

#[test]
fn streams_that_begin_with_an_error_are_failures_though_their_status_says_200() {
    let rig = Rig::new("");
    let mut first_choices = Vec::new();
    for _ in 0..60 {
        let (context, mut request) = rig.ask(STREAMED);
        let list = rig.destination(context).unwrap();
        let first = list.split(',').next().unwrap().to_owned();
        let event: &[u8] = match &*first {
            FIRST => b"data: {\"error\": {\"message\": \"busy\", \"code\": 503}}\n\n",
            _ => b"data: {\"choices\": []}\n\n",
        };
        rig.host
            .respond_with(context, b"200", Some(first.as_bytes()));
        rig.host
            .respond_header(context, "content-type", b"text/event-stream");
        request.on_response_headers(&rig.host);
        rig.chunk(context, &mut request, event, false);
        rig.chunk(context, &mut request, event, true);
        request.on_log(&rig.host);
        first_choices.push(first);
    }
    let hits = first_choices.iter().filter(|first| *first == FIRST).count();
    assert_eq!(hits, 3, "tried until it was suspect");
    assert_eq!(rig.metric("event=.=failure;.;zerohop_attempts_total"), 3);
}

#[test]
fn an_endpoint_that_envoy_does_not_have_yet_is_tried_again_soon() {
    let rig = Rig::new("");
    let missing = "10.0.0.1:80";
    let mut picked_at = Vec::new();
    for now in 0..400 {
        let (context, mut request) = rig.request(&[]);
        request.on_request_headers(&rig.host, true);
        let list = rig.destination(context).unwrap();
        let mut list = list.split(',');
        let used = match list.next().unwrap() {
            first if first == missing => {
                picked_at.push(now);
                list.next().unwrap()
            }
            first => first,
        };
        let attempts = ["upstream", "request_attempt_count"];
        rig.host
            .property_of(context, &attempts, &1_u64.to_le_bytes());
        rig.host
            .respond_with(context, b"200", Some(used.as_bytes()));
        request.on_response_headers(&rig.host);
        request.on_log(&rig.host);
        rig.host.envoy().advance_ms(1);
    }
    assert!(
        matches!(picked_at[..], [_, second, third] if second < 150 && third < 400),
        "{picked_at:?}"
    );
    assert_eq!(rig.metric("event=.=failure;.;zerohop_attempts_total"), 0);
}

#[test]
fn envoys_own_refusal_is_no_failure_of_the_endpoint() {
    let rig = Rig::new("");
    for _ in 0..10 {
        let (context, mut request) = rig.request(&[]);
        request.on_request_headers(&rig.host, true);
        rig.host.respond_with(context, b"503", None);
        rig.host
            .property_of(context, &["response", "flags"], &0x2000u64.to_le_bytes());
        request.on_response_headers(&rig.host);
        request.on_log(&rig.host);
    }
    assert_eq!(rig.metric("event=.=failure;.;zerohop_attempts_total"), 0);
    let (context, mut request) = rig.request(&[]);
    request.on_request_headers(&rig.host, true);
    rig.host.respond_with(context, b"503", None);
    rig.host
        .property_of(context, &["response", "flags"], &0x20u64.to_le_bytes());
    request.on_response_headers(&rig.host);
    assert_eq!(
        rig.metric("event=.=failure;.;zerohop_attempts_total"),
        1,
        "a connect failure is"
    );
}

#[test]
fn a_strict_filter_refuses_what_it_cannot_read() {
    let rig = Rig::new(r#", "strict_model": true"#);
    let (context, mut request) = rig.json();
    request.on_request_headers(&rig.host, false);
    let size = rig.host.buffer(context, b"[1]");
    assert_eq!(request.on_request_body(&rig.host, size, true), Flow::Pause);
    assert_eq!(rig.host.reply_of(context), Some(400));
    assert_eq!(rig.in_flight(), 0);
}

#[test]
fn requests_for_another_cluster_are_left_alone() {
    let host = FakeEnvoy::new().vm().configured(
        r#"{"pools": [{"name": "p", "cluster": "models", "members": ["10.0.0.1:80"]}]}"#,
    );
    let root = Root::configure(&host, 0).unwrap();
    for (cluster, ours) in [(&b"models"[..], true), (b"other", false), (b"\xff", false)] {
        let context = host.stream(&[("content-type", b"application/json")]);
        host.property_of(context, &["xds", "cluster_name"], cluster);
        let Stream::Request(mut request) = root.stream(context) else {
            panic!("this root context decides");
        };
        let flow = request.on_request_headers(&host, false);
        assert_eq!(flow == Flow::Pause, ours);
    }
}

#[test]
fn with_no_member_the_choice_is_left_to_the_cluster() {
    let host = FakeEnvoy::new()
        .vm()
        .configured(r#"{"agent": {"cluster": "agent"}, "pools": [{"name": "p"}]}"#);
    let root = Root::configure(&host, 0).unwrap();
    let context = host.stream(&[(headers::DESTINATION, b"10.0.0.1:80")]);
    let Stream::Request(mut request) = root.stream(context) else {
        panic!("this root context decides");
    };
    assert_eq!(request.on_request_headers(&host, true), Flow::Continue);
    assert_eq!(host.header_of(context, headers::DESTINATION), None);
    request.on_log(&host);
}

#[test]
fn any_byte_in_any_header_that_is_read_is_survived() {
    let rig = Rig::new("");
    for byte in 0..=255u8 {
        for name in [
            "content-type",
            "content-encoding",
            "content-length",
            "upgrade",
            ":method",
            headers::DESTINATION,
        ] {
            let value = [b'a', byte, b'b'];
            let (context, mut request) =
                rig.request(&[(name, &value), ("content-type", b"application/json")]);
            if request.on_request_headers(&rig.host, false) == Flow::Pause {
                let size = rig.host.buffer(context, &[b'{', byte, b'}']);
                request.on_request_body(&rig.host, size, true);
            }
            rig.host.respond_with(context, &value, Some(&value));
            rig.host
                .property_of(context, &["response", "flags"], &value);
            request.on_response_headers(&rig.host);
            request.on_log(&rig.host);
        }
    }
    assert_eq!(rig.in_flight(), 0);
}

/// Expects the first token of every request after so many milliseconds; the first member is the best.
struct Expecting(f32);

impl Policy for Expecting {
    fn decide(&mut self, round: &Round<'_>, _: &mut dyn Entropy) -> Decision {
        let all = 0..round.view.endpoints.len();
        Decision::new(Reason::BestScore, all).expecting(Estimate {
            prompt_tokens: 40,
            uncached_tokens: 30,
            ttft_ms: self.0,
            total_ms: 2.0 * self.0,
        })
    }
}

impl Rig {
    fn expecting(ttft_ms: f32) -> Self {
        let rig = Self::new("");
        let mut worker = rig.root.worker().unwrap().borrow_mut();
        worker.use_policy(0, Box::new(Expecting(ttft_ms)));
        drop(worker);
        rig
    }

    fn ask(&self, body: &[u8]) -> (u32, Request) {
        let (context, mut request) = self.json();
        request.on_request_headers(&self.host, false);
        let size = self.host.buffer(context, body);
        request.on_request_body(&self.host, size, true);
        self.host.pass_headers_on(context);
        (context, request)
    }

    fn answer(&self, context: u32, request: &mut Request, status: &[u8], by: &str) {
        self.host.enter(context);
        self.host.respond_with(context, status, Some(by.as_bytes()));
        request.on_response_headers(&self.host);
    }

    fn chunk(&self, context: u32, request: &mut Request, chunk: &[u8], end: bool) {
        self.host.enter(context);
        let size = self.host.chunk(context, chunk);
        request.on_response_body(&self.host, size, end);
    }

    fn load(&self) -> InFlight {
        let worker = self.root.worker().unwrap().borrow();
        let loads = worker.ledger().iter();
        loads.fold(InFlight::default(), |sum, (_, load)| sum.plus(load))
    }

    fn tick(&mut self) {
        self.root.tick(&self.host);
    }
}

const FIRST: &str = "10.0.0.1:80";
const STREAMED: &[u8] = br#"{"model":"llama","prompt":"hello","stream":true}"#;

#[test]
fn the_first_chunk_of_a_stream_ends_its_prefill() {
    let mut rig = Rig::expecting(5.0);
    let (context, mut request) = rig.ask(STREAMED);
    assert_eq!(rig.load().prefilling, 1);
    assert!(rig.load().prefill_tokens > 0);
    rig.answer(context, &mut request, b"200", FIRST);
    rig.host.envoy().advance_ms(1_000);
    rig.tick();
    assert_eq!(rig.load().prefilling, 1, "neither headers nor time tell");
    rig.chunk(context, &mut request, b"", false);
    assert_eq!(rig.load().prefilling, 1, "nothing is no chunk");
    rig.chunk(context, &mut request, b"data: {}\n\n", false);
    let load = rig.load();
    assert_eq!(
        (load.requests, load.prefilling, load.prefill_tokens),
        (1, 0, 0)
    );
    assert!(load.tokens > 0);
    rig.chunk(context, &mut request, b"data: {}\n\n", true);
    request.on_log(&rig.host);
    assert_eq!(rig.load(), InFlight::default());
}

#[test]
fn the_prefill_of_a_document_ends_when_it_should_or_when_it_comes() {
    let mut rig = Rig::expecting(50.0);
    let (context, mut request) = rig.ask(BODY);
    let (_, mut aborted) = rig.ask(BODY);
    assert_eq!(rig.load().prefilling, 2);
    rig.host.envoy().advance_ms(49);
    rig.tick();
    assert_eq!(rig.load().prefilling, 2);
    aborted.on_log(&rig.host);
    assert_eq!(rig.load().prefilling, 1);
    rig.host.envoy().advance_ms(1);
    rig.tick();
    let load = rig.load();
    assert_eq!(
        (load.requests, load.prefilling, load.prefill_tokens),
        (1, 0, 0)
    );
    rig.answer(context, &mut request, b"200", FIRST);
    request.on_log(&rig.host);
    assert_eq!(rig.load(), InFlight::default());
    // Sooner than predicted.
    let (context, mut request) = rig.ask(BODY);
    rig.answer(context, &mut request, b"200", FIRST);
    assert_eq!(rig.load().prefilling, 0);
    // Without a prediction.
    let rig = Rig::expecting(0.0);
    let (context, mut request) = rig.ask(BODY);
    rig.host.envoy().advance_ms(100_000);
    assert_eq!(rig.load().prefilling, 1);
    rig.answer(context, &mut request, b"200", FIRST);
    assert_eq!(rig.load().prefilling, 0);
}

#[test]
fn a_pick_sees_the_prefills_that_should_be_over_by_now() {
    let rig = Rig::expecting(50.0);
    let (_, _request) = rig.ask(BODY);
    rig.host.envoy().advance_ms(50);
    let (_, _other) = rig.ask(BODY);
    assert_eq!(rig.load().prefilling, 1, "its own");
}

#[test]
fn a_retry_takes_its_prefill_along() {
    for (status, chunks, prefilling) in [(&b"200"[..], 0, 1), (b"200", 1, 0)] {
        let rig = Rig::expecting(5_000.0);
        let (context, mut request) = rig.ask(STREAMED);
        if chunks > 0 {
            // Not in Envoy, but the ledger must not depend on that.
            rig.chunk(context, &mut request, b"data: {}", false);
        }
        rig.answer(context, &mut request, status, "10.0.0.2:80");
        let load = rig.load();
        assert_eq!((load.requests, load.prefilling), (1, prefilling));
        request.on_log(&rig.host);
        assert_eq!(rig.load(), InFlight::default());
    }
}

#[test]
fn the_upstreams_address_is_looked_up_only_when_it_can_be_another() {
    let rig = Rig::expecting(5.0);
    let serve = |used: &str, attempts: u64| {
        let (context, mut request) = rig.ask(BODY);
        let path = ["upstream", "request_attempt_count"];
        rig.host
            .property_of(context, &path, &attempts.to_le_bytes());
        rig.answer(context, &mut request, b"200", used);
        request.on_log(&rig.host);
        rig.metric("event=.=moved;.;zerohop_attempts_total")
    };
    assert_eq!(
        serve("10.0.0.2:80", 1),
        1,
        "not known yet whether Envoy has the first"
    );
    assert_eq!(serve("10.0.0.2:80", 1), 2, "it has not");
    assert_eq!(serve(FIRST, 1), 2, "it has");
    assert_eq!(serve("10.0.0.2:80", 1), 2, "not looked at");
    assert_eq!(serve("10.0.0.2:80", 2), 3, "a retry");
    rig.host.envoy().advance_ms(1_000);
    assert_eq!(serve("10.0.0.2:80", 1), 4, "it has been a while");
}

#[test]
fn what_the_engine_says_of_the_prompt_is_counted() {
    let rig = Rig::expecting(5.0);
    let (context, mut request) = rig.ask(BODY);
    rig.answer(context, &mut request, b"200", FIRST);
    let answer = br#"{"usage":{"prompt_tokens":80,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":16}}}"#;
    rig.chunk(context, &mut request, answer, true);
    request.on_log(&rig.host);
    let tokens = |kind| {
        rig.metric(&format!(
            "pool=.=p;.;kind=.={kind};.;zerohop_prefix_tokens_total"
        ))
    };
    assert_eq!(tokens("prompt"), 80);
    assert_eq!(tokens("cached"), 16);
    // Of an answer that did not come to its end nothing is learned.
    let (context, mut request) = rig.ask(BODY);
    rig.answer(context, &mut request, b"200", FIRST);
    rig.chunk(context, &mut request, answer, false);
    request.on_log(&rig.host);
    assert_eq!(tokens("prompt"), 80);
}

/// One thing that Envoy may do with one of a few streams, in any order.
#[derive(Debug, Clone)]
enum Event {
    Headers {
        end: bool,
        json: bool,
    },
    Body {
        bytes: Vec<u8>,
        size_lie: Option<usize>,
        end: bool,
    },
    Trailers,
    Response {
        status: Vec<u8>,
        upstream: Option<u8>,
    },
    Chunk {
        bytes: Vec<u8>,
        end: bool,
    },
    Log,
    Time(u64),
    Tick,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (any::<bool>(), any::<bool>()).prop_map(|(end, json)| Event::Headers { end, json }),
        (
            prop_oneof![
                Just(BODY.to_vec()),
                Just(STREAMED.to_vec()),
                proptest::collection::vec(any::<u8>(), 0..64)
            ],
            proptest::option::of(0usize..200),
            any::<bool>()
        )
            .prop_map(|(bytes, size_lie, end)| Event::Body {
                bytes,
                size_lie,
                end
            }),
        Just(Event::Trailers),
        (
            prop_oneof![
                Just(b"200".to_vec()),
                Just(b"503".to_vec()),
                proptest::collection::vec(any::<u8>(), 0..4)
            ],
            proptest::option::of(0u8..6)
        )
            .prop_map(|(status, upstream)| Event::Response { status, upstream }),
        (
            proptest::collection::vec(any::<u8>(), 0..100),
            any::<bool>()
        )
            .prop_map(|(bytes, end)| Event::Chunk { bytes, end }),
        Just(Event::Log),
        (0u64..5_000).prop_map(Event::Time),
        Just(Event::Tick),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Whatever callbacks come in whatever order, nothing panics, nobody touches headers that are
    /// gone, and when every stream has ended nothing is in flight.
    #[test]
    fn every_order_of_callbacks_releases_exactly_once(
        events in proptest::collection::vec((0usize..4, event()), 0..60)
    ) {
        let mut rig = Rig::new(r#", "body": {"cap_bytes": 50}"#);
        let policy = Box::new(Expecting(1_000.0));
        rig.root.worker().unwrap().borrow_mut().use_policy(0, policy);
        let mut streams: Vec<_> = (0..4).map(|_| rig.json()).collect();
        for (index, event) in events {
            // The ledger says what the requests say, after every event.
            let counted = streams.iter().filter_map(|(_, request)| request.routed.as_ref());
            let counted = counted.filter(|routed| routed.choice.counted().is_some());
            let prefilling = counted.clone().filter(|routed| routed.choice.is_prefilling());
            let tokens = |routed: &Routed| u64::from(routed.choice.estimate().uncached_tokens);
            let load = rig.load();
            prop_assert_eq!(load.requests as usize, counted.count());
            prop_assert_eq!(load.prefilling as usize, prefilling.clone().count());
            prop_assert_eq!(load.prefill_tokens, prefilling.map(tokens).sum::<u64>());
            let (context, request) = &mut streams[index];
            rig.host.enter(*context);
            let flow = match event {
                Event::Headers { end, json } => {
                    if !json {
                        rig.host.remove_request_header("content-type").ok();
                    }
                    request.on_request_headers(&rig.host, end)
                }
                Event::Body { bytes, size_lie, end } => {
                    let size = rig.host.buffer(*context, &bytes);
                    request.on_request_body(&rig.host, size_lie.unwrap_or(size), end)
                }
                Event::Trailers => request.on_request_trailers(&rig.host),
                Event::Response { status, upstream } => {
                    let upstream = upstream.map(|last| format!("10.0.0.{last}:80"));
                    let upstream = upstream.as_ref().map(|text| text.as_bytes());
                    rig.host.respond_with(*context, &status, upstream);
                    request.on_response_headers(&rig.host);
                    continue;
                }
                Event::Chunk { bytes, end } => {
                    let size = rig.host.chunk(*context, &bytes);
                    request.on_response_body(&rig.host, size, end);
                    continue;
                }
                Event::Tick => {
                    rig.tick();
                    continue;
                }
                Event::Log => {
                    request.on_log(&rig.host);
                    continue;
                }
                Event::Time(millis) => {
                    rig.host.envoy().advance_ms(millis);
                    continue;
                }
            };
            if flow == Flow::Continue {
                rig.host.pass_headers_on(*context);
            }
        }
        for (context, request) in &mut streams {
            rig.host.enter(*context);
            request.on_log(&rig.host);
        }
        prop_assert_eq!(rig.load(), InFlight::default());
        prop_assert!(rig.root.worker().unwrap().borrow().ledger().is_empty());
    }
}
