//! Requests that wait for room.

use serde_json::json;

use super::*;

/// One endpoint that is full with one request that has no first token yet.
const CONFIG: &str = r#"{"pools": [{"name": "p", "members": ["10.0.0.1:80"]}], "admission": {
    "deadline_header": "x-patience", "body_bytes": 1000,
    "rules": {"room": {"waiting": 1}, "queue": {"requests": 2}}}}"#;

impl Rig {
    fn waited(&self, outcome: &str) -> u64 {
        self.metric(&format!(
            "pool=.=p;.;outcome=.={outcome};.;zerohop_admissions_total"
        ))
    }

    /// A rig whose only endpoint is full, and the request that fills it.
    fn full() -> (Self, (u32, Request)) {
        let rig = Self::configured(CONFIG);
        {
            // Its first token is not supposed to have come before the test is over.
            let mut worker = rig.root.worker().unwrap().borrow_mut();
            worker.use_policy(0, Box::new(Expecting(5_000.0)));
        }
        let (context, request, flow) = rig.post(BODY, &[]);
        assert_eq!(flow, Flow::Continue);
        assert!(rig.destination(context).is_some());
        (rig, (context, request))
    }

    /// One that is held.
    fn held(&self, more: &[(&str, &[u8])]) -> (u32, Request) {
        let (context, request, flow) = self.post(BODY, more);
        assert_eq!(flow, Flow::Pause);
        assert_eq!(self.destination(context), None);
        assert!(!self.host.resumed(context));
        (context, request)
    }

    /// The queue of the worker rings.
    fn ring(&mut self) {
        self.host.enter(0);
        for queue in self.host.envoy().rung() {
            self.root.queue_ready(&self.host, queue);
        }
    }

    fn end(&self, (context, mut request): (u32, Request)) {
        self.answer(context, &mut request, b"200", "10.0.0.1:80");
        request.on_log(&self.host);
        self.host.end(context);
    }
}

fn code(rig: &Rig, context: u32) -> String {
    let body: serde_json::Value = serde_json::from_str(&rig.host.reply_body_of(context)).unwrap();
    body["error"]["code"].as_str().unwrap().to_owned()
}

#[test]
fn a_held_request_goes_when_room_is_freed() {
    let (mut rig, first) = Rig::full();
    let (context, mut request) = rig.held(&[]);
    assert_eq!(rig.in_flight(), 1, "what waits is bound to no endpoint");
    rig.end(first);
    rig.ring();
    assert!(rig.host.resumed(context));
    assert_eq!(rig.destination(context).as_deref(), Some("10.0.0.1:80"));
    assert_eq!(rig.in_flight(), 1);
    assert_eq!((rig.waited("passed"), rig.waited("dispatched")), (1, 1));
    rig.host.pass_headers_on(context);
    rig.answer(context, &mut request, b"200", "10.0.0.1:80");
    request.on_log(&rig.host);
    assert_eq!(rig.in_flight(), 0);
}

#[test]
fn a_retry_of_a_held_request_moves_its_count_too() {
    let (mut rig, first) = Rig::full();
    let (context, mut request) = rig.held(&[]);
    rig.end(first);
    rig.ring();
    rig.host.pass_headers_on(context);
    rig.answer(context, &mut request, b"503", "10.0.0.9:80");
    assert_eq!(rig.in_flight(), 0, "who serves it is no member");
    request.on_log(&rig.host);
    assert_eq!(rig.in_flight(), 0);
}

#[test]
fn a_client_that_leaves_frees_its_place_and_nothing_is_sent_for_it() {
    let (mut rig, first) = Rig::full();
    let (gone, mut leaving) = rig.held(&[]);
    let (next, _next) = rig.held(&[]);
    rig.host.enter(gone);
    leaving.on_log(&rig.host);
    leaving.on_log(&rig.host);
    rig.host.end(gone);
    assert_eq!(rig.waited("left"), 1, "once");
    rig.end(first);
    rig.ring();
    assert!(rig.host.resumed(next));
    assert_eq!(rig.waited("dispatched"), 1);
}

#[test]
fn a_context_that_is_gone_when_its_turn_comes_leaves_no_count() {
    let (mut rig, first) = Rig::full();
    let (gone, mut request) = rig.held(&[]);
    // Envoy gave the stream up and has not told the filter yet.
    rig.host.end(gone);
    rig.end(first);
    rig.ring();
    assert_eq!(rig.in_flight(), 0);
    request.on_log(&rig.host);
    assert_eq!((rig.in_flight(), rig.waited("left")), (0, 0));
}

