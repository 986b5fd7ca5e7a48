//! A gateway's own load, so that other gateways see it.

use std::collections::BTreeSet;

use picker::{EndpointId, InFlight};

use super::{check_pool_name, id_from_proto, id_to_proto};
use crate::{
    error::{ContractError, Problem},
    limits, proto,
};

/// A checked in-flight report of one gateway for one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The pool.
    pub pool: String,
    /// Its endpoints with load, each once; all others have none.
    pub loads: Vec<(EndpointId, InFlight)>,
}

/// A gateway's load as it travels.
#[must_use]
pub fn report_to_proto(
    pool: &str,
    loads: impl IntoIterator<Item = (EndpointId, InFlight)>,
) -> proto::InFlightReport {
    proto::InFlightReport {
        pool: pool.to_owned(),
        loads: loads
            .into_iter()
            .map(|(id, load)| proto::EndpointLoad {
                id: Some(id_to_proto(id)),
                in_flight: Some(in_flight_to_proto(load)),
            })
            .collect(),
    }
}

/// A gateway's load, checked. A load that cannot be true (see [`limits::in_flight`]) says nothing
/// and is left out.
///
/// # Errors
/// When the pool's name or an endpoint's identity is malformed, one endpoint occurs twice or there
/// are more than [`limits::MAX_ENDPOINTS`].
pub fn report_from_proto(raw: proto::InFlightReport) -> Result<Report, ContractError> {
    const WHERE: &str = "in_flight";
    check_pool_name(&raw.pool).map_err(|error| error.within(WHERE))?;
    if raw.loads.len() > limits::MAX_ENDPOINTS {
        let problem = Problem::TooMany {
            count: raw.loads.len(),
            limit: limits::MAX_ENDPOINTS,
        };
        return Err(problem.at("in_flight.loads"));
    }
    let mut seen = BTreeSet::new();
    let mut loads = Vec::with_capacity(raw.loads.len());
    for (index, load) in raw.loads.into_iter().enumerate() {
        let place = || format!("{WHERE}.loads[{index}].id");
        let id = load.id.ok_or_else(|| Problem::Missing.at(&place()))?;
        let id = id_from_proto(&id).map_err(|error| error.within(&place()))?;
        if !seen.insert(id) {
            return Err(Problem::Duplicate(id.address).at(&place()));
        }
        let in_flight = in_flight_from_proto(load.in_flight.unwrap_or_default());
        if let Some(in_flight) = limits::in_flight(in_flight) {
            loads.push((id, in_flight));
        }
    }
    Ok(Report {
        pool: raw.pool,
        loads,
    })
}

pub(super) const fn in_flight_to_proto(load: InFlight) -> proto::InFlight {
    proto::InFlight {
        requests: load.requests,
        tokens: load.tokens,
        prefilling: load.prefilling,
        prefill_tokens: load.prefill_tokens,
    }
}

pub(super) const fn in_flight_from_proto(raw: proto::InFlight) -> InFlight {
    InFlight {
        requests: raw.requests,
        tokens: raw.tokens,
        prefilling: raw.prefilling,
        prefill_tokens: raw.prefill_tokens,
    }
}
