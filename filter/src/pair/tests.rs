use super::*;
use crate::{
    host::QueueId,
    request::Request,
    root::{Root, Stream},
    testing::{FakeEnvoy, FakeHost},
};

const BODY: &[u8] = br#"{"model":"llama","prompt":"hello"}"#;

struct Rig {
    host: FakeHost,
    first: Root,
    second: Option<Root>,
}

impl Rig {
    fn new(with_second: bool) -> Self {
        let host = FakeEnvoy::new().vm().configured(
            r#"{"mode": "pair_first", "pools": [{"name": "p", "members": ["10.0.0.1:80"]}],
                "trust_subset_header": true}"#,
        );
        let first = Root::configure(&host, 0).unwrap();
        let host = host.configured(r#"{"mode": "pair_second"}"#);
        let second = with_second.then(|| Root::configure(&host, 0).unwrap());
        Self {
            host,
            first,
            second,
        }
    }

    /// The headers at the first filter.
    fn a(&self, headers: &[(&str, &[u8])], end: bool) -> (u32, Request) {
        let context = self.host.stream(headers);
        let Stream::Request(mut request) = self.first.stream(context) else {
            panic!("the first filter decides");
        };
        assert_eq!(request.on_request_headers(&self.host, end), Flow::Continue);
        self.host.pass_headers_on(context);
        (context, *request)
    }

    /// The headers at the second filter.
    fn b(&self, a: u32) -> (u32, Flow) {
        let context = self.host.next_filter(a);
        let Stream::Second(second) = self.second.as_ref().unwrap().stream(context) else {
            panic!("the second filter holds");
        };
        (context, second.on_request_headers(&self.host))
    }

    fn body(&self, a: u32, request: &mut Request, chunk: &[u8], end: bool) {
        self.host.enter(a);
        // Envoy shows each chunk alone, because the first filter holds none back.
        self.host.replace_body(a, chunk);
        let flow = request.on_request_body(&self.host, chunk.len(), end);
        assert_eq!(flow, Flow::Continue, "the first filter never buffers");
    }

    fn destination(&self, context: u32) -> Option<String> {
        self.host.header_of(context, headers::DESTINATION)
    }
}

const JSON: &[(&str, &[u8])] = &[
    ("content-type", b"application/json"),
    (headers::DESTINATION, b"6.6.6.6:66"),
];

#[test]
fn the_second_filter_holds_the_headers_until_the_first_has_decided() {
    let mut rig = Rig::new(true);
    let (a, mut request) = rig.a(JSON, false);
    let (b, flow) = rig.b(a);
    assert_eq!(flow, Flow::Pause);
    assert_eq!(rig.destination(b), None, "the client's is gone");
    let (head, tail) = BODY.split_at(10);
    rig.body(a, &mut request, head, false);
    assert!(!rig.host.resumed(b));
    rig.body(a, &mut request, tail, true);
    assert_eq!(rig.destination(b).as_deref(), Some("10.0.0.1:80"));
    assert!(!rig.host.resumed(b), "not within the callback for the end");
    rig.host.enter(0);
    rig.first.queue_ready(&rig.host, QueueId(0));
    assert!(rig.host.resumed(b));
    assert_eq!(
        rig.host
            .envoy()
            .metric("outcome=.=complete;.;zerohop_scans_total"),
        1
    );
}

#[test]
fn before_the_end_the_headers_go_on_at_once() {
    let rig = Rig::new(true);
    let length = BODY.len().to_string();
    let headers: Vec<_> = JSON
        .iter()
        .copied()
        .chain([("content-length", length.as_bytes())])
        .collect();
    let (a, mut request) = rig.a(&headers, false);
    let (b, _) = rig.b(a);
    rig.body(a, &mut request, BODY, false);
    assert!(rig.host.resumed(b));
    assert_eq!(rig.destination(b).as_deref(), Some("10.0.0.1:80"));
}

