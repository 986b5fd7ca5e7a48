//! What a LoRA adapter costs at an endpoint: nothing where it is in memory, its loading where there is
//! room, a wait where there is none.
//!
//! A scrape shows an adapter only while a request for it is there, and what was sent since the scrape
//! was taken not at all. So the adapters sent last are remembered: they count as there until a scrape
//! could show them, and as in memory afterwards, for as many of them as fit; engines keep an idle
//! adapter until another one needs its place. Without that a burst for one new adapter would load it
//! everywhere, and between two requests for a rare one its place would be forgotten.

use crate::{
    config::CostConfig,
    freshness::Ladder,
    policy::Round,
    score::lora::Names,
    signal::{LoraState, Signal},
    time::Millis,
};

/// How many adapters are remembered per endpoint; most engines are set up for fewer.
const REMEMBERED: usize = 8;
/// How many of them are in memory where the engine does not say how many fit.
const USUAL_SLOTS: u32 = 4;
/// How long a request needs from the pick to the scrape that shows it, beyond the scrape's own age, in
/// milliseconds.
const ON_THE_WAY_MS: u64 = 200;

/// The adapters that were sent to one endpoint last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Recent {
    sent: [(u64, Millis); REMEMBERED],
}

impl Recent {
    /// Notes a request for the adapter with this fingerprint.
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

    /// When a request for the adapter was last sent, and how many other adapters were sent since.
    fn last(&self, adapter: u64) -> Option<(Millis, usize)> {
        let (_, at) = self.sent.iter().find(|(name, _)| *name == adapter)?;
        let younger = self.sent.iter().filter(|(_, other)| other > at);
        Some((*at, younger.count()))
    }
}

/// The adapter that a request asks for.
#[derive(Debug)]
pub(super) struct Adapter<'a> {
    names: Names<'a>,
    pub(super) fingerprint: u64,
}

/// What an endpoint has to do for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Standing {
    /// Nothing: it is in use, or in memory and there is room.
    Loaded,
    /// Load it.
    Room,
    /// Let it wait for a place, as far as what the endpoint says still counts, `0.0..=1.0`.
    Full(f32),
}

impl<'a> Adapter<'a> {
    /// The adapter of this request; `None` when its model is no adapter of any candidate.
    pub(super) fn of(round: &Round<'a>) -> Option<Self> {
        let model = round.facts.model.as_deref()?;
        let mut names = Names::new(model);
        let known = round.endpoints().any(|endpoint| {
            let lora = endpoint.signals.lora.as_ref();
            lora.is_some_and(|Signal { value, .. }| {
                names.contain(&value.active)
                    || names.contain(&value.waiting)
                    || names.contain(&value.registered)
            })
        });
        known.then(|| Self {
            names,
            fingerprint: fingerprint(model),
        })
    }

    /// How it stands at an endpoint. One that does not tell of its adapters has to load it unless it
    /// was sent there lately: silence must not attract.
    pub(super) fn standing(
        &mut self,
        lora: Option<&Signal<LoraState>>,
        recent: &Recent,
        ladder: &Ladder,
        now: Millis,
    ) -> Standing {
        let trust = ladder.trust(lora, now);
        let last = recent.last(self.fingerprint);
        let Some(lora) = lora.filter(|_| trust > 0.0) else {
            let resident = last.is_some_and(|(_, younger)| younger < USUAL_SLOTS as usize);
            return if resident {
                Standing::Loaded
            } else {
                Standing::Room
            };
        };
        let LoraState {
            active,
            waiting,
            max,
            ..
        } = &lora.value;
        let unseen = |at: Millis| at.0.saturating_add(ON_THE_WAY_MS) > lora.taken_at.0;
        if self.names.contain(active) || last.is_some_and(|(at, _)| unseen(at)) {
            return Standing::Loaded;
        }
        let slots = if *max == 0 { USUAL_SLOTS } else { *max } as usize;
        let listed = |name: u64| {
            let mut there = active.iter().chain(waiting);
            there.any(|other| fingerprint(other) == name)
        };
        let mut taken = crate::score::lora::slots_taken(&lora.value);
        if *max > 0 && taken < slots {
            let sent = recent.sent.iter();
            let sent = sent.filter(|(name, at)| *name != 0 && unseen(*at) && !listed(*name));
            taken += sent.count();
        }
        if *max > 0 && taken >= slots {
            return Standing::Full(trust);
        }
        match last {
            Some((_, younger)) if younger < slots => Standing::Loaded,
            _ => Standing::Room,
        }
    }
}

/// What that costs, in weighted seconds, with so many requests decoding there: loading holds each of
/// them up.
pub(super) fn cost(config: &CostConfig, standing: Standing, decoding: f32) -> f32 {
    let load = config.lora_load_s * (1.0 + decoding);
    match standing {
        Standing::Loaded => 0.0,
        Standing::Room => load,
        Standing::Full(trust) => {
            load + trust * (config.ttft_weight * config.lora_wait_s + config.lora_full_s)
        }
    }
}

/// A number for a name, never 0: by its length and its first and last bytes, which adapters of one
/// engine hardly share. Two that do share it are taken for one and cost a worse pick.
fn fingerprint(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let fold = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let head = bytes.iter().take(12).fold(bytes.len() as u64, fold);
    let tail = bytes.iter().rev().take(12).fold(head, fold);
    tail.max(1)
}
