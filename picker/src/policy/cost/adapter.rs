//! What a LoRA adapter costs at an endpoint: nothing where it is loaded, its loading where there is
//! room, a wait where there is none.
//!
//! A scrape shows an adapter only once a request for it runs, and the next request for it is here
//! before that. So what was sent lately counts as loaded too; without that a burst for one new adapter
//! would load it everywhere.

use xxhash_rust::xxh64::xxh64;

use crate::{
    config::CostConfig,
    freshness::Ladder,
    policy::Round,
    signal::{LoraState, Signal},
    time::Millis,
};

/// How many adapters are remembered per endpoint; more than engines hold at once.
const REMEMBERED: usize = 8;
/// How long an adapter counts as loaded after a request for it was sent, in milliseconds, unless a
/// scrape shows it: longer than most requests take to be admitted.
const REMEMBERED_MS: u64 = 2_000;

/// The adapters that were sent to one endpoint lately.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recent {
    sent: [(u64, Millis); REMEMBERED],
}

impl Recent {
    /// Notes a request for `adapter`.
    pub(super) fn note(&mut self, adapter: u64, now: Millis) {
        let known = self.sent.iter().position(|(name, _)| *name == adapter);
        let oldest = || {
            let times = self.sent.iter().enumerate();
            times.min_by_key(|(_, (_, at))| *at).map_or(0, |(at, _)| at)
        };
        let place = known.unwrap_or_else(oldest);
        if let Some(sent) = self.sent.get_mut(place) {
            *sent = (adapter, now);
        }
    }

    fn lately(&self, now: Millis) -> impl Iterator<Item = u64> {
        self.sent
            .iter()
            .filter(move |(name, at)| *name != 0 && now.since(*at) <= REMEMBERED_MS)
            .map(|(name, _)| *name)
    }
}

/// The adapter that a request asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adapter<'a> {
    model: &'a str,
    pub(super) hash: u64,
}

/// What an endpoint has to do for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing.
    Loaded,
    /// Load it.
    Room,
    /// Wait for a slot.
    Full,
}

impl<'a> Adapter<'a> {
    /// The adapter of this request; `None` when its model is no adapter of any candidate.
    pub(super) fn of(round: &Round<'a>) -> Option<Self> {
        let model = round.facts.model.as_deref()?;
        let known = round.endpoints().any(|endpoint| {
            endpoint.signals.lora.as_ref().is_some_and(|lora| {
                let LoraState {
                    active,
                    waiting,
                    registered,
                    ..
                } = &lora.value;
                let mut names = active.iter().chain(waiting).chain(registered);
                names.any(|name| **name == *model)
            })
        });
        known.then(|| Self {
            model,
            // Zero marks an empty place.
            hash: xxh64(model.as_bytes(), 0).max(1),
        })
    }

    /// How it stands at an endpoint. Unknown is taken for loaded, so that silence costs nothing.
    pub(super) fn standing(
        &self,
        lora: Option<&Signal<LoraState>>,
        recent: &Recent,
        ladder: &Ladder,
        now: Millis,
    ) -> Standing {
        let Some(lora) = lora.filter(|lora| ladder.weight(lora.age_ms(now)) > 0.0) else {
            return Standing::Loaded;
        };
        let LoraState { active, max, .. } = &lora.value;
        if active.iter().any(|name| **name == *self.model)
            || recent.lately(now).any(|name| name == self.hash)
        {
            return Standing::Loaded;
        }
        let hash = |name: &std::sync::Arc<str>| xxh64(name.as_bytes(), 0).max(1);
        let unseen = recent
            .lately(now)
            .filter(|sent| !active.iter().any(|name| hash(name) == *sent));
        if *max == 0 || active.len() + unseen.count() < *max as usize {
            Standing::Room
        } else {
            Standing::Full
        }
    }
}

/// What that costs, in weighted seconds, with so many requests decoding there.
pub(super) fn cost(config: &CostConfig, standing: Standing, decoding: f32) -> f32 {
    // Loading holds every request of the batch up, at a tenth of the weight of a first token.
    let load = config.ttft_weight * 0.1 * config.lora_load_s * (1.0 + decoding);
    match standing {
        Standing::Loaded => 0.0,
        Standing::Room => load,
        Standing::Full => load + config.ttft_weight * config.lora_wait_s + config.lora_full_s,
    }
}
