//! The pair of filters that reaches the body without `allow_on_headers_stop_iteration`, which
//! Istio's WasmPlugin cannot set.
//!
//! ```text
//!   A (pair_first)                          B (pair_second), directly after A
//!   headers: strip, announce(nonce)
//!            Continue (headers are gone) --> headers: nonce known? hold: Pause
//!   body:    read each chunk, Continue ----> Envoy keeps it behind the held headers
//!   decided: set the header in B's context,
//!            let B go: at once, or when woken
//! ```
//!
//! The nonce travels in the stream's filter state, where no client can write and no other stream can
//! read, so that requests may interleave as they like. It is looked up in this VM's memory, so that
//! a partner in another VM is no partner. Without a partner A picks by load at the headers; without
//! A, B strips the routing headers itself.
//!
//! Two things were measured to break requests, and are avoided:
//!
//! - A must never hold the body itself. Envoy keeps one buffer per stream, and what A had buffered
//!   would be sent when B goes on and then once more when A does.
//! - B must not go on within A's callback for the end of the stream. Envoy then takes the stream for
//!   complete before the last chunk has passed. So B is let go from the root context, which a queue
//!   wakes right after the callback (and the next tick at the latest).

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use hashbrown::HashMap;
use picker::{Entropy, SplitMix64};

use crate::{
    headers::{self, Steering},
    host::Host,
    request::Flow,
};

/// The name under which the nonce travels.
const PROPERTY: [&str; 1] = ["zerohop_pair"];
/// Announced when the first filter needs nobody to hold the headers.
const NOTHING_TO_HOLD: u64 = 0;

thread_local! {
    /// The announcements of this VM that wait for their partner.
    static WAITING: RefCell<HashMap<u64, Partner>> = RefCell::default();
    /// The root contexts of second filters in this VM.
    static SECONDS: Cell<usize> = const { Cell::new(0) };
    /// Draws nonces.
    static NONCES: RefCell<Option<SplitMix64>> = const { RefCell::new(None) };
}

/// The second filter's context, as soon as it holds the headers.
pub(crate) type Partner = Rc<Cell<Option<u32>>>;

/// The first filter's side of one pair.
#[derive(Debug)]
pub struct Pairing {
    nonce: u64,
    partner: Partner,
}

impl Pairing {
    /// Tells the second filter, which is called next, whether to hold the headers. `None` when it
    /// need not or cannot be told.
    pub(crate) fn announce(host: &dyn Host, hold: bool) -> Option<Self> {
        let nonce = if hold { nonce(host) } else { NOTHING_TO_HOLD };
        let told = host.set_property(&PROPERTY, &nonce.to_le_bytes()).is_ok();
        if !(hold && told) {
            return None;
        }
        let partner = Rc::new(Cell::new(None));
        WAITING.with_borrow_mut(|waiting| waiting.insert(nonce, Rc::clone(&partner)));
        Some(Self { nonce, partner })
    }

    /// The second filter's context, once it holds the headers.
    pub(crate) fn partner(&self) -> Option<u32> {
        self.partner.get()
    }

    /// The same for those who will ask later.
    pub(crate) fn future_partner(&self) -> Partner {
        Rc::clone(&self.partner)
    }
}

impl Drop for Pairing {
    fn drop(&mut self) {
        WAITING
            .try_with(|waiting| drop(waiting.borrow_mut().remove(&self.nonce)))
            .unwrap_or_default();
    }
}

fn nonce(host: &dyn Host) -> u64 {
    NONCES.with_borrow_mut(|nonces| {
        let nonces = nonces.get_or_insert_with(|| SplitMix64::new(host.random()));
        nonces.next_u64().max(NOTHING_TO_HOLD + 1)
    })
}

/// Does something in the context `other` and returns to `own`. Returns whether it was done.
pub(crate) fn on_behalf_of(
    host: &dyn Host,
    own: u32,
    other: u32,
    act: impl FnOnce(&dyn Host) -> bool,
) -> bool {
    if host.enter_context(other).is_err() {
        return false;
    }
    let acted = act(host);
    host.enter_context(own).is_ok() && acted
}

/// Held requests that may go on as soon as the running callback has returned.
#[derive(Debug, Default)]
pub struct LetGo(Vec<u32>);

impl LetGo {
    /// Lets `context` go on when the root context is woken next.
    pub(crate) fn soon(&mut self, context: u32) {
        self.0.push(context);
    }

    /// Lets all go now; `own` is the root context whose callback runs.
    pub(crate) fn all(&mut self, host: &dyn Host, own: u32) {
        for context in self.0.drain(..) {
            // A context that is gone was aborted by its client.
            on_behalf_of(host, own, context, |host| host.resume_request().is_ok());
        }
    }
}

/// Counts a configured second filter of this VM for as long as it lives.
#[derive(Debug)]
pub struct SecondPresence(());

impl SecondPresence {
    /// A second filter was configured in this VM.
    #[must_use]
    pub fn new() -> Self {
        SECONDS.set(SECONDS.get().saturating_add(1));
        Self(())
    }

    /// Whether any second filter lives in this VM.
    #[must_use]
    pub fn any() -> bool {
        SECONDS.get() > 0
    }
}

impl Default for SecondPresence {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for SecondPresence {
    fn drop(&mut self) {
        SECONDS
            .try_with(|seconds| seconds.set(seconds.get().saturating_sub(1)))
            .unwrap_or_default();
    }
}

/// One HTTP request in the second filter.
#[derive(Debug)]
pub struct Second {
    context: u32,
}

impl Second {
    /// A request with the host's id `context`.
    #[must_use]
    pub const fn new(context: u32) -> Self {
        Self { context }
    }

    /// The request's headers: held while the first filter reads the body.
    pub fn on_request_headers(&self, host: &dyn Host) -> Flow {
        let nonce = host
            .property(&PROPERTY)
            .and_then(|value| value.first_chunk::<8>().copied())
            .map(u64::from_le_bytes);
        let Some(nonce) = nonce else {
            headers::strip_routing(host, &host.request_headers(), Steering::default());
            return Flow::Continue;
        };
        let partner = WAITING.with_borrow(|waiting| waiting.get(&nonce).cloned());
        match partner {
            Some(partner) => {
                partner.set(Some(self.context));
                Flow::Pause
            }
            None => Flow::Continue,
        }
    }
}

#[cfg(test)]
mod tests;
