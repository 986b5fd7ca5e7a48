//! The cost model: the least predicted cost over all endpoints, in seconds.
//!
//! ```text
//!   signals (agent) ----.
//!   in-flight ledger ----+--> State now --.
//!   what came since -----'                 +--> formula --> cost --.
//!   prefix index ----> uncached tokens ----'                        +--> least, near ties drawn
//!   adapters --------> loading, waiting ---------------------------'
//! ```
//!
//! Between two scrapes everybody sees the same numbers, and a choice by them alone sends all requests
//! to the same minimum. Here every dispatch changes the state at once, in the ledger that all workers
//! of the Envoy share, so that the next request costs more there and less elsewhere; the signals
//! correct what the ledger cannot see.
//!
//! A prompt that nobody holds is drawn towards its rendezvous favourite by a part of its prefill, so
//! that a burst of one new prefix meets at one endpoint; once that is busier than the prefill is worth,
//! the rest goes elsewhere and carries the prefix along. So a hot prefix melts nobody. A session draws
//! in the same way where the prompt says nothing (it could not be read, or is shorter than a block):
//! what the endpoints' caches hold of it is unknown, so that it counts as a few turns of a chat.

mod adapter;
mod formula;
mod hope;
mod state;

#[cfg(test)]
mod tests;

#[cfg(feature = "explain")]
use self::formula::Prediction;
use self::{
    adapter::{Adapter, Recent, Standing},
    formula::{Demand, predict},
    hope::{Hope, Reuse},
    state::{Means, Moment, Sighting, State, Track},
};
use super::{Policy, Round, draw};
#[cfg(feature = "explain")]
use crate::explain::Terms;
use crate::{
    config::{CostConfig, PickerConfig},
    decision::{Decision, Estimate, Notes, Reason},
    entropy::Entropy,
    request::RequestFacts,
    score::{greater, lesser, sample},
    time::Millis,
};

/// How long a mean answer that the agent learned is used, in milliseconds.
const LEARNED_MS: u64 = 60_000;
/// More tokens than any answer has.
const MOST_OUTPUT: f32 = 1e6;
/// More than any sane cost, in seconds; what is no number counts as this.
const MOST_COST: f32 = 1e12;

/// The policy, with working space that is kept from pick to pick.
#[derive(Debug)]
pub(super) struct Cost {
    config: CostConfig,
    block_bytes: u32,
    /// What is remembered of each endpoint, by slot.
    memories: Vec<Memory>,
    reuse: Reuse,
    looks: Vec<Look>,
    /// Negative costs: the drawing wants the greatest first.
    gains: Vec<f32>,
    near: Vec<(usize, f32)>,
    /// The terms of the last decision, a candidate each.
    #[cfg(feature = "explain")]
    terms: Vec<Terms>,
}

/// What is remembered of one endpoint from pick to pick.
#[derive(Debug, Clone, Copy, Default)]
struct Memory {
    track: Track,
    recent: Recent,
}

/// One candidate, looked at for this request.
#[derive(Debug, Clone, Copy)]
struct Look {
    sighting: Sighting,
    /// How fast it is compared with its step model, by the answers that were seen.
    speed: f32,
    /// The tokens of the prompt that it would have to compute, as they count.
    uncached: f32,
    /// What it has to do for the adapter, if that is one.
    standing: Standing,
    /// What its cost is multiplied by: its price over the operator's weight.
    factor: f32,
}

/// What was seen of all candidates together.
#[derive(Debug, Default)]
struct Pool {
    means: Means,
    /// The least that any of them would have to compute.
    least_uncached: f32,
    /// What the agent learned of the length of answers: the sum and the count of endpoints.
    output: (f32, f32),
    /// How many have fresh signals, and whether any has signals that count.
    fresh: usize,
    any: bool,
    /// Whether other gateways serve the pool too.
    several: bool,
    /// How many of the first candidates do not know the adapter.
    unknown_to: usize,
}

impl Cost {
    pub(super) fn new(config: &PickerConfig) -> Self {
        Self {
            config: config.cost,
            block_bytes: config.prefix.block_bytes,
            memories: Vec::new(),
            reuse: Reuse::default(),
            looks: Vec::new(),
            gains: Vec::new(),
            near: Vec::new(),
            #[cfg(feature = "explain")]
            terms: Vec::new(),
        }
    }

