//! The requests of one priority: fairness between its flows.
//!
//! ```text
//!   served tokens
//!        |        c               Each flow has an account of the tokens that it was served. The one with
//!        |   a    |               the least goes next (b, then a, then c): a deficit round robin whose
//!        |   |  b |               quantum is one token.
//!   floor+---+--+-+---
//!                                 A flow that comes or comes back starts at least at the floor, where
//!                                 the one served last stood: absence earns nothing.
//! ```

use std::collections::{BTreeSet, btree_set};

use hashbrown::HashMap;
use picker::Millis;

use super::{Ticket, Waiting};

/// Flows without waiting requests whose accounts are kept beyond twice those that wait.
const IDLE_FLOWS: usize = 64;

/// The place of a request within its flow.
type Place = (Millis, Ticket);

#[derive(Debug, Default)]
struct Flow {
    /// Tokens on its account.
    served: u64,
    waiting: BTreeSet<Place>,
    bytes: u64,
    tokens: u64,
}

/// All flows of one priority.
#[derive(Debug, Default)]
pub(super) struct Band {
    flows: HashMap<u64, Flow>,
    /// The flows that wait, by account.
    turns: BTreeSet<(u64, u64)>,
    floor: u64,
    requests: u64,
    bytes: u64,
    tokens: u64,
}

impl Band {
    pub(super) fn insert(&mut self, waiting: &Waiting, place: Place) {
        let flow = self.flows.entry(waiting.flow).or_default();
        if flow.waiting.is_empty() {
            flow.served = flow.served.max(self.floor);
            self.turns.insert((flow.served, waiting.flow));
        }
        flow.waiting.insert(place);
        flow.bytes += waiting.bytes;
        flow.tokens += u64::from(waiting.tokens);
        self.requests += 1;
        self.bytes += waiting.bytes;
        self.tokens += u64::from(waiting.tokens);
    }

    pub(super) fn grow(&mut self, flow: u64, bytes: u64) {
        self.bytes += bytes;
        if let Some(flow) = self.flows.get_mut(&flow) {
            flow.bytes += bytes;
        }
    }

    pub(super) fn remove(&mut self, waiting: &Waiting, place: Place, served: bool) {
        let tokens = u64::from(waiting.tokens);
        let Some(flow) = self.flows.get_mut(&waiting.flow) else {
            return;
        };
        if !flow.waiting.remove(&place) {
            return;
        }
        self.turns.remove(&(flow.served, waiting.flow));
        if served {
            self.floor = self.floor.max(flow.served);
            flow.served = flow.served.saturating_add(tokens.max(1));
        }
        flow.bytes = flow.bytes.saturating_sub(waiting.bytes);
        flow.tokens = flow.tokens.saturating_sub(tokens);
        if !flow.waiting.is_empty() {
            self.turns.insert((flow.served, waiting.flow));
        }
        self.requests = self.requests.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(waiting.bytes);
        self.tokens = self.tokens.saturating_sub(tokens);
        if self.flows.len() > 2 * self.turns.len() + IDLE_FLOWS {
            // Those that owe nothing are as good as new ones; so are, to be safe, all the others.
            self.flows.retain(|_, flow| !flow.waiting.is_empty());
        }
    }

    /// The waiting requests in the order in which they go, as if nobody came meanwhile.
    pub(super) fn order(&self) -> impl Iterator<Item = Ticket> {
        Walk {
            band: self,
            turns: self.turns.iter(),
            started: Vec::new(),
            next: None,
        }
    }

    /// The request that came last.
    pub(super) fn newest(&self) -> Option<Ticket> {
        let lasts = self.flows.values().filter_map(|flow| flow.waiting.last());
        lasts.map(|(_, ticket)| *ticket).max()
    }

    /// Requests and bytes.
    pub(super) const fn size(&self) -> (u64, u64) {
        (self.requests, self.bytes)
    }

    /// Requests and bytes of one flow.
    pub(super) fn flow_size(&self, flow: u64) -> (u64, u64) {
        let flow = self.flows.get(&flow);
        flow.map_or((0, 0), |flow| (flow.waiting.len() as u64, flow.bytes))
    }

    pub(super) const fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Tokens that go before the end of a flow: its own, and of the others as many each.
    pub(super) fn tokens_before(&self, flow: u64) -> u64 {
        match self.flows.get(&flow) {
            Some(flow) if !flow.waiting.is_empty() => {
                let turns = self.turns.len() as u64;
                flow.tokens.saturating_mul(turns).min(self.tokens)
            }
            // One request of a flow that waits with nothing else goes among the next.
            _ if self.requests > 0 => (self.tokens / self.requests).max(1),
            _ => 0,
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.requests == 0
    }
}

/// Goes through a band without changing it.
struct Walk<'a> {
    band: &'a Band,
    /// The flows that were not begun yet, by account.
    turns: btree_set::Iter<'a, (u64, u64)>,
    /// The flows that were, by account as it would be now.
    started: Vec<Started<'a>>,
    next: Option<(u64, u64)>,
}

struct Started<'a> {
    served: u64,
    flow: u64,
    rest: btree_set::Iter<'a, Place>,
    mean_tokens: u64,
}

impl Iterator for Walk<'_> {
    type Item = Ticket;

    fn next(&mut self) -> Option<Ticket> {
        loop {
            if self.next.is_none() {
                self.next = self.turns.next().copied();
            }
            let started = self.started.iter_mut();
            let least = started
                .enumerate()
                .min_by_key(|(_, flow)| (flow.served, flow.flow));
            let (at, flow) = match (least, self.next) {
                (Some((at, flow)), Some(turn)) if (flow.served, flow.flow) < turn => (at, flow),
                (Some((at, flow)), None) => (at, flow),
                (_, Some((served, id))) => {
                    self.next = None;
                    let flow = self.band.flows.get(&id)?;
                    self.started.push(Started {
                        served,
                        flow: id,
                        rest: flow.waiting.iter(),
                        mean_tokens: flow.tokens / (flow.waiting.len() as u64).max(1),
                    });
                    continue;
                }
                (None, None) => return None,
            };
            match flow.rest.next() {
                Some((_, ticket)) => {
                    flow.served = flow.served.saturating_add(flow.mean_tokens.max(1));
                    return Some(*ticket);
                }
                None => {
                    self.started.swap_remove(at);
                }
            }
        }
    }
}
