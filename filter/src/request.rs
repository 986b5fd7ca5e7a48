//! One request, callback by callback.
//!
//! ```text
//!   headers --strip--+-- no body, not JSON, encoded, tunnel ---- pick by load --> Passed
//!                    |
//!                    +-- JSON body --> Scanning --(enough | cap | end | trailers)--> pick --> Passed
//!                          Pause           Pause         \ model, policy:            Continue
//!                                                         404, or another pool, another model
//!
//!   response headers: who answered?  move the count, tell the breaker
//!   response body:    the first chunk of a stream ends the prefill; the rest is only counted; the
//!                     model's public name is put back if it was rewritten
//!   log:              release the count, exactly once, whatever the end was; learn from the answer
//! ```
//!
//! After the headers were passed on they must not be touched again: Envoy takes them away.

mod body;
mod model;
mod refusal;
mod scan;
mod waiting;

use std::{cell::RefCell, rc::Rc};

use picker::RequestFacts;

use crate::{
    answer::{Answer, Watch},
    body::{BodyScanner, Learned, ModelReading, Progress, ScanOutcome},
    config::Mode,
    explain,
    first_event::{Beginning, FirstEvent},
    headers,
    host::Host,
    metrics::{AttemptEvent, ModelEvent, Unscanned},
    model_hints::ModelHints,
    outcome,
    pair::{self, Pairing},
    record::Record,
    restore::Passage,
    rewrite,
    work::Work,
    worker::{Answered, Choice, Fate, Routing, Worker, criticality},
};

use self::{
    body::Body,
    scan::{Bytes, Scan},
    waiting::{Ask, Waiting},
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
    record: Option<Record>,
    /// Whether a trusted caller asked for the decision.
    explains: bool,
    /// When the headers came, nanoseconds on the host's clock.
    arrived: u64,
    /// How long the callbacks of the request took so far, in nanoseconds.
    at_work: u64,
    passage: Passage,
}

/// A request that was sent to an endpoint of ours.
#[derive(Debug)]
struct Routed {
    choice: Box<Choice>,
    answer: Answer,
    /// The reading of how a stream of events begins; `None` in shadow mode, which holds nothing against
    /// anybody.
    first_event: Option<FirstEvent>,
}

impl Routed {
    fn new(choice: Box<Choice>, answer: Answer, is_ours: bool) -> Self {
        Self {
            choice,
            answer,
            first_event: is_ours.then(FirstEvent::default),
        }
    }
}

