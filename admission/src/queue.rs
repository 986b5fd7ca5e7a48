//! The requests that one worker holds for one pool, in the order in which they go.
//!
//! ```text
//!   priority  10:  tenant a [x x x]   tenant b [x]          strictly first
//!   priority   0:  tenant a [x]       tenant c [x x]        then these: of the tenants the one that was
//!   priority  -1:  ...                                      served the fewest tokens, of its requests
//!                                                           the first come (or the first due)
//! ```
//!
//! Every step costs at most the logarithm of what waits; leaving needs no search.

mod band;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use hashbrown::HashMap;
use picker::{Millis, Priority};

use self::band::Band;
use crate::config::{AdmissionConfig, Bound, Bounds, Order};

/// The most priorities without waiting requests whose fairness is remembered.
const IDLE_BANDS: usize = 64;

/// One held request, for as long as it is held; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// What the queue has to know of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Its priority.
    pub priority: Priority,
    /// A hash of its fairness id; equal for all requests that share one turn.
    pub flow: u64,
    /// The tokens of prompt and answer that it probably takes, by which fairness counts.
    pub tokens: u32,
    /// The bytes of its body that are held.
    pub bytes: u64,
    /// When it came.
    pub arrived: Millis,
    /// When its first token is due; looked at only in [`Order::Deadline`].
    pub due: Option<Millis>,
    /// When it is to be answered if it did not go before.
    pub expires: Millis,
}

/// A bound would be passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full(pub Bound);

#[derive(Debug)]
struct Entry<T> {
    waiting: Waiting,
    held: T,
}

/// The queue of one worker and pool. `T` is a held request.
#[derive(Debug)]
pub struct Queue<T> {
    order: Order,
    worker: Bounds,
    priority: Bounds,
    flow: Bounds,
    entries: HashMap<Ticket, Entry<T>>,
    bands: BTreeMap<Reverse<Priority>, Band>,
    expiries: BTreeSet<(Millis, Ticket)>,
    bytes: u64,
    serial: u64,
}

impl<T> Queue<T> {
    /// An empty queue.
    #[must_use]
    pub fn new(config: &AdmissionConfig) -> Self {
        Self {
            order: config.order,
            worker: config.worker,
            priority: config.priority,
            flow: config.flow,
            entries: HashMap::new(),
            bands: BTreeMap::new(),
            expiries: BTreeSet::new(),
            bytes: 0,
            serial: 0,
        }
    }

    /// Holds a request.
    ///
    /// # Errors
    /// When a bound is reached; the request comes back.
    pub fn push(&mut self, waiting: Waiting, held: T) -> Result<Ticket, (Full, T)> {
        let full = self.fits(&waiting, 1, waiting.bytes);
        if let Err(full) = full {
            return Err((full, held));
        }
        self.serial += 1;
        let ticket = Ticket(self.serial);
        self.bytes += waiting.bytes;
        self.expiries.insert((waiting.expires, ticket));
        let band = self.bands.entry(Reverse(waiting.priority)).or_default();
        band.insert(&waiting, key(self.order, &waiting, ticket));
        self.entries.insert(ticket, Entry { waiting, held });
        Ok(ticket)
    }

    /// A held request's body grew to so many bytes.
    ///
    /// # Errors
    /// When a bound would be passed; the request stays as it was counted.
    pub fn grow(&mut self, ticket: Ticket, bytes: u64) -> Result<(), Full> {
        let Some(waiting) = self.entries.get(&ticket).map(|entry| entry.waiting) else {
            return Ok(());
        };
        let more = bytes.saturating_sub(waiting.bytes);
        self.fits(&waiting, 0, more)?;
        self.bytes += more;
        if let Some(band) = self.bands.get_mut(&Reverse(waiting.priority)) {
            band.grow(waiting.flow, more);
        }
        if let Some(entry) = self.entries.get_mut(&ticket) {
            entry.waiting.bytes += more;
        }
        Ok(())
    }

