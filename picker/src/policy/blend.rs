//! The reference's blend of scraped metrics, to the letter. A baseline for comparison, not for use:
//! between two scrapes every request chases the same minimum.
//!
//! ```text
//!   total = queue 2 + KV cache 2 + prefix 3 (+ LoRA 1)       the greatest wins, equal ones are drawn
//!
//!     queue      (max - waiting) / (max - min), 1 when all are equal
//!     KV cache   1 - utilization
//!     prefix     cached share of the prompt's whole blocks
//!     LoRA       active 1.0, else room 0.8, else waiting 0.6, else 0
//!     in-flight  like the queue, over this gateway's own requests   (Higress only)
//! ```
//!
//! Metrics are taken as they were scraped, however old; what was never scraped looks idle. Neither
//! the ledger nor the operator's weight counts.
//!
//! The reference's built-in configuration has no LoRA scorer; one that is added without a weight
//! gets 1, and its own test configuration has 1. Without it a pool with many adapters collapses
//! (the scheduling study), so the stronger variant is what we compare with. It counts only when the
//! request's model is an adapter at some candidate: the reference also prefers endpoints with a free
//! slot for requests of the base model, which need none.

use super::{Policy, Round, draw, hit};
use crate::{
    config::PrefixConfig,
    decision::{Decision, Reason},
    entropy::Entropy,
    score::{lesser, lora, range::Range},
    signal::{LoraState, Signal},
};

/// How much each scorer counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights {
    pub(super) queue: f32,
    pub(super) kv_cache: f32,
    pub(super) prefix: f32,
    pub(super) lora: f32,
    pub(super) in_flight: f32,
}

/// The built-in weights of the reference since its v1.5.
const BUILT_IN: Weights = Weights {
    queue: 2.0,
    kv_cache: 2.0,
    prefix: 3.0,
    lora: 1.0,
    in_flight: 0.0,
};

/// A weighted sum of the reference's scorers.
#[derive(Debug)]
pub(crate) struct Blend {
    weights: Weights,
    block_bytes: u32,
    totals: Vec<f32>,
    near: Vec<(usize, f32)>,
}

impl Blend {
    pub(crate) fn new(prefix: &PrefixConfig) -> Self {
        Self::weighted(BUILT_IN, prefix)
    }

    pub(super) fn weighted(weights: Weights, prefix: &PrefixConfig) -> Self {
        Self {
            weights,
            block_bytes: prefix.block_bytes,
            totals: Vec::new(),
            near: Vec::new(),
        }
    }
}

impl Policy for Blend {
    fn decide(&mut self, round: &Round<'_>, entropy: &mut dyn Entropy) -> Decision {
        let Weights {
            queue,
            kv_cache,
            prefix,
            lora,
            in_flight,
        } = self.weights;
        let adapter = adapter(round).filter(|_| lora > 0.0);
        let own = |position: &u32| round.local(*position).in_flight.requests as f32;
        let queues = Range::whole(round.endpoints().map(|pod| scraped(pod.signals.waiting)));
        let loads = Range::whole(round.candidates.iter().map(own));

        self.totals.clear();
        let candidates = round.candidates.iter().zip(round.endpoints());
        self.totals.extend(candidates.map(|(position, pod)| {
            let free = 1.0 - lesser(scraped(pod.signals.kv_usage), 1.0);
            let affinity = adapter.map_or(0.0, |model| affinity(lora_of(pod), model));
            queue * queues.less_is_better(scraped(pod.signals.waiting))
                + kv_cache * free
                + prefix * hit::share(round, *position, self.block_bytes)
                + lora * affinity
                + in_flight * loads.less_is_better(own(position))
        }));
        let drawn = draw::best(&self.totals, 0.0, round.choices, &mut self.near, entropy);
        let mut ranked = drawn.positions(round.candidates).peekable();
        let reason = ranked.peek().map_or(Reason::BestScore, |first| {
            let active = |model| {
                let lora = round.view.endpoints.get(*first).and_then(lora_of);
                lora.is_some_and(|lora| lora::is_active(lora, model))
            };
            if u32::try_from(*first).is_ok_and(|first| round.matched(first) > 0) {
                Reason::PrefixHit
            } else if adapter.is_some_and(active) {
                Reason::LoraAffinity
            } else {
                Reason::BestScore
            }
        });
        Decision::new(reason, ranked)
    }

    fn wants_prefix(&self) -> bool {
        self.weights.prefix > 0.0
    }
}

/// The last value of a gauge; 0 when it was never scraped or makes no sense.
fn scraped(signal: Option<Signal<f32>>) -> f32 {
    match signal {
        Some(Signal { value, .. }) if (0.0..=f32::MAX).contains(&value) => value,
        _ => 0.0,
    }
}

fn lora_of(endpoint: &crate::endpoint::Endpoint) -> Option<&LoraState> {
    endpoint.signals.lora.as_ref().map(|lora| &lora.value)
}

/// The request's model, if it is an adapter at some candidate.
fn adapter<'a>(round: &Round<'a>) -> Option<&'a str> {
    let model = round.facts.model.as_deref()?;
    let known = round.endpoints().filter_map(lora_of).any(|lora| {
        let lists = [&lora.active, &lora.waiting, &lora.registered];
        lists.into_iter().flatten().any(|name| **name == *model)
    });
    known.then_some(model)
}

/// The reference's LoRA affinity: an adapter that is active and waiting takes two slots.
fn affinity(lora: Option<&LoraState>, model: &str) -> f32 {
    let Some(lora) = lora else {
        return lora::NONE;
    };
    if lora::is_active(lora, model) {
        lora::ACTIVE
    } else if lora.active.len() + lora.waiting.len() < lora.max as usize {
        lora::ROOM
    } else if lora.waiting.iter().any(|name| **name == *model) {
        lora::WAITING
    } else {
        lora::NONE
    }
}

#[cfg(test)]
mod tests;