    /// Looks at each candidate.
    fn look(
        &mut self,
        round: &Round<'_>,
        prompt: f32,
        mut adapter: Option<&mut Adapter<'_>>,
    ) -> Pool {
        let bound = round.slots.iter().max();
        let bound = bound.map_or(0, |slot| *slot as usize + 1);
        if self.memories.len() < bound {
            self.memories.resize(bound, Memory::default());
        }
        let moment = Moment {
            config: &self.config,
            ladder: round.ladder,
            now: round.view.now,
        };
        let hope = Hope::of(round, self.block_bytes, &self.config, prompt, self.reuse);
        let mut pool = Pool {
            least_uncached: f32::INFINITY,
            ..Pool::default()
        };
        let mut nobody = Memory::default();
        let tokens_per_byte = 1.0 / round.learned.bytes_per_token();
        let price_weight = self.config.price_weight;
        self.looks.clear();
        for (position, endpoint) in round.candidates.iter().zip(round.endpoints()) {
            let slot = round.slots.get(*position as usize).copied();
            let slot = slot.unwrap_or_default();
            let memory = self.memories.get_mut(slot as usize);
            let Memory { track, recent } = memory.unwrap_or(&mut nobody);
            let sighting = Sighting::take(&moment, endpoint, round.local(*position), track);
            let standing = adapter.as_mut().map_or(Standing::Loaded, |adapter| {
                let lora = endpoint.signals.lora.as_ref();
                if adapter.is_known_with(lora) {
                    adapter.standing(lora, recent, moment.ladder, moment.now)
                } else {
                    pool.unknown_to += 1;
                    Standing::Loaded
                }
            });
            let mut factor = 1.0;
            let weight = sample::capacity(endpoint);
            if weight != 1.0 {
                factor /= weight;
            }
            if price_weight > 0.0 {
                factor *= price(endpoint.price).powf(price_weight);
            }
            let mut hit = round.matched(*position) as f32 * tokens_per_byte;
            let mut unknown = 0.0;
            match hope {
                Some(hope) if hope.position == *position => {
                    hit = greater(hit, lesser(hope.tokens, prompt));
                }
                Some(hope) if hope.of_session => unknown = self.config.session_tokens,
                _ => {}
            }
            let uncached = greater(prompt - hit, self.config.least_uncached_tokens) + unknown;
            pool.means.add(&sighting);
            pool.least_uncached = lesser(pool.least_uncached, uncached);
            pool.fresh += usize::from(sighting.trust >= 1.0);
            pool.any |= sighting.trust > 0.0;
            pool.several |= endpoint.signals.others_in_flight.is_some();
            if let Some(output) = &endpoint.signals.mean_output_tokens
                && output.age_ms(moment.now) <= LEARNED_MS
                && (1.0..=MOST_OUTPUT).contains(&output.value)
            {
                pool.output.0 += output.value;
                pool.output.1 += 1.0;
            }
            self.looks.push(Look {
                sighting,
                speed: sighting.speed(round.learned.speed(slot)),
                uncached,
                standing,
                factor,
            });
        }
        // Those that were looked at before anybody knew the adapter.
        if let Some(adapter) = adapter.filter(|adapter| adapter.is_known()) {
            let candidates = round.candidates.iter().zip(round.endpoints());
            let early = candidates.zip(&mut self.looks).take(pool.unknown_to);
            for ((position, endpoint), look) in early {
                let slot = round.slots.get(*position as usize);
                let memory = slot.and_then(|slot| self.memories.get(*slot as usize));
                let recent = &memory.unwrap_or(&nobody).recent;
                let lora = endpoint.signals.lora.as_ref();
                look.standing = adapter.standing(lora, recent, moment.ladder, moment.now);
            }
        }
        pool
    }
}

#[cfg(feature = "explain")]
impl Look {
    fn terms(&self, state: &State, prediction: &Prediction, cost_s: f32) -> Terms {
        Terms {
            decoding: state.decoding,
            waiting: state.waiting,
            prefill_tokens: state.prefill_tokens,
            kv_tokens: state.kv_tokens,
            kv_capacity: state.kv_capacity,
            uncached_tokens: self.uncached,
            speed: self.speed,
            trust: self.sighting.trust,
            ttft_s: prediction.ttft,
            decode_s: prediction.decode,
            delay_s: prediction.delay,
            pressure_s: prediction.pressure,
            adapter_s: greater(cost_s / self.factor - prediction.cost, 0.0),
            factor: self.factor,
            cost_s,
        }
    }
}

