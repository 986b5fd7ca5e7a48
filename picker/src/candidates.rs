//! Who may be picked at all.
//!
//! ```text
//!   all endpoints
//!     - not in the subset   never, whoever is left
//!     - draining            never, while any other endpoint is left
//!     - too short           not, while another can hold the prompt and the answer
//!     - adapter not there   not, while another has it
//!     - suspect             not, unless more than half of those left are suspect (panic threshold)
//!     = candidates
//! ```
//!
//! A suspect endpoint that can serve the request comes before a sound one that can only refuse it.
//!
//! When most of a pool looks broken, the view is likelier to be broken than the pool, and piling all
//! traffic onto the few endpoints that look well would break those too: then suspicion is ignored.
//!
//! One pass over the pool takes everybody in and notes whether there is anything to look at more
//! closely; as a rule there is not.

mod adapter;
mod context_length;
mod subset;

use self::context_length::Need;
use crate::{
    endpoint::{Endpoint, Health},
    freshness::Ladder,
    request::RequestFacts,
    view::PoolView,
};

/// Fills `candidates` with the positions of all endpoints that may be picked, in the view's order;
/// empty only when the view has no endpoint, or none in the request's subset.
pub(crate) fn select(
    view: &PoolView<'_>,
    facts: &RequestFacts,
    ladder: &Ladder,
    candidates: &mut Vec<u32>,
) {
    candidates.clear();
    match facts.subset.as_deref() {
        None => candidates.extend((0u32..).zip(view.endpoints).map(|(position, _)| position)),
        Some(entries) => {
            let named = |(position, endpoint): (u32, &Endpoint)| {
                subset::has(entries, endpoint.id.address).then_some(position)
            };
            candidates.extend((0u32..).zip(view.endpoints).filter_map(named));
        }
    }
    let need = Need::of(facts);
    let mut unwell = view.local.iter().any(|local| local.suspect);
    let (mut short, mut adapters) = (false, false);
    for endpoint in view.endpoints {
        unwell |= endpoint.health != Health::Ready;
        short |= !need.surely_fits(endpoint);
        adapters |= adapter::lists_any(endpoint);
    }

    if unwell {
        keep_if_any(candidates, |position| !is_draining(view, position));
    }
    if short {
        context_length::narrow(view, need, candidates);
    }
    if adapters && let Some(model) = facts.model.as_deref() {
        adapter::narrow(view, model, ladder, candidates);
    }
    if unwell {
        let sound = |position: &&u32| !is_suspect(view, **position);
        if candidates.iter().filter(sound).count() * 2 >= candidates.len() {
            keep_if_any(candidates, |position| !is_suspect(view, position));
        }
    }
}

/// Goes on with the candidates that `keeps` names; with all when it names none.
fn keep_if_any(candidates: &mut Vec<u32>, keeps: impl Fn(u32) -> bool) {
    if candidates.iter().any(|position| keeps(*position)) {
        candidates.retain(|position| keeps(*position));
    }
}

fn is_draining(view: &PoolView<'_>, position: u32) -> bool {
    let endpoint = view.endpoints.get(position as usize);
    endpoint.is_some_and(|endpoint| endpoint.health == Health::Draining)
}

/// Whether the agent or we ourselves suspect it; one that drains is not suspected as well.
fn is_suspect(view: &PoolView<'_>, position: u32) -> bool {
    let endpoint = view.endpoints.get(position as usize);
    match endpoint.map(|endpoint| endpoint.health) {
        Some(Health::Suspect) => true,
        Some(Health::Ready) => {
            let local = view.local.get(position as usize);
            local.is_some_and(|local| local.suspect)
        }
        Some(Health::Draining) | None => false,
    }
}

#[cfg(test)]
mod tests;