    fn fits(&self, waiting: &Waiting, requests: u64, bytes: u64) -> Result<(), Full> {
        let within = |bounds: &Bounds, now: (u64, u64)| {
            now.0 + requests <= bounds.requests && now.1.saturating_add(bytes) <= bounds.bytes
        };
        let band = self.bands.get(&Reverse(waiting.priority));
        let of_band = band.map_or((0, 0), Band::size);
        let of_flow = band.map_or((0, 0), |band| band.flow_size(waiting.flow));
        if !within(&self.worker, (self.entries.len() as u64, self.bytes)) {
            return Err(Full(Bound::Worker));
        }
        if !within(&self.priority, of_band) {
            return Err(Full(Bound::Priority));
        }
        if !within(&self.flow, of_flow) {
            return Err(Full(Bound::Flow));
        }
        Ok(())
    }

    /// Takes a request out that goes: its flow has been served so many tokens more.
    pub fn serve(&mut self, ticket: Ticket) -> Option<(Waiting, T)> {
        self.take(ticket, true)
    }

    /// Takes a request out that does not go: it left, or is answered.
    pub fn remove(&mut self, ticket: Ticket) -> Option<(Waiting, T)> {
        self.take(ticket, false)
    }

    fn take(&mut self, ticket: Ticket, served: bool) -> Option<(Waiting, T)> {
        let Entry { waiting, held } = self.entries.remove(&ticket)?;
        self.bytes = self.bytes.saturating_sub(waiting.bytes);
        self.expiries.remove(&(waiting.expires, ticket));
        let priority = Reverse(waiting.priority);
        if let Some(band) = self.bands.get_mut(&priority) {
            band.remove(&waiting, key(self.order, &waiting, ticket), served);
        }
        if self.bands.len() > IDLE_BANDS {
            self.bands.retain(|_, band| !band.is_empty());
        }
        Some((waiting, held))
    }

    /// Who must go where all places are taken, so that a request of so many bytes has one: the newest of
    /// the least priority, if that is less than its own and leaves enough.
    #[must_use]
    pub fn place_for(&self, priority: Priority, bytes: u64) -> Option<Ticket> {
        let mut bands = self.bands.iter().rev();
        let (least, band) = bands.find(|(_, band)| !band.is_empty())?;
        let newest = band.newest().filter(|_| least.0 < priority)?;
        let freed = self.entries.get(&newest)?.waiting.bytes;
        let then = (self.bytes - freed).saturating_add(bytes);
        (then <= self.worker.bytes).then_some(newest)
    }

    /// The first request that expires by `now`; take it out with [`Queue::remove`].
    #[must_use]
    pub fn expired(&self, now: Millis) -> Option<Ticket> {
        let (expires, ticket) = self.expiries.first()?;
        (*expires <= now).then_some(*ticket)
    }

    /// The held requests in the order in which they go.
    pub fn order(&self) -> impl Iterator<Item = (Ticket, &Waiting, &T)> {
        let tickets = self.bands.values().flat_map(Band::order);
        tickets.filter_map(|ticket| {
            let entry = self.entries.get(&ticket)?;
            Some((ticket, &entry.waiting, &entry.held))
        })
    }

    /// The greatest priority that waits.
    #[must_use]
    pub fn highest(&self) -> Option<Priority> {
        let mut bands = self.bands.iter();
        bands.find_map(|(priority, band)| (!band.is_empty()).then_some(priority.0))
    }

    /// Tokens that go before the last request of a flow, were it pushed now: those of greater
    /// priorities, and of its own what its flow's turn takes.
    #[must_use]
    pub fn tokens_before(&self, priority: Priority, flow: u64) -> u64 {
        let above = self.bands.range(..Reverse(priority));
        let above: u64 = above.map(|(_, band)| band.tokens()).sum();
        let own = self.bands.get(&Reverse(priority));
        above + own.map_or(0, |band| band.tokens_before(flow))
    }

    /// How many requests wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes of the bodies that are held.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The place of a request within its flow.
fn key(order: Order, waiting: &Waiting, ticket: Ticket) -> (Millis, Ticket) {
    let due = match order {
        Order::Fcfs => Millis(0),
        // A client may ask for less urgency than its expiry, and for no more than to be the next.
        Order::Deadline => waiting
            .due
            .unwrap_or(waiting.expires)
            .clamp(waiting.arrived, waiting.expires.max(waiting.arrived)),
    };
    (due, ticket)
}

#[cfg(test)]
mod tests;
