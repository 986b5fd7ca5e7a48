//! The pair of filters that reaches the body without `allow_on_headers_stop_iteration`, which
//! Istio's WasmPlugin cannot set.
//!
//! ```text
//!   A (pair_first)                          B (pair_second), directly after A
//!   headers: strip, announce(nonce)
//!            Continue (headers are gone) --> headers: nonce known? hold: Pause
//!   body:    scan ... Pause
//!   decided: enter B, set header, resume -> the headers go on
//!            leave B, Continue           -> the body follows
//! ```
//!
//! The nonce travels in the stream's filter state, where no client can write and no other stream can
//! read, so that requests may interleave as they like. It is looked up in this VM's memory, so that
//! a partner in another VM is no partner. Without a partner A picks by load at the headers; without
//! A, B strips the routing headers itself.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use hashbrown::HashMap;
use picker::{Entropy, SplitMix64};

use crate::{headers, host::Host, request::Flow};

/// The name under which the nonce travels.
const PROPERTY: [&str; 1] = ["zerohop_pair"];
/// Announced when the first filter needs nobody to hold the headers.
const NOTHING_TO_HOLD: u64 = 0;

thread_local! {
    /// The announcements of this VM that wait for their partner.
    static WAITING: RefCell<HashMap<u64, Rc<Cell<Option<u32>>>>> = RefCell::default();
    /// The root contexts of second filters in this VM.
    static SECONDS: Cell<usize> = const { Cell::new(0) };
    /// Draws nonces.
    static NONCES: RefCell<Option<SplitMix64>> = const { RefCell::new(None) };
}

/// The first filter's side of one pair.
#[derive(Debug)]
pub struct Pairing {
    nonce: u64,
    partner: Rc<Cell<Option<u32>>>,
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

/// Does something to the held headers of `partner`, lets them go on and returns to `own`. Returns
/// whether it was done.
pub(crate) fn on_behalf_of(
    host: &dyn Host,
    own: u32,
    partner: u32,
    act: impl FnOnce(&dyn Host) -> bool,
) -> bool {
    if host.enter_context(partner).is_err() {
        return false;
    }
    let acted = act(host);
    let resumed = host.resume_request().is_ok();
    let returned = host.enter_context(own).is_ok();
    acted && resumed && returned
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
            headers::strip_routing(host);
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
