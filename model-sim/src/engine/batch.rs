//! Continuous batching: which sequences run in the next step, and which lose their memory.
//!
//! ```text
//!   waiting (first come, first served)        running (oldest first)
//!   [front] ──room for the whole prompt?──▶  [oldest ... newest]
//!      ▲                                              │
//!      └───── preempted: blocks freed, computed again ┘  no block left: the newest goes
//! ```
//!
//! Running sequences are served first (one token each, or the next chunk of a prompt), then
//! waiting ones while the token budget, the sequence limit and the KV cache allow it.

use std::collections::VecDeque;

use super::config::EngineConfig;
use super::counters::Counters;
use super::kv_cache::KvCache;
use super::lora::{Admission, LoraSlots};
use super::request::{Event, EventKind};
use super::sequence::{Phase, Sequence, Sequences};
use super::step::{RunningStep, StepPlan};
use super::time::SimTime;

/// Sequences, memory and queues of one engine.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) sequences: Sequences,
    pub(crate) cache: KvCache,
    pub(crate) loras: LoraSlots,
    pub(crate) running: Vec<u32>,
    pub(crate) waiting: VecDeque<u32>,
    passed_over: VecDeque<u32>,
    pub(crate) deferred: u32,
    /// Number of the last scheduling round over the waiting queue.
    round: u64,
    block_tokens: u32,
    max_num_seqs: usize,
    /// Blocks that an admission leaves free beside running sequences.
    reserve: u32,
}

impl Batch {
    pub(crate) fn new(config: &EngineConfig) -> Self {
        Batch {
            sequences: Sequences::default(),
            cache: KvCache::new(config.kv_blocks, config.prefix_caching),
            loras: LoraSlots::new(config.max_loras),
            running: Vec::with_capacity(config.max_num_seqs.min(4_096) as usize),
            waiting: VecDeque::new(),
            passed_over: VecDeque::new(),
            deferred: 0,
            round: 0,
            block_tokens: config.block_tokens,
            max_num_seqs: config.max_num_seqs as usize,
            reserve: (f64::from(config.kv_blocks) * config.kv_watermark) as u32,
        }
    }

    /// Puts a sequence at the end of the waiting queue.
    pub(crate) fn enqueue(&mut self, slot: u32) {
        if let Some(sequence) = self.sequences.get_mut(slot) {
            sequence.phase = Phase::Waiting;
            self.waiting.push_back(slot);
        }
    }

    /// Plans a step that begins at `now`.
    pub(crate) fn plan(
        &mut self,
        budget: u32,
        now: SimTime,
        counters: &mut Counters,
        events: &mut Vec<Event>,
    ) -> StepPlan {
        let mut plan = StepPlan::new(budget);
        self.plan_running(&mut plan, now, events);
        if plan.preemptions == 0 {
            self.plan_waiting(&mut plan, now, counters);
        }
        plan
    }

    fn plan_running(&mut self, plan: &mut StepPlan, now: SimTime, events: &mut Vec<Event>) {
        let mut index = 0;
        while let Some(slot) = self.running.get(index).copied() {
            index += 1;
            let Some(sequence) = self.sequences.get_mut(slot) else {
                continue;
            };
            let tokens = sequence.uncomputed().min(plan.budget);
            sequence.scheduled = tokens;
            if tokens == 0 {
                continue;
            }
            let context = sequence.computed + tokens;
            // Nearly always: the token has room in the last block and does not fill it.
            let held = sequence.blocks.len() as u32 * self.block_tokens;
            if context < held && held - context < self.block_tokens {
                plan.add(tokens, context);
                continue;
            }
            let missing = missing_blocks(sequence, context, self.block_tokens);
            while self.cache.free() < missing {
                let Some(newest) = self.running.pop() else {
                    return;
                };
                self.preempt(newest, now, events);
                plan.preemptions += 1;
                if newest == slot {
                    return;
                }
            }
            self.grow(slot, context);
            plan.add(tokens, context);
        }
    }

