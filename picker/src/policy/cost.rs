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
//! correct what the ledger cannot see. The model and its constants come from the scheduling study that
//! `docs/decision.md` tells of.
//!
//! A prompt that nobody holds is drawn towards its rendezvous favourite by a part of its prefill, so
//! that a burst of one new prefix meets at one endpoint; once that is busier than the prefill is worth,
//! the rest goes elsewhere and carries the prefix along. So a hot prefix melts nobody.

mod adapter;
mod formula;
mod state;

#[cfg(test)]
mod tests;

use self::{
    adapter::{Adapter, Recent, Standing},
    formula::{Demand, Prediction, predict},
    state::{Common, State, Track},
};
use super::{Policy, Round, draw};
use crate::{
    config::{CostConfig, PickerConfig},
    decision::{Decision, Estimate, Reason},
    entropy::Entropy,
    learn::{Completion, Mean, SpeedFactor},
    rendezvous,
    score::{greater, lesser},
};

/// The most prompt tokens that are believed.
const MOST_PROMPT: f32 = 1e7;
/// How long a learned mean answer is used after it was last confirmed, in milliseconds.
const LEARNED_MS: u64 = 60_000;

/// The policy, with working space that is kept from pick to pick.
#[derive(Debug)]
pub(super) struct Cost {
    config: CostConfig,
    block_bytes: u32,
    /// What is remembered of each endpoint, by slot.
    endpoints: Vec<Memory>,
    bytes_per_token: Mean,
    mean_output: Mean,
    /// Uncached prompt tokens of the requests that were sent.
    mean_uncached: Mean,
    states: Vec<(State, f32)>,
    /// Negative costs: the drawing wants the greatest first.
    gains: Vec<f32>,
    near: Vec<(usize, f32)>,
}

/// What is remembered of one endpoint from pick to pick.
#[derive(Debug, Clone, Default)]
struct Memory {
    track: Track,
    recent: Recent,
    speed: SpeedFactor,
}

impl Cost {
    pub(super) fn new(config: &PickerConfig) -> Self {
        Self {
            config: config.cost,
            block_bytes: config.prefix.block_bytes,
            endpoints: Vec::new(),
            bytes_per_token: Mean::new(config.cost.bytes_per_token, 0.5, 64.0),
            mean_output: Mean::new(config.cost.mean_output_tokens, 1.0, 1e5),
            mean_uncached: Mean::new(config.cost.mean_output_tokens, 1.0, 1e5),
            states: Vec::new(),
            gains: Vec::new(),
            near: Vec::new(),
        }
    }

    /// The mean answer in tokens: what the endpoints' counters say, else what the answers showed.
    fn mean_output(&self, round: &Round<'_>) -> f32 {
        let now = round.view.now;
        let (mut sum, mut count) = (0.0, 0.0);
        for endpoint in round.endpoints() {
            if let Some(signal) = &endpoint.signals.mean_output_tokens
                && signal.age_ms(now) <= LEARNED_MS
                && (1.0..=1e5).contains(&signal.value)
            {
                sum += signal.value;
                count += 1.0;
            }
        }
        if count > 0.0 {
            sum / count
        } else {
            self.mean_output.get()
        }
    }

    /// Fills `states` with each candidate's state and the tokens it would have to compute; returns the
    /// least of those.
    fn look(&mut self, round: &Round<'_>, common: &Common<'_>, prompt: f32) -> f32 {
        let bound = round
            .slots
            .iter()
            .max()
            .map_or(0, |slot| *slot as usize + 1);
        if self.endpoints.len() < bound {
            self.endpoints.resize_with(bound, Memory::default);
        }
        let known = round.facts.prompt_bytes > 0;
        let cold = round.matched.is_empty();
        let favourite = if cold { self.favourite(round) } else { None };
        let per_byte = 1.0 / self.bytes_per_token.get();
        let mut least = f32::INFINITY;
        let mut nobody = Memory::default();
        self.states.clear();
        for (position, endpoint) in round.candidates.iter().zip(round.endpoints()) {
            let memory = slot_of(round, *position)
                .and_then(|slot| self.endpoints.get_mut(slot))
                .unwrap_or(&mut nobody);
            // What the agent learned of an endpoint's steps is its speed already.
            let speed = match endpoint.signals.step_model {
                Some(_) => 1.0,
                None => memory.speed.get(),
            };
            let local = round.local(*position);
            let state = State::estimate(common, endpoint, local, speed, &mut memory.track);
            let hit = if !known {
                0.0
            } else if favourite == Some(*position) {
                self.config.rendezvous_discount * prompt
            } else {
                round.matched(*position) as f32 * per_byte
            };
            let uncached = greater(prompt - hit, self.config.least_uncached_tokens);
            least = lesser(least, uncached);
            self.states.push((state, uncached));
        }
        least
    }

    /// Who should hold a prompt that nobody holds: everybody names the same.
    fn favourite(&self, round: &Round<'_>) -> Option<u32> {
        let key = rendezvous::key_of(round.facts, self.block_bytes).or(round.facts.session)?;
        rendezvous::favourite(key, round)
    }
}

