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
    score::lora::{Names, slots_taken},
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
    count: usize,
}

impl Recent {
    /// Notes a request for the adapter with this fingerprint.
    pub(super) fn note(&mut self, adapter: u64, now: Millis) {
        let known = self.iter().position(|(name, _)| *name == adapter);
        let place = known.unwrap_or_else(|| {
            if self.count < REMEMBERED {
                self.count += 1;
                return self.count - 1;
            }
            let times = self.sent.iter().enumerate();
            times.min_by_key(|(_, (_, at))| *at).map_or(0, |(at, _)| at)
        });
        if let Some(sent) = self.sent.get_mut(place) {
            *sent = (adapter, now);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(u64, Millis)> {
        self.sent.iter().take(self.count)
    }

    /// When a request for the adapter was last sent, and how many other adapters were sent since.
    pub(super) fn last(&self, adapter: u64) -> Option<(Millis, usize)> {
        let (_, at) = self.iter().find(|(name, _)| *name == adapter)?;
        let younger = self.iter().filter(|(_, other)| other > at);
        Some((*at, younger.count()))
    }
}

/// The model that a request asks for, and whether that is an adapter.
#[derive(Debug)]
pub(super) struct Adapter<'a> {
    names: Names<'a>,
    pub(super) fingerprint: u64,
    /// Whether an endpoint that was looked at has it: what nobody has is no adapter.
    is_known: bool,
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
    pub(super) fn new(model: &'a str) -> Self {
        Self {
            names: Names::new(model),
            fingerprint: fingerprint(model),
            is_known: false,
        }
    }

    /// Whether the endpoint's lists, or those of one that was looked at before, have the model.
    pub(super) fn is_known_with(&mut self, lora: Option<&Signal<LoraState>>) -> bool {
        if !self.is_known
            && let Some(Signal { value, .. }) = lora
        {
            self.is_known = self.names.contain(&value.active)
                || self.names.contain(&value.waiting)
                || self.names.contain(&value.registered);
        }
        self.is_known
    }

    /// Whether an endpoint that was looked at has the model.
    pub(super) fn is_known(&self) -> bool {
        self.is_known
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
        let last = recent.last(self.fingerprint);
        let is_young = |slots: u32| last.is_some_and(|(_, younger)| younger < slots as usize);
        let unless_resident = |resident: bool| match resident {
            true => Standing::Loaded,
            false => Standing::Room,
        };
        let Some(lora) = lora else {
            return unless_resident(is_young(USUAL_SLOTS));
        };
        let LoraState {
            active,
            waiting,
            max,
            ..
        } = &lora.value;
        let trust = ladder.trust(Some(lora), now);
        if trust == 0.0 {
            return unless_resident(is_young(USUAL_SLOTS));
        }
        let unseen = |at: Millis| at.0.saturating_add(ON_THE_WAY_MS) > lora.taken_at.0;
        if self.names.contain(active) || last.is_some_and(|(at, _)| unseen(at)) {
            return Standing::Loaded;
        }
        if *max == 0 {
            return unless_resident(is_young(USUAL_SLOTS));
        }
        let listed = |name: u64| {
            let mut there = active.iter().chain(waiting);
            there.any(|other| fingerprint(other) == name)
        };
        let sent = recent.iter();
        let sent = sent.filter(|(name, at)| unseen(*at) && !listed(*name));
        if slots_taken(&lora.value) + sent.count() >= *max as usize {
            Standing::Full(trust)
        } else {
            unless_resident(is_young(*max))
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