#[test]
fn the_tick_lets_go_what_the_queue_did_not() {
    let mut rig = Rig::new(true);
    let (a, mut request) = rig.a(JSON, false);
    let (b, _) = rig.b(a);
    rig.body(a, &mut request, BODY, true);
    rig.first.tick(&rig.host);
    assert!(rig.host.resumed(b));
}

#[test]
fn interleaved_requests_find_their_own_partner() {
    let rig = Rig::new(true);
    let mut firsts: Vec<_> = (0..20).map(|_| rig.a(JSON, false)).collect();
    let seconds: Vec<_> = firsts.iter().rev().map(|(a, _)| (*a, rig.b(*a))).collect();
    for (index, (a, request)) in firsts.iter_mut().enumerate() {
        let (_, (b, flow)) = seconds.iter().find(|(of, _)| of == a).unwrap();
        assert_eq!(*flow, Flow::Pause);
        assert_eq!(rig.destination(*b), None, "request {index} waits");
        rig.body(*a, request, BODY, true);
        assert!(rig.destination(*b).is_some(), "request {index} was routed");
    }
}

#[test]
fn what_needs_no_body_is_routed_at_the_first_filter() {
    let rig = Rig::new(true);
    for (headers, end) in [
        (JSON, true),
        (&[("content-type", &b"text/plain"[..])][..], false),
    ] {
        let (a, _) = rig.a(headers, end);
        let (b, flow) = rig.b(a);
        assert_eq!(flow, Flow::Continue);
        assert_eq!(rig.destination(b).as_deref(), Some("10.0.0.1:80"), "kept");
    }
}

#[test]
fn without_a_second_filter_the_first_routes_by_load() {
    let rig = Rig::new(false);
    let (a, mut request) = rig.a(JSON, false);
    assert_eq!(rig.destination(a).as_deref(), Some("10.0.0.1:80"));
    rig.body(a, &mut request, BODY, true);
}

#[test]
fn a_second_filter_on_another_chain_is_missed_once() {
    let rig = Rig::new(true);
    let (a, mut request) = rig.a(JSON, false);
    rig.body(a, &mut request, BODY, true);
    assert_eq!(rig.destination(a), None, "too late for this one");
    let (a, _) = rig.a(JSON, false);
    assert_eq!(
        rig.destination(a).as_deref(),
        Some("10.0.0.1:80"),
        "by load"
    );
    rig.host.envoy().advance_ms(5_000);
    let (a, _) = rig.a(JSON, false);
    assert_eq!(rig.destination(a), None, "and later it is tried again");
}

#[test]
fn a_subset_is_kept_to_even_when_the_second_filter_is_missed() {
    let rig = Rig::new(true);
    let outside: &[(&str, &[u8])] = &[
        ("content-type", b"application/json"),
        (headers::SUBSET, b"10.0.0.1:80"),
    ];
    let (a, mut request) = rig.a(outside, false);
    rig.host.enter(a);
    rig.host.replace_body(a, BODY);
    let flow = request.on_request_body(&rig.host, BODY.len(), true);
    assert_eq!(flow, Flow::Pause);
    assert_eq!(rig.host.reply_of(a), Some(503));
}

#[test]
fn without_the_first_filter_the_second_strips() {
    let rig = Rig::new(true);
    let a = rig.host.stream(JSON);
    rig.host.pass_headers_on(a);
    let (b, flow) = rig.b(a);
    assert_eq!(flow, Flow::Continue);
    assert_eq!(rig.destination(b), None);
}

#[test]
fn a_client_that_goes_away_leaves_nothing_behind() {
    let rig = Rig::new(true);
    let (a, mut request) = rig.a(JSON, false);
    let (b, _) = rig.b(a);
    rig.host.end(b);
    rig.body(a, &mut request, BODY, true);
    request.on_log(&rig.host);
    let (_, request) = rig.a(JSON, false);
    drop(request);
    WAITING.with_borrow(|waiting| assert!(waiting.is_empty()));
    let worker = rig.first.worker().unwrap().borrow();
    assert!(worker.ledger().is_empty());
}
