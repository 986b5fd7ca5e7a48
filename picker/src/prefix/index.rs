//! The prefix index: blocks and turns remembered per endpoint, matched from the first block on.

use super::{PrefixNote, holders::Holders, table::TagTable};
use crate::{
    config::PrefixConfig,
    endpoint::Endpoint,
    request::{RequestFacts, Turn},
};

/// Bytes of prompt text that one token stands for, until it is learned.
const BYTES_PER_TOKEN: f32 = 4.0;
/// What is believed of it at all: from one byte a token to long words of few tokens.
const MIN_BYTES_PER_TOKEN: f32 = 1.0;
const MAX_BYTES_PER_TOKEN: f32 = 16.0;
/// Prompts of fewer tokens teach nothing: the engine's chat template outweighs their text.
const LEAST_TAUGHT_TOKENS: u32 = 64;
/// How much one prompt moves what was learned.
const LEARNING_RATE: f32 = 1.0 / 128.0;
/// By how much the learned value must differ from the one in use, as a share of that, to replace it:
/// each change rebuilds tables.
const RELEARNED: f32 = 0.125;

/// The least blocks that an endpoint gets, so that a huge pool still remembers the head of one long
/// prompt per endpoint.
const LEAST_BLOCKS: usize = 64;

/// Which slot probably holds which blocks.
#[derive(Debug)]
pub(crate) struct PrefixIndex {
    config: PrefixConfig,
    /// The text of one token: as it is learned, and as capacities are reckoned with.
    learned_bytes_per_token: f32,
    bytes_per_token: f32,
    slots: Vec<Slot>,
    holders: Holders,
}

/// What is remembered of one endpoint.
#[derive(Debug, Default)]
struct Slot {
    /// How many blocks its cache is thought to hold; 0 until that is set.
    capacity: usize,
    /// Without a place until the first prompt comes.
    table: TagTable,
}

impl PrefixIndex {
    pub(crate) fn new(config: PrefixConfig) -> Self {
        Self {
            config,
            learned_bytes_per_token: BYTES_PER_TOKEN,
            bytes_per_token: BYTES_PER_TOKEN,
            slots: Vec::new(),
            holders: Holders::default(),
        }
    }

    /// How many blocks an endpoint may have remembered in a pool of `members`: what its KV cache
    /// holds when it says so, within both bounds of the configuration.
    pub(crate) fn capacity_of(&self, endpoint: &Endpoint, members: usize) -> usize {
        let share = self.config.total_blocks as usize / members.max(1);
        let bound = share.min(self.config.capacity_blocks as usize);
        let signals = &endpoint.signals;
        let blocks = match (signals.kv_blocks, signals.kv_block_size) {
            (Some(blocks), Some(tokens)) => {
                let tokens = f64::from(blocks) * f64::from(tokens);
                let bytes = tokens * f64::from(self.bytes_per_token);
                (bytes / f64::from(self.config.block_bytes.max(1))) as usize
            }
            _ => bound,
        };
        blocks.min(bound).max(LEAST_BLOCKS)
    }

    /// Sets how many blocks `slot` may hold. Its table follows with the next prompt that goes there,
    /// at once if it is more than twice too large.
    pub(crate) fn set_capacity(&mut self, slot: u32, capacity: usize) {
        let at = slot as usize;
        if at >= self.slots.len() {
            self.slots.resize_with(at + 1, Slot::default);
        }
        if let Some(slot) = self.slots.get_mut(at) {
            slot.capacity = capacity;
            if slot.table.places() > 2 * TagTable::places_for(capacity) {
                slot.table = slot.table.resized(capacity);
            }
        }
    }

    /// Learns the text of one token from a prompt of which the engine told the tokens.
    pub(crate) fn learn(&mut self, prompt_bytes: u64, prompt_tokens: u32) {
        if prompt_tokens < LEAST_TAUGHT_TOKENS {
            return;
        }
        let seen = (prompt_bytes as f32 / prompt_tokens as f32)
            .clamp(MIN_BYTES_PER_TOKEN, MAX_BYTES_PER_TOKEN);
        self.learned_bytes_per_token += LEARNING_RATE * (seen - self.learned_bytes_per_token);
        let change = self.learned_bytes_per_token - self.bytes_per_token;
        if change.abs() > RELEARNED * self.bytes_per_token {
            self.bytes_per_token = self.learned_bytes_per_token;
        }
    }