#[derive(Debug)]
enum Phase {
    /// The headers have not come yet.
    Fresh,
    /// Part of the body is buffered and read.
    Scanning(Box<Scan>),
    /// It waits for room.
    Held(Box<Waiting>),
    /// Decided or not ours: nothing more to do until the response.
    Passed,
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
            record: None,
            explains: false,
            arrived: 0,
            at_work: 0,
            passage: Passage::AsItIs,
        }
    }

    /// The request's headers.
    pub fn on_request_headers(&mut self, host: &dyn Host, end_of_stream: bool) -> Flow {
        self.arrived = host.monotonic_nanos();
        let flow = self.read_headers(host, end_of_stream);
        self.worked(host, self.arrived);
        flow
    }

    /// Notes that the filter was at work since `began`.
    fn worked(&mut self, host: &dyn Host, began: u64) {
        self.at_work += host.monotonic_nanos().saturating_sub(began);
    }

    fn read_headers(&mut self, host: &dyn Host, end_of_stream: bool) -> Flow {
        let headers = host.request_headers();
        let steering = self.worker.borrow().steering();
        headers::strip_routing(host, &headers, steering);
        self.explains = self.worker.borrow().explains(&headers);
        #[cfg(feature = "chaos")]
        crate::chaos::obey(host);
        self.phase = Phase::Passed;
        let pool = self.worker.borrow().pool_of_request(host);
        if pool.is_none() && !steering.names_models {
            self.announce(host, false);
            return Flow::Continue;
        }
        let body = self.body(host, &headers, end_of_stream);
        let ask = Ask::read(host, &headers, &self.worker.borrow());
        self.announce(host, matches!(body, Body::Scan { .. }));
        let hints = self.worker.borrow().hints(host, &headers, pool);
        match body {
            Body::Skip(why) => {
                let Some(pool) = pool else {
                    return Flow::Continue;
                };
                if end_of_stream && self.list_models(host, &headers, pool) {
                    return Flow::Pause;
                }
                if why != Unscanned::NoBody {
                    let length = headers.get("content-length").and_then(headers::number);
                    self.begin_record(pool, None, length.unwrap_or_default());
                }
                self.worker.borrow().metrics().not_scanned(host, why);
                let mut facts = RequestFacts::default();
                if why == Unscanned::NoBody {
                    Work::Count.limit(&mut facts);
                }
                hints.add_to(&mut facts, None);
                let model_hints = ModelHints::read(&headers, steering);
                let priority = self.worker.borrow().priority_of(pool, &model_hints);
                facts.priority = priority.unwrap_or_default();
                let mode = self.worker.borrow().mode();
                let ask = ask.and_then(|ask| ask.unread(why, mode));
                let ask = ask.map(|ask| (ask, 0));
                self.route(host, pool, facts, Watch::default(), ask, end_of_stream)
            }
            Body::Scan { content_length } => {
                let worker = self.worker.borrow();
                let model_hints = ModelHints::read(&headers, steering);
                let may_rewrite = worker.may_rewrite(pool, &model_hints);
                let config = worker.scan_config(may_rewrite);
                let bytes = match (&self.pairing, may_rewrite) {
                    (None, _) => Bytes::Buffered,
                    (Some(_), false) => Bytes::Passing,
                    (Some(_), true) => Bytes::Held(Vec::new()),
                };
                self.phase = Phase::Scanning(Box::new(Scan {
                    pool,
                    work: worker.work(host, &headers),
                    hints,
                    model_hints,
                    scanner: BodyScanner::new(&config),
                    content_length,
                    cap: config.cap_bytes,
                    may_rewrite,
                    ask,
                    bytes,
                    read: 0,
                }));
                drop(worker);
                match self.pairing {
                    // The second filter of the pair, called next, holds the headers.
                    Some(_) => Flow::Continue,
                    None => Flow::Pause,
                }
            }
        }
    }

    /// In pair mode: tells the second filter whether to hold the headers.
    fn announce(&mut self, host: &dyn Host, hold: bool) {
        if self.worker.borrow().mode() == Mode::PairFirst {
            self.pairing = Pairing::announce(host, hold);
        }
    }

    /// More of the body: `size` bytes are buffered in all.
    pub fn on_request_body(&mut self, host: &dyn Host, size: usize, end_of_stream: bool) -> Flow {
        if self.still_waits() {
            return self.grow(host, size);
        }
        if !matches!(self.phase, Phase::Scanning(_)) {
            return Flow::Continue;
        }
        let began = host.monotonic_nanos();
        let flow = self.read_body(host, size, end_of_stream);
        self.worked(host, began);
        flow
    }

    fn read_body(&mut self, host: &dyn Host, size: usize, end_of_stream: bool) -> Flow {
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
        if scan.advance(host, size) == Progress::NeedMore && !end_of_stream {
            return match scan.bytes {
                Bytes::Buffered => Flow::Pause,
                // In pair mode the second filter holds the headers, and with them the body.
                Bytes::Passing | Bytes::Held(_) => Flow::Continue,
            };
        }
        self.decide(host, end_of_stream)
    }

    /// The body is complete and trailers follow it.
    pub fn on_request_trailers(&mut self, host: &dyn Host) -> Flow {
        if self.still_waits() {
            return self.held_flow();
        }
        match &self.phase {
            Phase::Scanning(_) => {
                let began = host.monotonic_nanos();
                let flow = self.decide(host, true);
                self.worked(host, began);
                flow
            }
            Phase::Fresh | Phase::Held(_) | Phase::Passed => Flow::Continue,
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
            Phase::Scanning(scan) if scan.hints.is_strict() => self.refuse_outside(host, scan.pool),
            _ => Flow::Continue,
        }
    }

    fn decide(&mut self, host: &dyn Host, end_of_stream: bool) -> Flow {
        let Phase::Scanning(mut scan) = std::mem::replace(&mut self.phase, Phase::Passed) else {
            return Flow::Continue;
        };
        let mut named = None;
        let (pool, hints, length) = (&mut scan.pool, &scan.model_hints, scan.content_length);
        let Learned {
            mut facts,
            user_hash,
            outcome,
            reports_usage,
            model_reading,
            model_spans,
            ..
        } = scan.scanner.learn_as(end_of_stream, length, |model| {
            let fate = self.fate(host, pool, model, hints);
            let (_, fate) = named.insert((model.to_owned(), fate));
            fate.target.clone()
        });
        let watch = Watch {
            streamed: (outcome == ScanOutcome::Complete).then_some(facts.stream),
            reports_usage,
        };
        scan.work.limit(&mut facts);
        if let Some(pool) = scan.pool {
            let length = scan.content_length.unwrap_or(scan.read as u64);
            self.begin_record(pool, named.as_ref(), length);
        }
        std::mem::take(&mut scan.hints).add_to(&mut facts, user_hash);
        let strict = {
            let worker = self.worker.borrow();
            let priority = scan
                .pool
                .and_then(|pool| worker.priority_of(pool, &scan.model_hints));
            facts.priority = priority.unwrap_or_default();
            worker.metrics().scanned(host, outcome);
            worker.strict_model() || worker.refuses_unknown(scan.pool)
        };
        let is_cut = outcome == ScanOutcome::CapReached;
        match named {
            None if is_cut && scan.may_rewrite && model_reading == ModelReading::Absent => {
                return self.refuse_model(host, &outcome::MODEL_TOO_LATE, ModelEvent::TooLate);
            }
            None if strict => {
                return self.refuse(host, &outcome::MODEL_UNKNOWN, AttemptEvent::ModelUnknown);
            }
            None => {}
            Some((model, fate)) => {
                if fate.is_unknown && self.worker.borrow().refuses_unknown(scan.pool) {
                    let body = outcome::model_not_found(&model);
                    let reply = outcome::Reply {
                        status: 404,
                        headers: outcome::JSON,
                        body: &body,
                    };
                    return self.refuse_model(host, &reply, ModelEvent::Unknown);
                }
                if let Some(priority) = fate.priority {
                    facts.priority = priority;
                    facts.criticality = criticality(priority);
                }
                if let Some(target) = fate.target {
                    if !self.rewrite(host, &mut scan, model_spans.as_slice(), &target) {
                        let reply = &outcome::NOT_REWRITTEN;
                        return self.refuse_model(host, reply, ModelEvent::NotRewritten);
                    }
                    self.passage = Passage::Expected(rewrite::literal(&model));
                    let worker = self.worker.borrow();
                    worker.metrics().model(host, ModelEvent::Rewritten);
                    if is_cut {
                        worker.metrics().model(host, ModelEvent::Provisional);
                    }
                }
            }
        }
        if !scan.let_go(host) {
            // Trailers came, and with them no place for the body that the pair had held.
            return self.refuse_model(host, &outcome::NOT_REWRITTEN, ModelEvent::NotRewritten);
        }
        match scan.pool {
            Some(pool) => {
                let (ask, come) = (scan.ask, scan.read);
                let ask = ask.map(|ask| (ask, come));
                self.route(host, pool, facts, watch, ask, end_of_stream)
            }
            None => {
                self.send_on(host, None, end_of_stream);
                Flow::Continue
            }
        }
    }

    /// Begins to note the request for the metrics.
    fn begin_record(&mut self, pool: usize, model: Option<&(String, Fate)>, bytes: u64) {
        let mut worker = self.worker.borrow_mut();
        self.record = Some(worker.record(pool, model, self.arrived, bytes));
    }

    /// Does something where the request's headers are.
    fn with_headers(&self, host: &dyn Host, act: impl FnOnce(&dyn Host) -> bool) -> bool {
        match self.pairing.as_ref().and_then(Pairing::partner) {
            Some(partner) => pair::on_behalf_of(host, self.context, partner, act),
            None => act(host),
        }
    }

    /// Finds an endpoint for a request. `ask` says what it asks of admission, and how many bytes of it
    /// have come; `ended` that the running callback is the stream's last.
    fn route(
        &mut self,
        host: &dyn Host,
        pool: usize,
        facts: RequestFacts,
        watch: Watch,
        ask: Option<(Ask, usize)>,
        ended: bool,
    ) -> Flow {
        let is_strict = facts.subset.is_some();
        let routing = match ask {
            None => self.worker.borrow_mut().route(host, pool, &facts),
            Some((ask, come)) => self.arrive(host, pool, facts, watch, ask, come),
        };
        match routing {
            Routing::Refused(refusal) => self.turn_away(host, pool, refusal),
            Routing::Held(_) => self.held_flow(),
            Routing::Saturated => {
                let event = AttemptEvent::Saturated;
                self.refuse_unserved(host, Some(pool), &outcome::SATURATED, event)
            }
            Routing::NoneEligible => self.refuse_outside(host, Some(pool)),
            Routing::NoEndpoint => {
                let event = AttemptEvent::NoEndpoint;
                self.refuse_unserved(host, Some(pool), &outcome::NO_ENDPOINT, event)
            }
            Routing::Fallback => {
                self.send_on(host, None, ended);
                Flow::Continue
            }
            Routing::Shadow(choice) => {
                let answer = Answer::new(watch, choice.sent());
                self.routed = Some(Routed::new(choice, answer, false));
                self.send_on(host, None, ended);
                Flow::Continue
            }
            Routing::To {
                choice,
                destination,
            } => {
                if self.send_on(host, Some(&destination), ended) {
                    let answer = Answer::new(watch, choice.sent());
                    self.routed = Some(Routed::new(choice, answer, true));
                } else {
                    let mut worker = self.worker.borrow_mut();
                    worker.metrics().attempt(host, AttemptEvent::NotRouted);
                    worker.release(host, choice, None);
                    drop(worker);
                    if is_strict {
                        return self.refuse_outside(host, Some(pool));
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

    /// The response's headers, from an upstream or from Envoy itself.
    pub fn on_response_headers(&mut self, host: &dyn Host) {
        self.still_waits();
        self.worker.borrow().report_served(host);
        if let Some(event) = self.passage.on_headers(host) {
            self.worker.borrow().metrics().model(host, event);
        }
        let Some(Routed { choice, answer, .. }) = &mut self.routed else {
            return;
        };
        let mut worker = self.worker.borrow_mut();
        if self.explains {
            let text = choice.explanation().text();
            if let Err(error) = host.set_response_header(explain::DECISION, text.as_bytes()) {
                log::error!("{} was not set: {error}", explain::DECISION);
            }
        }
        let Answered { status, is_well } = worker.answered(host, choice);
        if let Some(record) = &mut self.record {
            record.status = status;
        }
        answer.on_headers(host, matches!(status, Some(200..300)));
        // Of a stream only its first event tells.
        if is_well && !answer.is_accepted_stream() {
            worker.went_well(choice);
        }
        // A document is sent when it is complete; a stream may have its headers before its first token.
        if !answer.is_streamed() {
            worker.first_token(host, choice);
        }
    }

    /// A chunk of the response's body passes.
    pub fn on_response_body(&mut self, host: &dyn Host, size: usize, end_of_stream: bool) {
        if let Some(Routed {
            choice,
            answer,
            first_event,
        }) = &mut self.routed
        {
            let chunk = answer.on_chunk(host, size, end_of_stream);
            if chunk.is_first {
                self.worker.borrow_mut().first_token(host, choice);
            }
            if let (Some(gap), Some(record)) = (chunk.gap, &self.record) {
                self.worker.borrow_mut().between_tokens(record, gap);
            }
            if let Some(first) = first_event.as_mut().filter(|_| answer.is_accepted_stream()) {
                match first.on_chunk(host, size) {
                    Beginning::Unknown => {}
                    Beginning::Well => self.worker.borrow_mut().went_well(choice),
                    Beginning::Error => {
                        answer.reject();
                        self.worker.borrow_mut().broken_off(host, choice);
                    }
                }
            }
        }
        self.passage.on_chunk(host, size);
    }

    /// The stream is over.
    pub fn on_log(&mut self, host: &dyn Host) {
        if self.still_waits() {
            self.give_place_back(host);
        }
        self.phase = Phase::Passed;
        self.pairing = None;
        let routed = self.routed.take();
        let answer = routed.as_ref().map(|routed| &routed.answer);
        let measured = answer.and_then(Answer::measured);
        let mut worker = self.worker.borrow_mut();
        if let Some(record) = self.record.take() {
            worker.end_record(host, &record, self.at_work, answer, measured.as_ref());
        }
        if let Some(Routed { choice, .. }) = routed {
            worker.release(host, choice, measured);
        }
    }
}

#[cfg(test)]
mod tests;
