//! A request that asks for room, known to its own callbacks and to the root context.

use std::{cell::RefCell, rc::Rc};

use admission::Refusal;
use picker::RequestFacts;

use super::answer;
use crate::{
    headers,
    host::Host,
    pair::{self, Partner},
    worker::Choice,
};

/// One request, held by both sides.
#[derive(Debug, Clone)]
pub struct Held(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    facts: RequestFacts,
    context: u32,
    partner: Option<Partner>,
    fate: RefCell<Fate>,
}

/// What became of a request that was held.
#[derive(Debug, Default)]
pub enum Fate {
    /// It waits, or its fate was taken over.
    #[default]
    Open,
    /// It was sent, and this is its choice, unless the destination could not be set.
    Sent(Option<Box<Choice>>),
    /// It was answered.
    Answered,
}

impl Held {
    /// A request with the host's id `context`. In pair mode its headers are at `partner`.
    #[must_use]
    pub fn new(facts: RequestFacts, context: u32, partner: Option<Partner>) -> Self {
        Self(Rc::new(Inner {
            facts,
            context,
            partner,
            fate: RefCell::default(),
        }))
    }

    /// What is known of the request.
    #[must_use]
    pub fn facts(&self) -> &RequestFacts {
        &self.0.facts
    }

    /// What became of it since the last time.
    #[must_use]
    pub fn take_fate(&self) -> Fate {
        self.0.fate.take()
    }

    /// From the root context `own`: sends it to `destination`, with `note` for its access log. Returns
    /// whether the destination was set; if not it goes on without one, or is gone.
    pub(crate) fn send(
        &self,
        host: &dyn Host,
        own: u32,
        destination: Option<&str>,
        note: impl FnOnce(&dyn Host),
    ) -> bool {
        let context = match &self.0.partner {
            Some(partner) => partner.get(),
            None => Some(self.0.context),
        };
        // Without its partner a pair's request was never held back.
        let Some(context) = context else {
            return false;
        };
        pair::on_behalf_of(host, own, context, |host| {
            note(host);
            let set = destination.is_none_or(|list| {
                host.set_request_header(headers::DESTINATION, list.as_bytes())
                    .is_ok()
            });
            host.resume_request().is_ok() && set
        })
    }

    /// From the root context `own`: answers it.
    pub(crate) fn refuse(&self, host: &dyn Host, own: u32, refusal: Refusal) -> bool {
        self.decide(Fate::Answered);
        pair::on_behalf_of(host, own, self.0.context, |host| {
            answer::refuse(host, refusal).is_ok()
        })
    }

    /// Leaves its fate for its next callback.
    pub(crate) fn decide(&self, fate: Fate) {
        self.0.fate.replace(fate);
    }
}
