//! The requests under way.

use model_sim::engine::SimTime;
use picker::{EndpointId, Estimate, MAX_CHOICES};

use crate::workload::Arrival;

/// A request from its arrival to its end.
#[derive(Debug)]
pub(super) struct Request {
    /// Tells it from the others that had its place before.
    pub(super) serial: u64,
    pub(super) arrival: Arrival,
    /// Whether it is the next turn of a conversation.
    pub(super) follow_up: bool,
    /// Its place in the outcome, if it is measured.
    pub(super) record: Option<usize>,
    pub(super) gateway: u32,
    pub(super) worker: u32,
    pub(super) choices: [Option<EndpointId>; MAX_CHOICES],
    /// How many of the choices were tried and failed.
    pub(super) failures: usize,
    pub(super) estimate: Estimate,
    /// Where the ledger counts it.
    pub(super) counted: Option<EndpointId>,
    /// Whether the ledger knows of its first token.
    pub(super) prefilled: bool,
    /// Tokens of its prompt that its engine has to compute, until its first token; only kept for
    /// the oracle.
    pub(super) to_compute: u32,
    pub(super) sent_at: SimTime,
    pub(super) first_token_at: Option<SimTime>,
}

impl Request {
    fn new(serial: u64, arrival: Arrival, follow_up: bool) -> Self {
        Self {
            serial,
            follow_up,
            record: None,
            gateway: 0,
            worker: 0,
            choices: [None; MAX_CHOICES],
            failures: 0,
            estimate: Estimate::default(),
            counted: None,
            prefilled: false,
            to_compute: 0,
            sent_at: arrival.at,
            first_token_at: None,
            arrival,
        }
    }

    /// The endpoint it is tried at now.
    pub(super) fn target(&self) -> Option<EndpointId> {
        self.choices.get(self.failures).copied().flatten()
    }

    /// The tokens to release its prefill with, unless that was done.
    pub(super) fn prefilling(&self) -> Option<u32> {
        (!self.prefilled).then_some(self.estimate.uncached_tokens)
    }
}

/// The requests under way, by place. Places are used again.
#[derive(Debug, Default)]
pub(super) struct Requests {
    places: Vec<Option<Request>>,
    empty: Vec<u32>,
    serial: u64,
    count: usize,
}

impl Requests {
    pub(super) fn insert(&mut self, arrival: Arrival, follow_up: bool) -> u32 {
        self.serial += 1;
        self.count += 1;
        let request = Some(Request::new(self.serial, arrival, follow_up));
        if let Some(place) = self.empty.pop()
            && let Some(slot) = self.places.get_mut(place as usize)
        {
            *slot = request;
            return place;
        }
        self.places.push(request);
        (self.places.len() - 1) as u32
    }

    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut Request> {
        self.places.get_mut(place as usize)?.as_mut()
    }

    pub(super) fn get(&self, place: u32) -> Option<&Request> {
        self.places.get(place as usize)?.as_ref()
    }

    pub(super) fn remove(&mut self, place: u32) -> Option<Request> {
        let request = self.places.get_mut(place as usize)?.take()?;
        self.empty.push(place);
        self.count -= 1;
        Some(request)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}