#[test]
fn a_deadline_is_answered_by_the_tick_and_a_late_callback_changes_nothing() {
    let (mut rig, first) = Rig::full();
    assert_eq!(rig.host.tick_ms(), crate::lease::TICK_MS);
    let (context, mut request) = rig.held(&[("x-patience", b"100")]);
    assert_eq!(rig.host.tick_ms(), 20, "deadlines need it");
    rig.host.envoy().advance_ms(90);
    rig.host.enter(0);
    rig.root.tick(&rig.host);
    assert_eq!(rig.host.reply_of(context), None);
    rig.host.envoy().advance_ms(20);
    rig.host.enter(0);
    rig.root.tick(&rig.host);
    assert_eq!(rig.host.reply_of(context), Some(504));
    assert_eq!(code(&rig, context), "deadline_exceeded");
    assert_eq!(
        rig.host
            .reply_header_of(context, "x-zerohop-dropped-reason")
            .as_deref(),
        Some("deadline_exceeded")
    );
    assert_eq!(rig.host.tick_ms(), crate::lease::TICK_MS, "nobody waits");
    // The filter's own answer passes its response callbacks, and the end comes after.
    rig.host.enter(context);
    rig.host.respond_with(context, b"504", None);
    request.on_response_headers(&rig.host);
    request.on_log(&rig.host);
    assert_eq!(
        (rig.waited("deadline_exceeded"), rig.waited("left")),
        (1, 0)
    );
    assert_eq!(rig.refusals(), 1);
    rig.end(first);
    assert_eq!(rig.in_flight(), 0);
}

#[test]
fn whom_the_queue_has_no_place_for_is_told_at_once() {
    let (rig, _first) = Rig::full();
    let _held = [rig.held(&[]), rig.held(&[])];
    let (context, _, flow) = rig.post(BODY, &[]);
    assert_eq!((flow, rig.host.reply_of(context)), (Flow::Pause, Some(429)));
    assert_eq!(code(&rig, context), "queue_full");
    let after = rig.host.reply_header_of(context, "retry-after").unwrap();
    assert!((1..=60).contains(&after.parse::<u32>().unwrap()), "{after}");
    assert_eq!(rig.refusals(), 1, "those that wait are not refused");
}

#[test]
fn a_body_that_grows_too_long_for_waiting_loses_its_place() {
    let (mut rig, _first) = Rig::full();
    // Without an announced length and not of JSON: it asks for room at its headers.
    let (context, mut request) =
        rig.request(&[(":method", b"POST"), ("content-type", b"text/plain")]);
    assert_eq!(request.on_request_headers(&rig.host, false), Flow::Pause);
    let size = rig.host.buffer(context, &[b'x'; 900]);
    assert_eq!(request.on_request_body(&rig.host, size, false), Flow::Pause);
    assert_eq!(rig.host.reply_of(context), None);
    let size = rig.host.buffer(context, &[b'x'; 200]);
    assert_eq!(request.on_request_body(&rig.host, size, false), Flow::Pause);
    assert_eq!(rig.host.reply_of(context), Some(429));
    assert_eq!(code(&rig, context), "queue_full");
    request.on_log(&rig.host);
    rig.ring();
    assert_eq!((rig.waited("queue_full"), rig.waited("left")), (1, 0));
    assert_eq!(rig.refusals(), 1);
}

#[test]
fn trailers_are_held_with_the_request() {
    let (mut rig, first) = Rig::full();
    let (context, mut request) = rig.json();
    request.on_request_headers(&rig.host, false);
    let size = rig.host.buffer(context, BODY);
    assert_eq!(request.on_request_body(&rig.host, size, false), Flow::Pause);
    assert_eq!(request.on_request_trailers(&rig.host), Flow::Pause);
    assert!(!rig.host.resumed(context));
    rig.end(first);
    rig.ring();
    assert!(rig.host.resumed(context));
    request.on_log(&rig.host);
}

/// The series and keys that only admission has.
const ADMISSIONS: &str = "zerohop_admissions_total";

/// What ten requests and their answers cost and where they went.
fn ten(config: &str) -> (Rig, Vec<String>, u32) {
    let rig = Rig::configured(config);
    let before = rig.host.calls();
    let mut went = Vec::new();
    for number in 0..10 {
        let body = json!({"model": "llama", "prompt": format!("hello {number}")}).to_string();
        let (context, mut request, flow) = rig.post(body.as_bytes(), &[]);
        assert_eq!(flow, Flow::Continue);
        rig.host.envoy().advance_ms(10);
        went.push(rig.destination(context).unwrap());
        let list = rig.destination(context).unwrap();
        let first = list.split(',').next().unwrap();
        rig.answer(context, &mut request, b"200", first);
        request.on_log(&rig.host);
        rig.host.end(context);
        rig.host.envoy().advance_ms(10);
    }
    let calls = rig.host.calls() - before;
    (rig, went, calls)
}

#[test]
fn off_is_off_and_an_unsaturated_pool_decides_as_without() {
    let off =
        r#"{"pools": [{"name": "p", "members": ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]}]}"#;
    let on = off.replace("]}]}", r#"]}], "admission": {}}"#);
    let (rig, without, calls) = ten(off);
    assert_eq!(rig.host.tick_ms(), crate::lease::TICK_MS);
    let names = rig.host.envoy().metric_names();
    assert!(!names.iter().any(|name| name.contains(ADMISSIONS)));
    assert!(rig.host.envoy().rung().is_empty(), "nobody is woken");
    let (rig, with, more_calls) = ten(&on);
    let names = rig.host.envoy().metric_names();
    assert!(names.iter().any(|name| name.contains(ADMISSIONS)));
    assert_eq!(without, with);
    // More than this with admission off is a cost that nobody asked for; say in a commit why it rose.
    assert_eq!((calls, more_calls), (300, 331));
}