/// The slot of the endpoint at `position`.
fn slot_of(round: &Round<'_>, position: u32) -> Option<usize> {
    round
        .slots
        .get(position as usize)
        .map(|slot| *slot as usize)
}

impl Policy for Cost {
    fn decide(&mut self, round: &Round<'_>, entropy: &mut dyn Entropy) -> Decision {
        let now = round.view.now;
        let mean_output = self.mean_output(round);
        let config = self.config;
        let common = Common {
            config: &config,
            ladder: round.ladder,
            now,
            mean_output,
            mean_uncached: self.mean_uncached.get(),
        };
        let facts = round.facts;
        let prompt = if facts.prompt_bytes > 0 {
            let tokens = facts.prompt_bytes as f32 / self.bytes_per_token.get();
            lesser(greater(tokens, 1.0), MOST_PROMPT)
        } else {
            self.mean_uncached.get()
        };
        let output = match facts.max_tokens {
            Some(limit) => lesser(mean_output, greater(limit as f32, 1.0)),
            None => mean_output,
        };
        let demand = Demand {
            prompt,
            output,
            mean_output,
            least_uncached: self.look(round, &common, prompt),
        };

        let adapter = Adapter::of(round);
        let mut least = f32::INFINITY;
        self.gains.clear();
        let candidates = round.candidates.iter().zip(round.endpoints());
        for ((position, endpoint), (state, uncached)) in candidates.zip(&self.states) {
            let mut cost = predict(&config, &demand, state, *uncached).cost;
            if let Some(adapter) = &adapter {
                let memory = slot_of(round, *position).and_then(|slot| self.endpoints.get(slot));
                let recent = memory.map_or_else(Recent::default, |memory| memory.recent);
                let lora = endpoint.signals.lora.as_ref();
                let standing = adapter.standing(lora, &recent, round.ladder, now);
                cost += adapter::cost(&config, standing, state.decoding);
            }
            if config.price_weight > 0.0 {
                cost *= price(endpoint.price).powf(config.price_weight);
            }
            least = lesser(least, cost);
            self.gains.push(-cost);
        }

        let band = config.near_tie * least;
        let drawn = draw::best(&self.gains, band, round.choices, &mut self.near, entropy);
        let mut positions = drawn.positions(round.candidates).peekable();
        let first = positions.peek().copied();
        let chosen = drawn
            .places()
            .next()
            .and_then(|place| self.states.get(place));
        let Some((first, (state, uncached))) = first.zip(chosen.copied()) else {
            return Decision::none(Reason::NoEndpoints);
        };
        let Prediction { ttft, decode, .. } = predict(&config, &demand, &state, uncached);
        if let Some(adapter) = &adapter
            && let Some(slot) = round.slots.get(first)
            && let Some(memory) = self.endpoints.get_mut(*slot as usize)
        {
            memory.recent.note(adapter.hash, now);
        }
        if facts.prompt_bytes > 0 {
            self.mean_uncached.see(uncached);
        }
        let reason = self.reason(round, first, adapter.as_ref());
        Decision::new(reason, positions).expecting(Estimate {
            prompt_tokens: prompt as u32,
            uncached_tokens: lesser(uncached, prompt) as u32,
            ttft_ms: ttft * 1e3,
            total_ms: (ttft + decode) * 1e3,
        })
    }

    fn wants_prefix(&self) -> bool {
        true
    }

    fn forget(&mut self, slot: u32) {
        if let Some(memory) = self.endpoints.get_mut(slot as usize) {
            *memory = Memory::default();
        }
    }

    fn completed(&mut self, completion: &Completion, slot: Option<u32>) {
        if let Some(tokens) = completion.prompt_tokens
            && tokens > 0
            && completion.prompt_bytes > 0
        {
            let ratio = completion.prompt_bytes as f32 / tokens as f32;
            self.bytes_per_token.see(ratio);
        }
        if let Some(tokens) = completion.output_tokens {
            self.mean_output.see(tokens as f32);
        }
        let memory = slot.and_then(|slot| self.endpoints.get_mut(slot as usize));
        if let Some(memory) = memory {
            memory.speed.see(completion, self.mean_output.get());
        }
    }
}

impl Cost {
    /// What speaks most plainly for the endpoint at `first`.
    fn reason(&self, round: &Round<'_>, first: usize, adapter: Option<&Adapter<'_>>) -> Reason {
        let fresh = self.states.iter().filter(|(state, _)| state.trust >= 1.0);
        let fresh = fresh.count() * 2;
        let trusted = self.states.iter().any(|(state, _)| state.trust > 0.0);
        if !trusted {
            return Reason::LeastInFlight;
        }
        if fresh < self.states.len() {
            return Reason::AgeingSignals;
        }
        let position = u32::try_from(first).unwrap_or(u32::MAX);
        if round.matched(position) > 0 {
            return Reason::PrefixHit;
        }
        let endpoint = round.view.endpoints.get(first);
        let lora = endpoint.and_then(|endpoint| endpoint.signals.lora.as_ref());
        let loaded = adapter.is_some_and(|adapter| {
            let nothing = Recent::default();
            adapter.standing(lora, &nothing, round.ladder, round.view.now) == Standing::Loaded
        });
        if loaded {
            Reason::LoraAffinity
        } else {
            Reason::BestScore
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
