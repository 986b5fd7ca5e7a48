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

/// The adapter is active.
pub(crate) const ACTIVE: f32 = 1.0;
/// A slot is free for it.
pub(crate) const ROOM: f32 = 0.8;
/// It waits for a slot.
pub(crate) const WAITING: f32 = 0.6;
/// None of these.
pub(crate) const NONE: f32 = 0.0;

/// Scores every candidate by what it has to do for the adapter; returns `false`, with `scores` of no
/// meaning, when the request's model is no adapter of any candidate.
pub(crate) fn score(round: &Round<'_>, scores: &mut Vec<Reading>) -> bool {
    scores.clear();
    let Some(model) = round.facts.model.as_deref() else {
        return false;
    };
    let mut names = Names::new(model);
    let mut known = false;
    scores.extend(round.endpoints().map(|endpoint| {
        let lora = endpoint.signals.lora.as_ref();
        let trust = round.ladder.trust(lora, round.view.now);
        match lora {
            Some(lora) if trust > 0.0 => {
                let (value, has) = standing(&lora.value, &mut names);
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
    lora.active.iter().any(|name| **name == *model)
}

/// An endpoint's score, `None` when its room for adapters is unknown, and whether it has the adapter
/// at all.
fn standing(lora: &LoraState, names: &mut Names<'_>) -> (Option<f32>, bool) {
    if names.contain(&lora.active) {
        return (Some(ACTIVE), true);
    }
    let waiting = names.contain(&lora.waiting);
    let registered = names.contain(&lora.registered);
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
pub(crate) fn slots_taken(lora: &LoraState) -> usize {
    let only_waiting = lora.waiting.iter().filter(|name| {
        let shared = |other: &Arc<str>| Arc::ptr_eq(other, name) || other == *name;
        !lora.active.iter().any(shared)
    });
    lora.active.len() + only_waiting.count()
}

/// Remembered verdicts, a power of two.
const VERDICTS: usize = 64;

/// Which names are the model's.
///
/// Endpoints of one snapshot share the strings of their adapters, so a name that was compared once
/// is known again by its address. Valid for one pick, during which no name can be freed.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    model: &'a str,
    verdicts: [(usize, bool); VERDICTS],
}

impl<'a> Names<'a> {
    pub(crate) fn new(model: &'a str) -> Self {
        Self {
            model,
            verdicts: [(0, false); VERDICTS],
        }
    }

    /// Whether the model is among `names`.
    pub(crate) fn contain(&mut self, names: &[Arc<str>]) -> bool {
        names
            .iter()
            .any(|name| name.len() == self.model.len() && self.is_model(name))
    }

    fn is_model(&mut self, name: &Arc<str>) -> bool {
        let address = Arc::as_ptr(name).cast::<u8>().addr();
        let verdict = self.verdicts.get_mut(address / 16 % VERDICTS);
        match verdict {
            Some((known, equal)) if *known == address => *equal,
            verdict => {
                let equal = **name == *self.model;
                if let Some(verdict) = verdict {
                    *verdict = (address, equal);
                }
                equal
            }
        }
    }
}
