//! The default policy: the reference's built-in scorers with the in-flight ledger on top.
//!
//! ```text
//!   total = queue 2 + KV cache 2 + prefix 3 + LoRA 2 + load 1        (the default weights)
//! ```
//!
//! As the view ages, what the signals say fades towards the pool's mean while the load, which the
//! ledger keeps current, gains the weight that queue and KV cache lose; prefix affinity ends with
//! them. A view that has expired is decided by the least in-flight requests per unit of weight.
//!
//! # Why no herd forms
//!
//! All picks between two scrapes, on all workers, see the same signals. A plain choice of the best
//! sends every one of them to the same endpoint. Here each pick raises the ledger, which all workers
//! of the Envoy share, and the next pick counts it as waiting and as load at once: together weight
//! 3, more than the 2 that KV-cache utilization can hold against it. A lead in KV cache is thus
//! worth a request or two, never a whole interval's traffic. What is equal within
//! [`NEAR_TIE`] is drawn.

use super::{Policy, Round, draw};
use crate::{
    config::{PickerConfig, Weights},
    decision::{Decision, Reason},
    entropy::Entropy,
    freshness::Freshness,
    score::{
        self, Reading, kv_cache, load, lora, prefix, queue,
        sample::{Baseline, Sample},
    },
};

/// Totals that differ by less than this share of the sum of all weights count as equal.
const NEAR_TIE: f32 = 0.005;

/// The weighted scorers, with working space that is kept from pick to pick.
#[derive(Debug)]
pub(crate) struct Scored {
    weights: Weights,
    block_bytes: u32,
    /// In-flight counts at the last scrape, by slot.
    baselines: Vec<Baseline>,
    samples: Vec<Sample>,
    scores: Vec<Reading>,
    loads: Vec<f32>,
    scratch: Vec<f32>,
    totals: Vec<f32>,
    near: Vec<(usize, f32)>,
}

impl Scored {
    pub(crate) fn new(config: &PickerConfig) -> Self {
        Self {
            weights: config.weights,
            block_bytes: config.prefix.block_bytes,
            baselines: Vec::new(),
            samples: Vec::new(),
            scores: Vec::new(),
            loads: Vec::new(),
            scratch: Vec::new(),
            totals: Vec::new(),
            near: Vec::new(),
        }
    }

    fn take_samples(&mut self, round: &Round<'_>) {
        let bound = round
            .slots
            .iter()
            .max()
            .map_or(0, |slot| *slot as usize + 1);
        if self.baselines.len() < bound {
            self.baselines.resize(bound, Baseline::default());
        }
        let mut nobody = Baseline::default();
        self.samples.clear();
        for (position, endpoint) in round.candidates.iter().zip(round.endpoints()) {
            let slot = round.slots.get(*position as usize);
            let baseline = slot
                .and_then(|slot| self.baselines.get_mut(*slot as usize))
                .unwrap_or(&mut nobody);
            let local = round.local(*position);
            let now = round.view.now;
            let sample = Sample::take(endpoint, local, baseline, round.ladder, now);
            self.samples.push(sample);
        }
    }

    /// How much the candidates' signals count on the whole, and where that stands on the ladder:
    /// fresh while at least half of the candidates are, expired when none says anything.
    fn freshness(&self) -> (f32, Freshness) {
        let trust: f32 = self.samples.iter().map(|sample| sample.trust).sum();
        let fresh = self.samples.iter().filter(|sample| sample.trust >= 1.0);
        let class = if trust <= 0.0 {
            Freshness::Expired
        } else if fresh.count() * 2 >= self.samples.len() {
            Freshness::Fresh
        } else {
            Freshness::Ageing
        };
        (trust / self.samples.len().max(1) as f32, class)
    }
}

impl Policy for Scored {
    fn decide(&mut self, round: &Round<'_>, entropy: &mut dyn Entropy) -> Decision {
        self.take_samples(round);
        let (freshness, class) = self.freshness();
        let weights = self.weights;
        let (samples, scores, totals) = (&self.samples, &mut self.scores, &mut self.totals);
        totals.clear();
        totals.resize(samples.len(), 0.0);

        let mut has_prefix = false;
        let mut has_adapter = false;
        if class != Freshness::Expired {
            let loads = &mut self.loads;
            if queue::score(samples, &mut self.scratch, loads, scores) {
                score::add_faded(totals, scores, weights.queue * freshness);
            }
            kv_cache::score(samples, scores);
            score::add_faded(totals, scores, weights.kv_cache);
            has_prefix =
                weights.prefix > 0.0 && prefix::score(round, self.block_bytes, samples, scores);
            if has_prefix {
                score::add_faded(totals, scores, weights.prefix * freshness);
            }
            has_adapter = weights.lora > 0.0 && lora::score(round, scores);
            if has_adapter {
                score::add_faded(totals, scores, weights.lora);
            }
        }
        load::score(
            samples,
            freshness,
            &mut self.scratch,
            &mut self.loads,
            scores,
        );
        let gained = (1.0 - freshness) * (weights.queue + weights.kv_cache).max(1.0);
        score::add_faded(totals, scores, weights.load + gained);

        let sum = weights.queue + weights.kv_cache + weights.prefix + weights.lora + weights.load;
        let drawn = draw::best(
            totals,
            NEAR_TIE * sum,
            round.choices,
            &mut self.near,
            entropy,
        );
        let mut positions = drawn
            .places()
            .filter_map(|place| round.candidates.get(place))
            .map(|position| *position as usize)
            .peekable();
        let reason = match class {
            Freshness::Expired => Reason::LeastInFlight,
            Freshness::Ageing => Reason::AgeingSignals,
            Freshness::Fresh => positions.peek().map_or(Reason::BestScore, |first| {
                why(round, *first, has_prefix, has_adapter)
            }),
        };
        Decision::new(reason, positions)
    }

    fn wants_prefix(&self) -> bool {
        self.weights.prefix > 0.0
    }

    fn forget(&mut self, slot: u32) {
        if let Some(baseline) = self.baselines.get_mut(slot as usize) {
            *baseline = Baseline::default();
        }
    }
}

/// What speaks most plainly for the endpoint at `position` under fresh signals.
fn why(round: &Round<'_>, position: usize, has_prefix: bool, has_adapter: bool) -> Reason {
    let matched = u32::try_from(position).map_or(0, |position| round.matched(position));
    if has_prefix && matched > 0 {
        return Reason::PrefixHit;
    }
    let endpoint = round.view.endpoints.get(position);
    let lora = endpoint.and_then(|endpoint| endpoint.signals.lora.as_ref());
    match (lora, round.facts.model.as_deref()) {
        (Some(lora), Some(model)) if has_adapter && lora::is_active(&lora.value, model) => {
            Reason::LoraAffinity
        }
        _ => Reason::BestScore,
    }
}
