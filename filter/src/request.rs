//! One request, callback by callback.
//!
//! ```text
//!   headers --strip--+-- no body, not JSON, encoded, tunnel ---- pick by load --> Passed
//!                    |
//!                    +-- JSON body --> Scanning --(enough | cap | end | trailers)--> pick --> Passed
//!                          Pause           Pause                                     Continue
//!
//!   response headers: who answered?  move the count, tell the breaker
//!   response body:    the first chunk of a stream ends the prefill; the rest is only counted
//!   log:              release the count, exactly once, whatever the end was; learn from the answer
//! ```
//!
//! After the headers were passed on they must not be touched again: Envoy takes them away.

use std::{cell::RefCell, rc::Rc};

use picker::RequestFacts;

use crate::{
    answer::{Answer, Watch},
    body::{BodyScanner, Learned, Progress, ScanOutcome},
    config::Mode,
    headers::{self, HeaderMap},
    hints::Hints,
    host::Host,
    metrics::{AttemptEvent, Unscanned},
    outcome,
    pair::{self, Pairing},
    worker::{Choice, Routing, Worker},
};

/// What Envoy does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on to the next filter.
    Continue,
    /// Wait for our next callback.
    Pause,
}

/// One HTTP request in a [`Mode::Single`] or [`Mode::PairFirst`] filter.
#[derive(Debug)]
pub struct Request {
    worker: Rc<RefCell<Worker>>,
    context: u32,
    phase: Phase,
    pairing: Option<Pairing>,
    routed: Option<Routed>,
}

/// A request that was sent to an endpoint of ours.
#[derive(Debug)]
struct Routed {
    choice: Box<Choice>,
    answer: Answer,
}

#[derive(Debug)]
enum Phase {
    /// The headers have not come yet.
    Fresh,
    /// Part of the body is buffered and read.
    Scanning(Box<Scan>),
    /// Decided or not ours: nothing more to do until the response.
    Passed,
}

#[derive(Debug)]
struct Scan {
    pool: usize,
    hints: Hints,
    scanner: BodyScanner,
    content_length: Option<u64>,
    read: usize,
    /// Whether Envoy buffers for us and shows everything so far, or shows each chunk as it passes.
    buffered: bool,
}

/// What the headers say about the body.
enum Body {
    Scan { content_length: Option<u64> },
    Skip(Unscanned),
}

impl Request {
    /// A request with the host's id `context`.
    #[must_use]
    pub const fn new(worker: Rc<RefCell<Worker>>, context: u32) -> Self {
        Self {
            worker,
            context,
            phase: Phase::Fresh,
            pairing: None,
            routed: None,
        }
    }

    /// The request's headers.
    pub fn on_request_headers(&mut self, host: &dyn Host, end_of_stream: bool) -> Flow {
        let headers = host.request_headers();
        headers::strip_routing(host, &headers);
        #[cfg(feature = "chaos")]
        crate::chaos::obey(host);
        self.phase = Phase::Passed;
        let pool = self.worker.borrow().pool_of_request(host);
        let Some(pool) = pool else {
            self.announce(host, false);
            return Flow::Continue;
        };
        let hints = self.worker.borrow().hints(&headers, pool);
        let body = self.body(host, &headers, end_of_stream);
        self.announce(host, matches!(body, Body::Scan { .. }));
        match body {
            Body::Skip(why) => {
                self.worker.borrow().metrics().not_scanned(host, why);
                let mut facts = RequestFacts::default();
                hints.add_to(&mut facts, None);
                self.route(host, pool, &facts, Watch::default(), end_of_stream)
            }
            Body::Scan { content_length } => {
                self.phase = Phase::Scanning(Box::new(Scan {
                    pool,
                    hints,
                    scanner: BodyScanner::new(self.worker.borrow().scan_config()),
                    content_length,
                    read: 0,
                    buffered: self.pairing.is_none(),
                }));
                match self.pairing {
                    // The second filter of the pair, called next, holds the headers.
                    Some(_) => Flow::Continue,
                    None => Flow::Pause,
                }
            }
        }
    }

