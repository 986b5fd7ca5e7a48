//! The part of a request's life in which it waits for room.
//!
//! ```text
//!   route --held--> body grows: counted, refused beyond what may wait
//!                   trailers:   held too
//!                   fate:       left by the root context, taken over by the next callback
//!                   log:        its place is free again
//! ```

use admission::{Bound, Reason, Refusal, Ticket};
use picker::RequestFacts;

use super::{Flow, Phase, Request, Routed};
use crate::{
    answer::{Answer, Watch},
    config::Mode,
    headers::{self, HeaderMap},
    host::Host,
    metrics::{Unscanned, Waited},
    queueing::{Demand, Held, held::Fate},
    worker::{Asked, Routing, Worker},
};

/// What a request asks of admission, by its headers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    demand: Demand,
    content_length: u64,
    /// The longest body that may wait, in bytes.
    most: u64,
}

impl Ask {
    /// `None` when admission is off.
    pub(super) fn read(host: &dyn Host, headers: &HeaderMap, worker: &Worker) -> Option<Self> {
        let config = worker.admission()?;
        let content_length = headers.get("content-length").and_then(headers::number);
        Some(Self {
            demand: Demand::read(host, headers, config),
            content_length: content_length.unwrap_or_default(),
            most: config.body_bytes as u64,
        })
    }

    /// The same for a request of which the body is not read: one without a body and a tunnel never wait.
    /// Nor can what a pair would have to hold without having read it.
    pub(super) fn unread(self, why: Unscanned, mode: Mode) -> Option<Self> {
        let may_wait = matches!(why, Unscanned::NotJsonType | Unscanned::Encoded);
        (may_wait && mode == Mode::Single).then_some(self)
    }

    /// The bytes that count for a body of which so many have come; none stands for a body that must not
    /// wait, because Envoy would refuse the rest of it.
    fn bytes(&self, come: u64) -> Option<u64> {
        let bytes = come.max(self.content_length);
        (bytes <= self.most).then_some(bytes)
    }
}

/// A request that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    held: Held,
    ask: Ask,
    pool: usize,
    ticket: Ticket,
    watch: Watch,
    /// The bytes that have come.
    come: u64,
}

impl Request {
    /// Asks for room for a request of which `come` bytes have come; one that is held is noted as such.
    pub(super) fn arrive(
        &mut self,
        host: &dyn Host,
        pool: usize,
        facts: RequestFacts,
        watch: Watch,
        ask: Ask,
        come: usize,
    ) -> Routing {
        let come = come as u64;
        let partner = self.pairing.as_ref().map(super::Pairing::future_partner);
        let held = Held::new(facts, self.context, partner);
        let asked = Asked {
            demand: ask.demand,
            bytes: ask.bytes(come).unwrap_or(u64::MAX),
        };
        let routing = self
            .worker
            .borrow_mut()
            .arrive(host, pool, held.clone(), asked);
        if let Routing::Held(ticket) = routing {
            self.phase = Phase::Held(Box::new(Waiting {
                held,
                ask,
                pool,
                ticket,
                watch,
                come,
            }));
        }
        routing
    }

    /// What the host does with a request that waits.
    pub(super) const fn held_flow(&self) -> Flow {
        match self.pairing {
            // In pair mode the second filter holds the headers, and with them the body.
            Some(_) => Flow::Continue,
            None => Flow::Pause,
        }
    }

    /// Takes over what the root context decided. Returns whether the request still waits.
    pub(super) fn still_waits(&mut self) -> bool {
        let Phase::Held(waiting) = &self.phase else {
            return false;
        };
        match waiting.held.take_fate() {
            Fate::Open => return true,
            Fate::Sent(choice) => {
                let watch = waiting.watch;
                self.routed = choice.map(|choice| {
                    let answer = Answer::new(watch, choice.sent());
                    Routed::new(choice, answer, true)
                });
            }
            Fate::Answered => {}
        }
        self.phase = Phase::Passed;
        false
    }

    /// More of the body of a request that waits: `size` bytes in all, or more in pair mode.
    pub(super) fn grow(&mut self, host: &dyn Host, size: usize) -> Flow {
        let flow = self.held_flow();
        let Phase::Held(waiting) = &mut self.phase else {
            return Flow::Continue;
        };
        let size = size as u64;
        waiting.come = match flow {
            Flow::Continue => waiting.come.saturating_add(size),
            Flow::Pause => size,
        };
        let (pool, ticket) = (waiting.pool, waiting.ticket);
        let bytes = waiting.ask.bytes(waiting.come);
        let mut worker = self.worker.borrow_mut();
        if bytes.is_some_and(|bytes| worker.grow(pool, ticket, bytes)) {
            return flow;
        }
        worker.left(host, pool, ticket);
        let reason = Reason::Full(Bound::Worker);
        worker.metrics().waited(host, pool, Waited::Refused(reason));
        drop(worker);
        self.phase = Phase::Passed;
        let refusal = Refusal {
            reason,
            retry_after_s: 1,
        };
        self.turn_away(host, pool, refusal)
    }

    /// The stream is over while the request waits: its client left, or Envoy gave it up.
    pub(super) fn give_place_back(&mut self, host: &dyn Host) {
        if let Phase::Held(waiting) = &self.phase {
            let (pool, ticket) = (waiting.pool, waiting.ticket);
            let mut worker = self.worker.borrow_mut();
            if worker.left(host, pool, ticket) {
                worker.metrics().waited(host, pool, Waited::Left);
            }
        }
    }
}
