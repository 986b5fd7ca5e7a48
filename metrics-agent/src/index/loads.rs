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
    /// When it came.
    pub at: Millis,
    /// Endpoints with load.
    pub loads: HashMap<EndpointId, InFlight>,
}

/// The loads of all gateways on one pool, frozen for a publication.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Loads {
    by_gateway: BTreeMap<Arc<str>, Arc<GatewayLoad>>,
    /// The sum over all gateways on each endpoint, zeros left out.
    totals: HashMap<EndpointId, InFlight>,
    /// When the oldest of the reports came: the age of every sum.
    oldest: Millis,
}

impl Loads {
    /// What the gateways other than `gateway` have in flight on each endpoint, and how old that is.
    /// Zeros are left out, and sums that nobody would believe. A gateway's own former streams are
    /// not others.
    #[must_use]
    pub fn others(&self, gateway: &str) -> HashMap<EndpointId, Signal<InFlight>> {
        let own = self.by_gateway.get(gateway);
        if self.by_gateway.len() <= usize::from(own.is_some()) {
            return HashMap::new();
        }
        self.totals
            .iter()
            .filter_map(|(id, total)| {
                let own = own.and_then(|own| own.loads.get(id));
                let others = own.map_or(*total, |own| without(*total, *own));
                let others = limits::in_flight(others).filter(|load| load.requests > 0)?;
                Some((*id, Signal::new(others, self.oldest)))
            })
            .collect()
    }

    /// The gateways that reported, with their reports.
    pub fn gateways(&self) -> impl Iterator<Item = (&Arc<str>, &GatewayLoad)> {
        self.by_gateway.iter().map(|(id, load)| (id, load.as_ref()))
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
        let load = Arc::new(GatewayLoad {
            stream,
            at: now,
            loads,
        });
        let before = self
            .by_gateway
            .insert(Arc::clone(gateway), Arc::clone(&load));
        let changed = match before {
            Some(before) => before.loads != load.loads,
            None => !load.loads.is_empty(),
        };
        self.add_up(changed);
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
        self.add_up(changed);
        changed
    }

    fn add_up(&mut self, changed: bool) {
        self.oldest = self
            .by_gateway
            .values()
            .map(|load| load.at)
            .min()
            .unwrap_or_default();
        if !changed {
            return;
        }
        self.totals.clear();
        for load in self.by_gateway.values() {
            for (id, in_flight) in &load.loads {
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