    fn preempt(&mut self, slot: u32, now: SimTime, events: &mut Vec<Event>) {
        let id = self.sequences.id(slot);
        let Some(sequence) = self.sequences.get_mut(slot) else {
            return;
        };
        self.cache.release(&mut sequence.blocks);
        if let Some(adapter) = sequence.request.lora {
            self.loras.leave(adapter);
        }
        sequence.phase = Phase::Waiting;
        sequence.computed = 0;
        sequence.scheduled = 0;
        sequence.remembered = 0;
        sequence.preemptions += 1;
        self.waiting.push_front(slot);
        events.push(Event {
            id,
            at: now,
            kind: EventKind::Preempted,
        });
    }

    fn plan_waiting(&mut self, plan: &mut StepPlan, now: SimTime, counters: &mut Counters) {
        self.deferred = 0;
        self.round += 1;
        while plan.budget > 0 && self.running.len() < self.max_num_seqs {
            let Some(slot) = self.waiting.pop_front() else {
                break;
            };
            let Some(sequence) = self.sequences.get_mut(slot) else {
                continue;
            };
            let admission = match sequence.request.lora {
                Some(adapter) => self.loras.admission(adapter),
                None => Admission::Loaded,
            };
            if admission == Admission::NoRoom {
                sequence.deferred_in_round = self.round;
                self.deferred += 1;
                self.passed_over.push_back(slot);
                continue;
            }
            if !self.admit(slot, plan, now, counters) {
                self.waiting.push_front(slot);
                break;
            }
            plan.lora_loads += u32::from(admission == Admission::NeedsLoad);
        }
        while let Some(slot) = self.passed_over.pop_back() {
            self.waiting.push_front(slot);
        }
    }

    /// Moves a waiting sequence into the batch if the cache has room for all of its tokens.
    fn admit(
        &mut self,
        slot: u32,
        plan: &mut StepPlan,
        now: SimTime,
        counters: &mut Counters,
    ) -> bool {
        let Some(sequence) = self.sequences.get_mut(slot) else {
            return true;
        };
        let known = sequence.known_tokens();
        // The last token is always computed: its output is the next token.
        let findable = (known.saturating_sub(1) / self.block_tokens) as usize;
        let hashes = sequence.request.block_hashes.clone();
        let hashes = hashes.get(..findable.min(hashes.len())).unwrap_or(&[]);
        let found = self.cache.match_prefix(hashes);
        let missing = known
            .div_ceil(self.block_tokens)
            .saturating_sub(found.blocks);
        let reserve = if self.running.is_empty() {
            0
        } else {
            self.reserve
        };
        let free = self.cache.free().saturating_sub(found.unused);
        if free < missing.saturating_add(reserve) {
            return false;
        }
        sequence
            .blocks
            .reserve((known + sequence.request.output_tokens).div_ceil(self.block_tokens) as usize);
        for hash in hashes.iter().take(found.blocks as usize) {
            if let Some(block) = self.cache.share(*hash) {
                sequence.blocks.push(block);
            }
        }
        sequence.computed = sequence.blocks.len() as u32 * self.block_tokens;
        sequence.remembered = sequence.blocks.len() as u32;
        sequence.phase = Phase::Running;
        if sequence.scheduled_at.is_none() {
            sequence.scheduled_at = Some(now);
            sequence.cached_tokens = sequence.computed;
            counters.prefix_queries += u64::from(sequence.request.prompt_tokens);
            counters.prefix_hits += u64::from(sequence.computed);
        }
        let tokens = sequence.uncomputed().min(plan.budget);
        let context = sequence.computed + tokens;
        sequence.scheduled = tokens;
        if let Some(adapter) = sequence.request.lora {
            self.loras.enter(adapter);
        }
        self.grow(slot, context);
        self.running.push(slot);
        plan.add(tokens, context);
        true
    }

