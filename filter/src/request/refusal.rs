//! The filter's own answers in place of a model server's.
//!
//! ```text
//!   its model      400, 404, 413, 500  --> refuse_model, refuse
//!   nowhere to go  429, 503            --> refuse_unserved \
//!   no room        429, 503, 504       --> turn_away        +--> counted among its pool's refusals
//!   held, no room  the same            --> worker::admission /
//! ```

use admission::Refusal;

use super::{Flow, Request};
use crate::{
    host::Host,
    metrics::{AttemptEvent, ModelEvent},
    outcome,
    queueing::answer,
};

impl Request {
    /// The request has a subset and cannot be sent there: it may go nowhere else.
    pub(super) fn refuse_outside(&mut self, host: &dyn Host, pool: Option<usize>) -> Flow {
        if self.worker.borrow().is_shadow() {
            return Flow::Continue;
        }
        let reply = &outcome::NO_ENDPOINT_IN_SUBSET;
        self.refuse_unserved(host, pool, reply, AttemptEvent::NoneEligible)
    }

    /// Refuses a request for want of an endpoint.
    pub(super) fn refuse_unserved(
        &mut self,
        host: &dyn Host,
        pool: Option<usize>,
        reply: &outcome::Reply<'_>,
        event: AttemptEvent,
    ) -> Flow {
        let flow = self.refuse(host, reply, event);
        if let (Some(pool), Flow::Pause) = (pool, flow) {
            self.worker.borrow().metrics().refused(host, pool);
        }
        flow
    }

    /// Refuses the request of the running callback for want of room.
    pub(super) fn turn_away(&mut self, host: &dyn Host, pool: usize, refusal: Refusal) -> Flow {
        if answer::refuse(host, refusal).is_err() {
            self.send_on(host, None, true);
            return Flow::Continue;
        }
        self.worker.borrow().metrics().refused(host, pool);
        Flow::Pause
    }

    /// Refuses a request, and counts what happened to it.
    pub(super) fn refuse(
        &mut self,
        host: &dyn Host,
        reply: &outcome::Reply<'_>,
        event: AttemptEvent,
    ) -> Flow {
        self.worker.borrow().metrics().attempt(host, event);
        self.respond(host, reply)
    }

    /// Refuses a request for its model.
    pub(super) fn refuse_model(
        &mut self,
        host: &dyn Host,
        reply: &outcome::Reply<'_>,
        event: ModelEvent,
    ) -> Flow {
        self.worker.borrow().metrics().model(host, event);
        self.respond(host, reply)
    }

    /// Answers in place of a model server.
    fn respond(&mut self, host: &dyn Host, reply: &outcome::Reply<'_>) -> Flow {
        if host
            .respond(reply.status, reply.headers, reply.body)
            .is_ok()
        {
            if let Some(record) = &mut self.record {
                record.status = Some(reply.status.into());
                record.refused = true;
            }
            return Flow::Pause;
        }
        self.send_on(host, None, true);
        Flow::Continue
    }
}
