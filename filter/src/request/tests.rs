use proptest::prelude::*;

use super::*;
use crate::{
    root::{Root, Stream},
    testing::{FakeEnvoy, FakeHost},
};

const BODY: &[u8] = br#"{"model":"llama","prompt":"hello"}"#;

struct Rig {
    host: FakeHost,
    root: Root,
}

impl Rig {
    fn new(extra: &str) -> Self {
        let config = format!(
            r#"{{"pools": [{{"name": "p", "members": ["10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80"]}}]{extra}}}"#
        );
        let host = FakeEnvoy::new().vm().configured(&config);
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
    assert_eq!(rig.metric("zerohop_scans_total.outcome.complete"), 1);
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
    assert_eq!(rig.metric("zerohop_scans_total.outcome.complete"), 1);
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
            rig.metric(&format!("zerohop_scans_total.outcome.{outcome}")),
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
    assert_eq!(rig.metric("zerohop_scans_total.outcome.cap_reached"), 1);
    let size = rig.host.buffer(context, &[b' '; 1_000]);
    assert_eq!(
        request.on_request_body(&rig.host, size, true),
        Flow::Continue,
        "what follows passes untouched"
    );
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
    assert_eq!(rig.metric("zerohop_attempts_total.event.moved"), 1);
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
    assert_eq!(rig.metric("zerohop_attempts_total.event.failure"), 0);
    let (context, mut request) = rig.request(&[]);
    request.on_request_headers(&rig.host, true);
    rig.host.respond_with(context, b"503", None);
    rig.host
        .property_of(context, &["response", "flags"], &0x20u64.to_le_bytes());
    request.on_response_headers(&rig.host);
    assert_eq!(
        rig.metric("zerohop_attempts_total.event.failure"),
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
    Log,
    Time(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (any::<bool>(), any::<bool>()).prop_map(|(end, json)| Event::Headers { end, json }),
        (
            prop_oneof![
                Just(BODY.to_vec()),
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
        Just(Event::Log),
        (0u64..5_000).prop_map(Event::Time),
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
        let rig = Rig::new(r#", "body": {"cap_bytes": 50}"#);
        let mut streams: Vec<_> = (0..4).map(|_| rig.json()).collect();
        for (index, event) in events {
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
        prop_assert_eq!(rig.in_flight(), 0);
    }
}
