//! LoRA affinity: 1.0 where the adapter is active, 0.8 where a slot is free for it, 0.6 where it
//! waits, 0 elsewhere, as in the reference.
//!
//! Three things differ from the reference. A model that is no adapter anywhere scores the same
//! everywhere: base-model requests need no slot. An adapter that is registered but idle is an
//! adapter too, and an endpoint that lists its adapters without this one scores 0, since it could
//! only refuse. Adapters that are both active and waiting take one slot, not two (vLLM 0.11 and
//! later report the same list twice).

use std::sync::Arc;

use super::Reading;
use crate::{policy::Round, signal::LoraState};

const ACTIVE: f32 = 1.0;
const ROOM: f32 = 0.8;
const WAITING: f32 = 0.6;
const NONE: f32 = 0.0;

/// Scores every candidate by what it has to do for the adapter; returns `false`, with `scores` of no
/// meaning, when the request's model is no adapter of any candidate.
pub(crate) fn score(round: &Round<'_>, scores: &mut Vec<Reading>) -> bool {
    scores.clear();
    let Some(model) = round.facts.model.as_deref() else {
        return false;
    };
    let mut known = false;
    scores.extend(round.endpoints().map(|endpoint| {
        let lora = endpoint.signals.lora.as_ref();
        let trust = round.ladder.trust(lora, round.view.now);
        match lora {
            Some(lora) if trust > 0.0 => {
                let (value, has) = standing(&lora.value, model);
                known |= has;
                value.map_or(Reading::UNKNOWN, |value| Reading::new(value, trust))
            }
            _ => Reading::UNKNOWN,
        }
    }));
    known
}

/// Whether the adapter is active here.
pub(crate) fn is_active(lora: &LoraState, model: &str) -> bool {
    lists(&lora.active, model)
}

/// An endpoint's score, `None` when its room for adapters is unknown, and whether it has the adapter
/// at all.
fn standing(lora: &LoraState, model: &str) -> (Option<f32>, bool) {
    if lists(&lora.active, model) {
        return (Some(ACTIVE), true);
    }
    let waiting = lists(&lora.waiting, model);
    let registered = lists(&lora.registered, model);
    if !waiting && !registered && !lora.registered.is_empty() {
        return (Some(NONE), false);
    }
    let score = if lora.max == 0 {
        waiting.then_some(WAITING)
    } else if slots_taken(lora) < lora.max as usize {
        Some(ROOM)
    } else if waiting {
        Some(WAITING)
    } else {
        Some(NONE)
    };
    (score, waiting || registered)
}

/// How many distinct adapters are active or waiting.
fn slots_taken(lora: &LoraState) -> usize {
    let only_waiting = lora.waiting.iter().filter(|name| {
        let shared = |other: &Arc<str>| Arc::ptr_eq(other, name) || other == *name;
        !lora.active.iter().any(shared)
    });
    lora.active.len() + only_waiting.count()
}

/// Names of one deployment tend to be equally long and to differ at their end, so the last byte
/// tells most of them apart without a look at the rest.
fn lists(names: &[Arc<str>], model: &str) -> bool {
    names.iter().any(|name| {
        name.len() == model.len()
            && name.as_bytes().last() == model.as_bytes().last()
            && **name == *model
    })
}