    /// Notes that a prompt of these blocks, which ends with the turn `turn`, goes to `slot`.
    ///
    /// The last block is touched first, so that the head of a prompt is always younger than its
    /// tail and falls out after it: a tail without its head can never match. The turn takes the place
    /// of one more block: the answer to it takes room in the cache too.
    pub(crate) fn insert(&mut self, slot: u32, prefix: &[u64], turn: Option<u64>) {
        let Some(slot) = self.slots.get_mut(slot as usize) else {
            return;
        };
        if prefix.is_empty() && turn.is_none() {
            return;
        }
        if slot.table.places() != TagTable::places_for(slot.capacity) {
            slot.table = slot.table.resized(slot.capacity);
        }
        if let Some(turn) = turn {
            slot.table.touch(turn);
        }
        for hash in prefix.iter().take(slot.capacity).rev() {
            slot.table.touch(*hash);
        }
    }

    /// Takes over a note about `slot`: a prompt that went there, or one of which the engine told that
    /// it held less than we thought.
    pub(crate) fn apply(&mut self, slot: u32, note: &PrefixNote) {
        let lost = note.prefix.get(note.cached_blocks as usize..);
        let lost = lost.unwrap_or_default();
        if lost.is_empty() {
            return self.insert(slot, &note.prefix, note.turn);
        }
        if let Some(Slot { table, .. }) = self.slots.get_mut(slot as usize) {
            for hash in lost.iter().chain(&note.turn) {
                table.forget(*hash);
            }
        }
    }

    /// Forgets everything about `slot`, its capacity too.
    pub(crate) fn forget(&mut self, slot: u32) {
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            *slot = Slot::default();
        }
    }

    /// Writes into `matched`, which gets `bound` entries, how many leading bytes of the prompt each of
    /// `slots` probably holds; left empty when none holds any.
    pub(crate) fn match_into(
        &mut self,
        facts: &RequestFacts,
        slots: impl Iterator<Item = u32> + Clone,
        bound: usize,
        matched: &mut Vec<u32>,
    ) {
        let Self { slots: known, .. } = self;
        let table_of = |slot: u32| known.get(slot as usize).map(|slot| &slot.table);
        let block_bytes = self.config.block_bytes;
        matched.clear();
        let mut note = |slot: u32, bytes: u32| {
            if matched.is_empty() {
                matched.resize(bound, 0);
            }
            if let Some(entry) = matched.get_mut(slot as usize) {
                *entry = bytes;
            }
        };
        self.holders.find(&facts.prefix, slots.clone(), table_of);
        let holders = self.holders.iter();
        let holders = holders.map(|(slot, blocks)| (slot, blocks.saturating_mul(block_bytes)));
        // Without an answer among its messages, a prompt is cached in whole blocks only.
        if facts.turns.len() < 2 {
            holders.for_each(|(slot, bytes)| note(slot, bytes));
            return;
        }
        let mut holders = holders.peekable();
        for slot in slots {
            let holder = holders.next_if(|(holder, _)| *holder == slot);
            let bytes = holder.map_or(0, |(_, bytes)| bytes);
            if let Some(table) = table_of(slot) {
                let reach = reach_of_turns(table, &facts.turns, bytes, block_bytes);
                if reach > 0 {
                    note(slot, reach);
                }
            }
        }
    }

    /// How many blocks and turns are remembered, counted once per endpoint that holds them.
    pub(crate) fn len(&self) -> usize {
        self.slots.iter().map(|slot| slot.table.len()).sum()
    }
}

/// How far the prompt is cached where `bytes` of it are in whole blocks: up to there or, if that is
/// further, to the end of the message behind a turn that is in `table`.
///
/// The message behind a turn counts because this endpoint generated it. A turn counts only when all
/// whole blocks before its end do: it went there together with them, and where they have fallen out
/// its answer has too.
fn reach_of_turns(table: &TagTable, turns: &[Turn], bytes: u32, block_bytes: u32) -> u32 {
    let reach = bytes.saturating_add(block_bytes);
    let within = turns.partition_point(|turn| turn.end_bytes < reach);
    let turns = turns.get(..within.saturating_add(1)).unwrap_or(turns);
    turns
        .windows(2)
        .rev()
        .filter_map(|pair| <&[Turn; 2]>::try_from(pair).ok())
        .take_while(|[_, next]| next.end_bytes > bytes)
        .find(|[turn, _]| table.contains(turn.hash))
        .map_or(bytes, |[_, next]| next.end_bytes)
}

#[cfg(test)]
mod tests;
