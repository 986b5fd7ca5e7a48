//! What the gateways have in flight.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use picker::{EndpointId, InFlight, Millis, Signal};
use pool_state::limits;

/// One gateway's last report on one pool.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayLoad {
    /// The stream it came over.
    pub stream: u64,
    /// When anything came over that stream last. A gateway reports as soon as its load changes, so
    /// one that says something else has what it reported last.
    pub heard: Millis,
    /// Endpoints with load.
    pub loads: Arc<HashMap<EndpointId, InFlight>>,
}

/// The loads of all gateways on one pool, frozen for a publication.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Loads {
    by_gateway: BTreeMap<Arc<str>, GatewayLoad>,
    /// The sum over all gateways on each endpoint, zeros left out.
    totals: HashMap<EndpointId, InFlight>,
}

impl Loads {
    /// What the gateways other than `gateway` have in flight on each endpoint, and how old that is.
    /// Zeros are left out, and sums that nobody would believe. A gateway's own former streams are
    /// not others.
    #[must_use]
    pub fn others(&self, gateway: &str) -> HashMap<EndpointId, Signal<InFlight>> {
        let Some(oldest) = self.oldest_of_others(gateway) else {
            return HashMap::new();
        };
        let own = self.by_gateway.get(gateway);
        self.totals
            .iter()
            .filter_map(|(id, total)| {
                let own = own.and_then(|own| own.loads.get(id));
                let others = own.map_or(*total, |own| without(*total, *own));
                let others = limits::in_flight(others).filter(|load| load.requests > 0)?;
                Some((*id, Signal::new(others, oldest)))
            })
            .collect()
    }

    /// What all gateways together have in flight on an endpoint.
    #[must_use]
    pub fn total(&self, id: EndpointId) -> InFlight {
        self.totals.get(&id).copied().unwrap_or_default()
    }

    /// The gateways that reported, with their reports.
    pub fn gateways(&self) -> impl Iterator<Item = (&Arc<str>, &GatewayLoad)> {
        self.by_gateway.iter()
    }

    /// When the one of the others was heard that was silent longest; those without load add nothing
    /// to a sum and so do not age it. `None` when no other has load.
    fn oldest_of_others(&self, gateway: &str) -> Option<Millis> {
        self.by_gateway
            .iter()
            .filter(|(id, load)| &***id != gateway && !load.loads.is_empty())
            .map(|(_, load)| load.heard)
            .min()
    }

    /// Notes that a gateway said something over `stream`.
    pub(super) fn heard(&mut self, gateway: &str, stream: u64, now: Millis) {
        let load = self.by_gateway.get_mut(gateway);
        if let Some(load) = load.filter(|load| load.stream == stream) {
            load.heard = now;
        }
    }

    /// Takes a report; says whether the sums changed.
    pub(super) fn report(
        &mut self,
        gateway: &Arc<str>,
        stream: u64,
        loads: Vec<(EndpointId, InFlight)>,
        now: Millis,
    ) -> bool {
        let loads: HashMap<EndpointId, InFlight> = loads
            .into_iter()
            .filter(|(_, load)| *load != InFlight::default())
            .collect();
        let loads = Arc::new(loads);
        let load = GatewayLoad {
            stream,
            heard: now,
            loads: Arc::clone(&loads),
        };
        let changed = match self.by_gateway.insert(Arc::clone(gateway), load) {
            Some(before) => before.loads != loads,
            None => !loads.is_empty(),
        };
        if changed {
            self.add_up();
        }
        changed
    }

    /// Forgets what came over `stream`; says whether the sums changed.
    pub(super) fn forget(&mut self, gateway: &str, stream: u64) -> bool {
        let ended = self.by_gateway.get(gateway);
        let Some(ended) = ended.filter(|load| load.stream == stream) else {
            return false;
        };
        let changed = !ended.loads.is_empty();
        self.by_gateway.remove(gateway);
        if changed {
            self.add_up();
        }
        changed
    }

    fn add_up(&mut self) {
        self.totals.clear();
        for load in self.by_gateway.values() {
            for (id, in_flight) in load.loads.iter() {
                if in_flight.requests > 0 {
                    let total = self.totals.entry(*id).or_default();
                    *total = total.plus(*in_flight);
                }
            }
        }
    }
}

/// A sum without one of its parts.
const fn without(total: InFlight, part: InFlight) -> InFlight {
    InFlight {
        requests: total.requests.saturating_sub(part.requests),
        tokens: total.tokens.saturating_sub(part.tokens),
        prefilling: total.prefilling.saturating_sub(part.prefilling),
        prefill_tokens: total.prefill_tokens.saturating_sub(part.prefill_tokens),
    }
}