    fn body(&self, host: &dyn Host, headers: &HeaderMap, end_of_stream: bool) -> Body {
        if end_of_stream {
            return Body::Skip(Unscanned::NoBody);
        }
        if !headers.get("content-type").is_some_and(headers::is_json) {
            return Body::Skip(Unscanned::NotJsonType);
        }
        let encoding = headers.get("content-encoding");
        if encoding.is_some_and(|value| !headers::is_identity(value)) {
            return Body::Skip(Unscanned::Encoded);
        }
        // The client of a tunnel waits for the answer before it sends anything.
        if headers.get("upgrade").is_some() || headers.get(":method") == Some(b"CONNECT") {
            return Body::Skip(Unscanned::Tunnel);
        }
        let mut worker = self.worker.borrow_mut();
        if worker.mode() == Mode::PairFirst && !worker.expects_partner(host) {
            return Body::Skip(Unscanned::NoPartner);
        }
        let content_length = headers.get("content-length").and_then(headers::number);
        Body::Scan { content_length }
    }

    /// In pair mode: tells the second filter whether to hold the headers.
    fn announce(&mut self, host: &dyn Host, hold: bool) {
        if self.worker.borrow().mode() == Mode::PairFirst {
            self.pairing = Pairing::announce(host, hold);
        }
    }

    /// More of the body: `size` bytes are buffered in all.
    pub fn on_request_body(&mut self, host: &dyn Host, size: usize, end_of_stream: bool) -> Flow {
        let Phase::Scanning(scan) = &mut self.phase else {
            return Flow::Continue;
        };
        if self
            .pairing
            .as_ref()
            .is_some_and(|pairing| pairing.partner().is_none())
        {
            return self.without_partner(host);
        }
        let cap = self.worker.borrow().scan_config().cap_bytes;
        if scan.advance(host, size, cap) == Progress::NeedMore && !end_of_stream {
            // In pair mode the second filter holds the headers, and with them the body.
            return if scan.buffered {
                Flow::Pause
            } else {
                Flow::Continue
            };
        }
        self.decide(host, end_of_stream)
    }

    /// The body is complete and trailers follow it.
    pub fn on_request_trailers(&mut self, host: &dyn Host) -> Flow {
        match &self.phase {
            Phase::Scanning(_) => self.decide(host, true),
            Phase::Fresh | Phase::Passed => Flow::Continue,
        }
    }

    /// The second filter did not take the headers: they are gone, and so is the choice.
    fn without_partner(&mut self, host: &dyn Host) -> Flow {
        let phase = std::mem::replace(&mut self.phase, Phase::Passed);
        self.pairing = None;
        {
            let mut worker = self.worker.borrow_mut();
            worker.partner_missed(host);
            worker.metrics().not_scanned(host, Unscanned::NoPartner);
        }
        match phase {
            Phase::Scanning(scan) if scan.hints.is_strict() => self.refuse_outside(host),
            _ => Flow::Continue,
        }
    }

    fn decide(&mut self, host: &dyn Host, end_of_stream: bool) -> Flow {
        let Phase::Scanning(mut scan) = std::mem::replace(&mut self.phase, Phase::Passed) else {
            return Flow::Continue;
        };
        let Learned {
            mut facts,
            user_hash,
            outcome,
            reports_usage,
            ..
        } = scan.scanner.learn(end_of_stream, scan.content_length);
        let watch = Watch {
            streamed: (outcome == ScanOutcome::Complete).then_some(facts.stream),
            reports_usage,
        };
        scan.hints.add_to(&mut facts, user_hash);
        let strict = {
            let worker = self.worker.borrow();
            worker.metrics().scanned(host, outcome);
            worker.strict_model()
        };
        if strict && facts.model.is_none() {
            return self.refuse(host, &outcome::MODEL_UNKNOWN, AttemptEvent::ModelUnknown);
        }
        self.route(host, scan.pool, &facts, watch, end_of_stream)
    }

    fn route(
        &mut self,
        host: &dyn Host,
        pool: usize,
        facts: &RequestFacts,
        watch: Watch,
        ended: bool,
    ) -> Flow {
        let routing = self.worker.borrow_mut().route(host, pool, facts);
        match routing {
            Routing::Saturated => self.refuse(host, &outcome::SATURATED, AttemptEvent::Saturated),
            Routing::NoneEligible => self.refuse_outside(host),
            Routing::Fallback => {
                self.send_on(host, None, ended);
                Flow::Continue
            }
            Routing::To {
                choice,
                destination,
            } => {
                if self.send_on(host, Some(&destination), ended) {
                    let answer = Answer::new(watch, choice.sent());
                    self.routed = Some(Routed { choice, answer });
                } else {
                    let mut worker = self.worker.borrow_mut();
                    worker.metrics().attempt(host, AttemptEvent::NotRouted);
                    worker.release(host, choice, None);
                    drop(worker);
                    if facts.subset.is_some() {
                        return self.refuse_outside(host);
                    }
                }
                Flow::Continue
            }
        }
    }

