//! A request inside the engine, and the table that holds all of them.

use super::request::{Request, RequestId, Summary};
use super::time::SimTime;

/// Where a sequence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Submitted while a step was under way; the scheduler has not seen it.
    Arriving,
    /// In the waiting queue.
    Waiting,
    /// In the batch.
    Running,
}

/// A request inside the engine.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    pub(crate) request: Request,
    pub(crate) phase: Phase,
    pub(crate) submitted_at: SimTime,
    pub(crate) scheduled_at: Option<SimTime>,
    pub(crate) first_token_at: Option<SimTime>,
    pub(crate) last_token_at: SimTime,
    /// Tokens generated so far.
    pub(crate) generated: u32,
    /// Tokens whose KV values exist.
    pub(crate) computed: u32,
    /// Tokens that the step under way computes.
    pub(crate) scheduled: u32,
    pub(crate) blocks: Vec<u32>,
    /// Leading blocks whose hashes were given to the prefix index.
    pub(crate) remembered: u32,
    pub(crate) cached_tokens: u32,
    pub(crate) preemptions: u32,
    /// The last scheduling round that passed over it because no adapter slot was free; rounds
    /// count from 1.
    pub(crate) deferred_in_round: u64,
}

impl Sequence {
    pub(crate) fn new(request: Request, now: SimTime) -> Self {
        Sequence {
            request,
            phase: Phase::Arriving,
            submitted_at: now,
            scheduled_at: None,
            first_token_at: None,
            last_token_at: now,
            generated: 0,
            computed: 0,
            scheduled: 0,
            blocks: Vec::new(),
            remembered: 0,
            cached_tokens: 0,
            preemptions: 0,
            deferred_in_round: 0,
        }
    }

    /// Tokens that exist: the prompt and what was generated.
    pub(crate) fn known_tokens(&self) -> u32 {
        self.request.prompt_tokens + self.generated
    }

    /// Tokens that must be computed before the next one can be generated.
    pub(crate) fn uncomputed(&self) -> u32 {
        self.known_tokens().saturating_sub(self.computed)
    }

    pub(crate) fn summary(&self, finished_at: SimTime) -> Summary {
        Summary {
            submitted_at: self.submitted_at,
            scheduled_at: self.scheduled_at.unwrap_or(self.submitted_at),
            first_token_at: self.first_token_at.unwrap_or(finished_at),
            finished_at,
            prompt_tokens: self.request.prompt_tokens,
            cached_tokens: self.cached_tokens,
            output_tokens: self.generated,
            preemptions: self.preemptions,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Slot {
    generation: u32,
    sequence: Option<Sequence>,
}

/// All sequences of an engine, by slot. Slots are used again, names are not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sequences {
    slots: Vec<Slot>,
    empty: Vec<u32>,
}

impl Sequences {
    pub(crate) fn insert(&mut self, sequence: Sequence) -> RequestId {
        let number = self.empty.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let mut generation = 0;
        if let Some(slot) = self.slots.get_mut(number as usize) {
            slot.generation = slot.generation.wrapping_add(1);
            generation = slot.generation;
            slot.sequence = Some(sequence);
        }
        RequestId::new(number, generation)
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Sequence> {
        self.slots.get(slot as usize)?.sequence.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Sequence> {
        self.slots.get_mut(slot as usize)?.sequence.as_mut()
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<Sequence> {
        let sequence = self.slots.get_mut(slot as usize)?.sequence.take()?;
        self.empty.push(slot);
        Some(sequence)
    }

    /// The slot of a request that is still inside.
    pub(crate) fn find(&self, id: RequestId) -> Option<u32> {
        let slot = self.slots.get(id.slot() as usize)?;
        (slot.generation == id.generation() && slot.sequence.is_some()).then_some(id.slot())
    }

    pub(crate) fn id(&self, slot: u32) -> RequestId {
        let generation = self
            .slots
            .get(slot as usize)
            .map_or(0, |slot| slot.generation);
        RequestId::new(slot, generation)
    }

    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Sequence> {
        self.slots.iter().filter_map(|slot| slot.sequence.as_ref())
    }
}