impl Policy for Cost {
    fn decide(&mut self, round: &Round<'_>, entropy: &mut dyn Entropy) -> Decision {
        let (facts, learned) = (round.facts, round.learned);
        let prompt = learned.prompt_tokens(facts);
        let mut adapter = facts.model.as_deref().map(Adapter::new);
        let pool = self.look(round, prompt, adapter.as_mut());
        let adapter = adapter.filter(Adapter::is_known);
        let mean_output = match pool.output {
            (sum, count) if count > 0.0 => sum / count,
            _ => learned.mean_output_tokens(),
        };
        let limit = facts.max_tokens.map_or(MOST_OUTPUT, |most| most as f32);
        let demand = Demand {
            prompt,
            output: lesser(mean_output, greater(limit, 1.0)),
            mean_output,
            least_uncached: pool.least_uncached,
        };
        let silent = pool.means.silent(self.config.same_engine_factor);
        let mean_uncached = learned.mean_uncached_tokens();
        let state =
            |look: &Look| -> State { look.sighting.state(silent, mean_output, mean_uncached) };

        let config = &self.config;
        let mut least = MOST_COST;
        self.gains.clear();
        #[cfg(feature = "explain")]
        self.terms.clear();
        self.gains.extend(self.looks.iter().map(|look| {
            let state = state(look);
            let prediction = predict(config, &demand, &state, look.speed, look.uncached);
            let mut cost = prediction.cost;
            if adapter.is_some() {
                cost += adapter::cost(config, look.standing, state.decoding);
            }
            let cost = lesser(cost * look.factor, MOST_COST);
            #[cfg(feature = "explain")]
            self.terms.push(look.terms(&state, &prediction, cost));
            least = lesser(least, cost);
            -cost
        }));

        let near_tie = match pool.several {
            true => config.several_gateways_near_tie,
            false => config.near_tie,
        };
        let band = near_tie * least;
        let drawn = draw::best(&self.gains, band, round.choices, &mut self.near, entropy);
        let chosen = drawn.places().next();
        let chosen = chosen.and_then(|place| {
            let look = self.looks.get(place)?;
            Some((*round.candidates.get(place)?, *look))
        });
        let Some((position, look)) = chosen else {
            return Decision::none(Reason::NoEndpoints);
        };

        // What counted as cached because of the rendezvous is not.
        let hit = learned.tokens(round.matched(position).into());
        let uncached = greater(prompt - hit, lesser(prompt, config.least_uncached_tokens));
        let expected = predict(config, &demand, &state(&look), look.speed, uncached);
        let reason = if !pool.any {
            Reason::LeastInFlight
        } else if pool.fresh * 2 < self.looks.len() {
            Reason::AgeingSignals
        } else if round.matched(position) > 0 {
            Reason::PrefixHit
        } else if adapter.is_some() && look.standing == Standing::Loaded {
            Reason::LoraAffinity
        } else {
            Reason::LeastCost
        };
        let notes = Notes {
            held: !round.matched.is_empty(),
            adapter: adapter.is_some(),
        };
        Decision::new(reason, drawn.positions(round.candidates))
            .noting(notes)
            .expecting(Estimate {
                prompt_tokens: prompt as u32,
                uncached_tokens: uncached as u32,
                ttft_ms: expected.ttft * 1e3,
                total_ms: (expected.ttft + expected.decode) * 1e3,
            })
    }

    fn settled(&mut self, facts: &RequestFacts, slot: u32, now: Millis, decision: &Decision) {
        let notes = decision.notes();
        if !facts.prefix.is_empty() {
            self.reuse.see(notes.held);
        }
        if notes.adapter
            && let Some(model) = facts.model.as_deref()
            && let Some(memory) = self.memories.get_mut(slot as usize)
        {
            memory.recent.note(Adapter::new(model).fingerprint, now);
        }
    }

    fn wants_prefix(&self) -> bool {
        true
    }

    #[cfg(feature = "explain")]
    fn terms(&self) -> &[Terms] {
        &self.terms
    }

    fn forget(&mut self, slot: u32) {
        if let Some(memory) = self.memories.get_mut(slot as usize) {
            *memory = Memory::default();
        }
    }
}

/// A price that makes sense, or 1.
fn price(price: f32) -> f32 {
    if (0.01..=100.0).contains(&price) {
        price
    } else {
        1.0
    }
}
