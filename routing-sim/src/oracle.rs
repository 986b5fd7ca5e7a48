//! The oracle: sees the exact state of every engine at the moment of the pick and the true length of
//! the answer, and takes the least cost.

use std::sync::{Arc, Mutex};

use model_sim::engine::{Engine, EngineConfig};
use picker::{
    Decision, Entropy, Estimate, Reason,
    policy::{Policy, Round},
};

use crate::{simulation::Pod, workload::Arrival};

/// The mean length of an answer that the oracle assumes for the requests that run already.
const OTHERS_OUTPUT: f64 = 225.0;

/// Up to so many waiting requests the engine is asked for its own count of the work before it.
const FEW_WAITING: u32 = 64;

/// Tokens of a prompt that this engine would have to compute now.
pub(crate) fn uncached(engine: &Engine, arrival: &Arrival) -> u32 {
    // The last token is always computed: its output is the next token.
    let block_tokens = engine.config().block_tokens;
    let findable = (arrival.prompt_tokens.saturating_sub(1) / block_tokens) as usize;
    let hashes = arrival.block_hashes.get(..findable);
    let cached = engine.cached_tokens(hashes.unwrap_or(&arrival.block_hashes));
    arrival.prompt_tokens.saturating_sub(cached)
}

/// The exact state of one pod.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PodTruth {
    alive: bool,
    engine: EngineConfig,
    running: f64,
    waiting: f64,
    /// Prompt tokens still to be computed.
    pending_tokens: f64,
    /// Tokens whose KV values the running requests hold.
    kv_tokens: f64,
    /// Tokens of this request's prompt that are cached.
    cached_tokens: f64,
    /// Whether its adapter is in memory, and whether there is room for it.
    adapter: Adapter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Adapter {
    Loaded,
    Loadable,
    NoRoom,
}

impl PodTruth {
    /// What is true of an engine for this request.
    pub(crate) fn of(pod: &Pod, arrival: &Arrival) -> Self {
        let engine = &pod.engine;
        let gauges = engine.live();
        let config = engine.config();
        let adapter = match arrival.lora {
            None => Adapter::Loaded,
            Some(adapter) if engine.resident_loras().any(|other| other == adapter) => {
                Adapter::Loaded
            }
            Some(_) if (engine.running_loras().count() as u32) < config.max_loras => {
                Adapter::Loadable
            }
            Some(_) => Adapter::NoRoom,
        };
        let running = f64::from(gauges.running);
        // The engine's count has what waiting prompts will find in the cache, the simulator's what of
        // a prompt is computed already. Both are too high, and the engine's takes long to add up.
        let mut pending_tokens = pod.to_compute as f64;
        if gauges.waiting <= FEW_WAITING {
            let exact = (engine.pending_tokens() as f64 - running).max(0.0);
            pending_tokens = pending_tokens.min(exact);
        }
        Self {
            alive: pod.alive,
            running,
            waiting: f64::from(gauges.waiting),
            pending_tokens,
            kv_tokens: f64::from(gauges.kv_blocks_used) * f64::from(config.block_tokens),
            cached_tokens: f64::from(arrival.prompt_tokens - uncached(engine, arrival)),
            adapter,
            engine: config.clone(),
        }
    }

    /// The cost of the request here, in seconds: the cost policy's formula
    /// (`picker::policy::cost`) with nothing estimated.
    fn cost(&self, prompt: f64, output: f64, least_uncached: f64) -> f64 {
        let engine = &self.engine;
        let (base, token, kv) = (
            engine.step_base_seconds,
            engine.step_token_seconds,
            engine.step_kv_token_seconds,
        );
        let uncached = self.uncached(prompt);
        let others = self.running + self.waiting;
        let pending = self.pending_tokens;
        let kv_tokens = self.kv_tokens;
        let capacity = engine.kv_capacity_tokens() as f64;
        let step = base + token * self.running + kv * kv_tokens;
        let missing_memory = (kv_tokens + pending + uncached - 0.95 * capacity).max(0.0);
        let missing_slots = (others + 1.0 - f64::from(engine.max_num_seqs)).max(0.0);
        let wait = OTHERS_OUTPUT
            * step
            * (missing_memory / kv_tokens.max(1.0) + missing_slots / self.running.max(1.0));
        let work = pending + uncached;
        let room = (f64::from(engine.token_budget) - self.running).max(256.0);
        let ttft = (work / room + 0.5) * step + token * work + wait;
        let decode = output
            * (base + token * (others + 1.0) + kv * (kv_tokens + pending + prompt + output / 2.0));
        let delay = token * others * (0.15 * uncached + (uncached - least_uncached));
        let adapter = match self.adapter {
            Adapter::Loaded => 0.0,
            Adapter::Loadable => 10.0 * 0.1 * engine.lora_load_seconds * (1.0 + self.running),
            Adapter::NoRoom => {
                10.0 * 0.1 * engine.lora_load_seconds * (1.0 + self.running) + 10.0 * 5.0 + 20.0
            }
        };
        (10.0 * ttft + decode + delay) / engine.speed
            + (100.0 * wait / engine.speed).min(20.0)
            + adapter
    }

    fn uncached(&self, prompt: f64) -> f64 {
        (prompt - self.cached_tokens).max(16.0)
    }
}

/// What the oracle sees at one pick.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    pub(crate) prompt_tokens: u32,
    pub(crate) output_tokens: u32,
    /// By the position of the endpoint in the view.
    pub(crate) pods: Vec<PodTruth>,
}

/// The policy.
#[derive(Debug)]
pub(crate) struct Oracle {
    truth: Arc<Mutex<Truth>>,
    ranked: Vec<(f64, u64, usize)>,
}

impl Oracle {
    pub(crate) fn new(truth: Arc<Mutex<Truth>>) -> Self {
        Self {
            truth,
            ranked: Vec::new(),
        }
    }
}

impl Policy for Oracle {
    fn decide(&mut self, round: &Round<'_>, entropy: &mut dyn Entropy) -> Decision {
        // Nobody panics while holding it.
        let Ok(truth) = self.truth.lock() else {
            return Decision::none(Reason::NoEndpoints);
        };
        let (prompt, output) = (
            f64::from(truth.prompt_tokens),
            f64::from(truth.output_tokens),
        );
        let alive = || truth.pods.iter().filter(|pod| pod.alive);
        let least = alive()
            .map(|pod| pod.uncached(prompt))
            .fold(f64::INFINITY, f64::min);
        let alive_positions = round.candidates.iter().filter_map(|position| {
            let position = *position as usize;
            let pod = truth.pods.get(position).filter(|pod| pod.alive)?;
            Some((pod.cost(prompt, output, least), position))
        });
        self.ranked.clear();
        self.ranked
            .extend(alive_positions.map(|(cost, position)| (cost, entropy.next_u64(), position)));
        self.ranked
            .sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let ranked = self.ranked.iter().map(|(_, _, position)| *position);
        let first = ranked.clone().next().and_then(|at| truth.pods.get(at));
        let estimate = Estimate {
            prompt_tokens: truth.prompt_tokens,
            uncached_tokens: first.map_or(0, |pod| pod.uncached(prompt) as u32),
            ..Estimate::default()
        };
        Decision::new(Reason::BestScore, ranked.take(round.choices)).expecting(estimate)
    }
}
