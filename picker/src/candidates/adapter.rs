//! LoRA adapters: an engine refuses an adapter that it does not have.

use crate::{
    endpoint::Endpoint,
    freshness::Ladder,
    signal::{LoraState, Signal},
    view::PoolView,
};

/// Whether the endpoint says which adapters it has.
pub(super) fn lists_any(endpoint: &Endpoint) -> bool {
    let lora = endpoint.signals.lora.as_ref();
    lora.is_some_and(|lora| !lora.value.registered.is_empty())
}

/// When the model is an adapter that a candidate lists, leaves out those that by their own fresh list
/// do not have it. Who does not list its adapters may have it.
pub(super) fn narrow(view: &PoolView<'_>, model: &str, ladder: &Ladder, candidates: &mut Vec<u32>) {
    let lora = |position: u32| {
        let endpoint = view.endpoints.get(position as usize)?;
        endpoint.signals.lora.as_ref()
    };
    let trust = |lora: &Signal<LoraState>| ladder.trust(Some(lora), view.now);
    let mut lists = candidates.iter().filter_map(|position| lora(*position));
    let found = lists.find_map(|lora| {
        let place = place_of(&lora.value, model)?;
        (trust(lora) > 0.0).then_some(place)
    });
    if let Some(mut usual) = found {
        candidates.retain(|position| {
            lora(*position).is_none_or(|lora| {
                is_listed(&lora.value, model, &mut usual)
                    || trust(lora) < 1.0
                    || may_have(&lora.value, model)
            })
        });
    }
}

/// Where the adapter stands in an endpoint's list.
fn place_of(lora: &LoraState, model: &str) -> Option<usize> {
    lora.registered.iter().position(|name| **name == *model)
}

/// Whether the endpoint lists the adapter. Most lists are alike, so the `usual` place is looked at
/// first.
fn is_listed(lora: &LoraState, model: &str, usual: &mut usize) -> bool {
    let there = lora.registered.get(*usual);
    if there.is_some_and(|name| **name == *model) {
        return true;
    }
    let place = place_of(lora, model);
    *usual = place.unwrap_or(*usual);
    place.is_some()
}

/// Whether an endpoint that does not list the adapter may have it all the same: without a list, or
/// when the adapter is in use and the list older.
fn may_have(lora: &LoraState, model: &str) -> bool {
    let mut in_use = lora.active.iter().chain(&lora.waiting);
    lora.registered.is_empty() || in_use.any(|name| **name == *model)
}