    /// Gives a sequence the blocks for `context` tokens and makes its full blocks findable.
    fn grow(&mut self, slot: u32, context: u32) {
        let Some(sequence) = self.sequences.get_mut(slot) else {
            return;
        };
        for _ in 0..missing_blocks(sequence, context, self.block_tokens) {
            if let Some(block) = self.cache.allocate() {
                sequence.blocks.push(block);
            }
        }
        let full = context / self.block_tokens;
        while sequence.remembered < full {
            let at = sequence.remembered as usize;
            if let (Some(block), Some(hash)) = (
                sequence.blocks.get(at),
                sequence.request.block_hashes.get(at),
            ) {
                self.cache.remember(*block, *hash);
            }
            sequence.remembered += 1;
        }
    }

    /// Ends a step: every sequence whose known tokens are computed gets its next token.
    pub(crate) fn complete(
        &mut self,
        step: &RunningStep,
        counters: &mut Counters,
        events: &mut Vec<Event>,
    ) {
        let Batch {
            sequences,
            cache,
            loras,
            running,
            ..
        } = self;
        let now = step.ends_at;
        let mut steady_tokens = 0;
        running.retain(|slot| {
            let id = sequences.id(*slot);
            let Some(sequence) = sequences.get_mut(*slot) else {
                return false;
            };
            let computed = std::mem::take(&mut sequence.scheduled);
            sequence.computed += computed;
            if computed == 0 || sequence.uncomputed() > 0 {
                return true;
            }
            sequence.generated += 1;
            counters.generation_tokens += 1;
            if sequence.first_token_at.is_none() {
                sequence.first_token_at = Some(now);
                counters.prompt_tokens += u64::from(sequence.request.prompt_tokens);
                counters.cached_prompt_tokens += u64::from(sequence.cached_tokens);
                counters
                    .first_token
                    .observe(now.seconds_since(sequence.submitted_at));
                let kind = EventKind::FirstToken {
                    cached_tokens: sequence.cached_tokens,
                };
                events.push(Event { id, at: now, kind });
            } else {
                if sequence.last_token_at == step.started_at {
                    steady_tokens += 1;
                } else {
                    counters
                        .inter_token
                        .observe(now.seconds_since(sequence.last_token_at));
                }
                if sequence.request.token_events {
                    events.push(Event {
                        id,
                        at: now,
                        kind: EventKind::Token,
                    });
                }
            }
            sequence.last_token_at = now;
            if sequence.generated < sequence.request.output_tokens {
                return true;
            }
            let summary = sequence.summary(now);
            cache.release(&mut sequence.blocks);
            if let Some(adapter) = sequence.request.lora {
                loras.leave(adapter);
            }
            sequences.remove(*slot);
            counters.record_finished(&summary);
            events.push(Event {
                id,
                at: now,
                kind: EventKind::Finished(summary),
            });
            false
        });
        counters
            .inter_token
            .observe_many(now.seconds_since(step.started_at), steady_tokens);
    }

    /// Takes a sequence out, wherever it is.
    pub(crate) fn remove(&mut self, slot: u32) {
        let Some(mut sequence) = self.sequences.remove(slot) else {
            return;
        };
        match sequence.phase {
            Phase::Arriving => {}
            Phase::Waiting => {
                self.waiting.retain(|other| *other != slot);
                self.deferred -= u32::from(sequence.deferred_in_round == self.round);
            }
            Phase::Running => {
                self.running.retain(|other| *other != slot);
                if let Some(adapter) = sequence.request.lora {
                    self.loras.leave(adapter);
                }
            }
        }
        self.cache.release(&mut sequence.blocks);
    }
}

fn missing_blocks(sequence: &Sequence, context: u32, block_tokens: u32) -> u32 {
    context
        .div_ceil(block_tokens)
        .saturating_sub(sequence.blocks.len() as u32)
}
