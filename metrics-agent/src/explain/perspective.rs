//! A pool as one gateway has it: the agent's signals, its own load, and that of the others.

use std::collections::HashMap;

use picker::{Endpoint, EndpointId, InFlight, LocalState, Millis, PoolView, Signal};
use pool_state::{
    PoolMirror,
    convert::{policy_from_proto, report_from_proto},
    policy::PolicyView,
};

use super::{Dump, ExplainError, GatewayDump, PoolDump};

/// When the dump is taken to have arrived: late enough for every age.
const NOW: Millis = Millis(1 << 40);

/// What a decision rests on.
#[derive(Debug)]
pub struct Perspective {
    /// The pool's name.
    pub pool: String,
    /// The gateway through whose eyes this is; `None` when none reported load.
    pub gateway: Option<String>,
    /// How many gateways there are.
    pub gateways: usize,
    /// What people call the endpoints, in their order.
    pub names: Vec<String>,
    /// The policy in force.
    pub policy: Option<PolicyView>,
    endpoints: Vec<Endpoint>,
    local: Vec<LocalState>,
}

impl Perspective {
    /// The pool `pool` of the dump (without a name the only one) as `gateway` has it (without a name the
    /// one with the most requests in flight).
    ///
    /// # Errors
    /// When there is no such pool or gateway, or a gateway would not take what the dump holds.
    pub fn of(
        dump: &Dump,
        pool: Option<&str>,
        gateway: Option<&str>,
    ) -> Result<Self, ExplainError> {
        let (name, pool) = find_pool(dump, pool)?;
        let snapshot = pool.snapshot.clone().unwrap_or_default();
        let contract = |error: &dyn std::fmt::Display| ExplainError::Contract(error.to_string());
        let mut mirror = PoolMirror::new(&name);
        let taken = mirror.apply_snapshot(snapshot, NOW);
        taken.map_err(|error| contract(&error))?;
        let held = mirror.snapshot().map(|held| held.endpoints.clone());
        let mut endpoints = held.unwrap_or_default();
        let policy = pool.policy.as_ref().map(policy_from_proto).transpose();
        let policy = policy.map_err(|error| contract(&error))?;

        let mut own = HashMap::new();
        let mut others: HashMap<EndpointId, Signal<InFlight>> = HashMap::new();
        let me = find_gateway(pool, gateway)?;
        for other in &pool.gateways {
            let report = report_from_proto(other.report.clone().unwrap_or_default());
            let report = report.map_err(|error| contract(&error))?;
            if me.is_some_and(|me| me.id == other.id) {
                own.extend(report.loads);
                continue;
            }
            let heard = NOW.minus(other.age_ms);
            for (id, load) in report.loads {
                let sum = others
                    .entry(id)
                    .or_insert(Signal::new(InFlight::default(), heard));
                sum.value = sum.value.plus(load);
                sum.taken_at = sum.taken_at.min(heard);
            }
        }
        for endpoint in &mut endpoints {
            endpoint.signals.others_in_flight = others.get(&endpoint.id).copied();
        }
        let local = endpoints.iter().map(|endpoint| LocalState {
            in_flight: own.get(&endpoint.id).copied().unwrap_or_default(),
            ..LocalState::default()
        });
        Ok(Self {
            local: local.collect(),
            names: pool.names.clone(),
            gateway: me.map(|me| me.id.clone()),
            gateways: pool.gateways.len(),
            pool: name,
            policy,
            endpoints,
        })
    }

    /// What a picker is shown.
    #[must_use]
    pub fn view(&self) -> PoolView<'_> {
        PoolView {
            endpoints: &self.endpoints,
            local: &self.local,
            now: NOW,
        }
    }

    /// What people call the endpoint at a position.
    #[must_use]
    pub fn name(&self, position: usize) -> String {
        let named = self.names.get(position).cloned();
        let address = self.endpoints.get(position).map(|each| each.id.address);
        named
            .or_else(|| address.map(|address| address.to_string()))
            .unwrap_or_default()
    }

    /// What the gateway itself has in flight.
    #[must_use]
    pub fn own(&self) -> u32 {
        let own = self.local.iter().map(|local| local.in_flight.requests);
        own.sum()
    }

    /// What the others have in flight.
    #[must_use]
    pub fn others(&self) -> u32 {
        let others = self
            .endpoints
            .iter()
            .filter_map(|endpoint| endpoint.signals.others_in_flight);
        others.map(|others| others.value.requests).sum()
    }
}

fn find_pool<'a>(
    dump: &'a Dump,
    wanted: Option<&str>,
) -> Result<(String, &'a PoolDump), ExplainError> {
    let named = dump.pools.iter().filter_map(|pool| {
        let name = pool.snapshot.as_ref()?.pool.clone();
        Some((name, pool))
    });
    let named: Vec<_> = named.collect();
    let found = match (wanted, named.as_slice()) {
        (None, [only]) => Some(only),
        (None, _) => None,
        (Some(wanted), pools) => pools.iter().find(|(name, _)| name == wanted),
    };
    found.cloned().ok_or_else(|| {
        let there: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
        ExplainError::Pool {
            wanted: wanted.unwrap_or("(name one with --pool)").to_owned(),
            there: there.join(", "),
        }
    })
}

fn find_gateway<'a>(
    pool: &'a PoolDump,
    wanted: Option<&str>,
) -> Result<Option<&'a GatewayDump>, ExplainError> {
    let requests = |gateway: &&GatewayDump| -> u64 {
        let loads = gateway.report.iter().flat_map(|report| &report.loads);
        let in_flight = loads.filter_map(|load| load.in_flight.as_ref());
        in_flight.map(|load| u64::from(load.requests)).sum()
    };
    let Some(wanted) = wanted else {
        return Ok(pool.gateways.iter().max_by_key(requests));
    };
    let found = pool.gateways.iter().find(|gateway| gateway.id == wanted);
    found.map(Some).ok_or_else(|| {
        let there: Vec<&str> = pool.gateways.iter().map(|each| each.id.as_str()).collect();
        ExplainError::Gateway {
            wanted: wanted.to_owned(),
            there: there.join(", "),
        }
    })
}