    /// Sets the destination, if there is one, where the headers are, and lets them go on. Returns
    /// whether that worked. `ended` says that the running callback is the stream's last.
    fn send_on(&mut self, host: &dyn Host, destination: Option<&str>, ended: bool) -> bool {
        let set = |host: &dyn Host| {
            destination.is_none_or(|list| {
                host.set_request_header(headers::DESTINATION, list.as_bytes())
                    .is_ok()
            })
        };
        let Some(partner) = self.pairing.take().and_then(|pairing| pairing.partner()) else {
            return set(host);
        };
        if ended {
            self.worker.borrow_mut().let_go_soon(host, partner);
            return pair::on_behalf_of(host, self.context, partner, set);
        }
        pair::on_behalf_of(host, self.context, partner, |host| {
            let set = set(host);
            host.resume_request().is_ok() && set
        })
    }

    /// The request has a subset and cannot be sent there: it may go nowhere else.
    fn refuse_outside(&mut self, host: &dyn Host) -> Flow {
        let reply = &outcome::NO_ENDPOINT_IN_SUBSET;
        self.refuse(host, reply, AttemptEvent::NoneEligible)
    }

    fn refuse(&mut self, host: &dyn Host, reply: &outcome::Reply, event: AttemptEvent) -> Flow {
        self.worker.borrow().metrics().attempt(host, event);
        if host
            .respond(reply.status, reply.headers, reply.body)
            .is_ok()
        {
            return Flow::Pause;
        }
        self.send_on(host, None, true);
        Flow::Continue
    }

    /// The response's headers, from an upstream or from Envoy itself.
    pub fn on_response_headers(&mut self, host: &dyn Host) {
        let Some(Routed { choice, answer }) = &mut self.routed else {
            return;
        };
        let mut worker = self.worker.borrow_mut();
        answer.on_headers(host, worker.answered(host, choice));
        // A document is sent when it is complete; a stream may have its headers before its first token.
        if !answer.is_streamed() {
            worker.first_token(host, choice);
        }
    }

    /// A chunk of the response's body passes.
    pub fn on_response_body(&mut self, host: &dyn Host, size: usize, end_of_stream: bool) {
        if let Some(Routed { choice, answer }) = &mut self.routed
            && answer.on_chunk(host, size, end_of_stream)
        {
            self.worker.borrow_mut().first_token(host, choice);
        }
    }

    /// The stream is over.
    pub fn on_log(&mut self, host: &dyn Host) {
        self.phase = Phase::Passed;
        self.pairing = None;
        if let Some(Routed { choice, answer }) = self.routed.take() {
            let measured = answer.measured();
            self.worker.borrow_mut().release(host, choice, measured);
        }
    }
}

impl Scan {
    /// Reads what is new of the `size` bytes that Envoy shows.
    fn advance(&mut self, host: &dyn Host, size: usize, cap: usize) -> Progress {
        let start = if self.buffered { self.read } else { 0 };
        // One byte past the cap, because only that tells a body of exactly the cap from a longer
        // one.
        let room = cap.saturating_add(1).saturating_sub(self.read);
        let wanted = size.saturating_sub(start).min(room);
        if wanted == 0 {
            // An empty chunk is nothing new; a buffer that shrank is not worth waiting for.
            return if size < start || room == 0 {
                Progress::Decided
            } else {
                Progress::NeedMore
            };
        }
        let chunk = host.request_body(start, wanted);
        self.read = self.read.saturating_add(chunk.len());
        if chunk.len() < wanted {
            return Progress::Decided;
        }
        let progress = self.scanner.push(&chunk);
        // Envoy announces the end in a callback of its own, which need not be waited for.
        let complete = self.content_length == u64::try_from(self.read).ok();
        if complete {
            Progress::Decided
        } else {
            progress
        }
    }
}

#[cfg(test)]
mod tests;
