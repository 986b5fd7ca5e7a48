//! The prefix index: blocks and turns remembered per endpoint, matched from the first block on.

use super::{PrefixNote, table::TagTable};
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
        &self,
        facts: &RequestFacts,
        slots: impl Iterator<Item = u32>,
        bound: usize,
        matched: &mut Vec<u32>,
    ) {
        matched.clear();
        if facts.prefix.is_empty() && facts.turns.is_empty() {
            return;
        }
        for at in slots {
            let Some(slot) = self.slots.get(at as usize) else {
                continue;
            };
            let bytes = match_one(&slot.table, facts, self.config.block_bytes);
            if bytes > 0 {
                if matched.is_empty() {
                    matched.resize(bound, 0);
                }
                if let Some(entry) = matched.get_mut(at as usize) {
                    *entry = bytes;
                }
            }
        }
    }

    /// How many blocks and turns are remembered, counted once per endpoint that holds them.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.slots.iter().map(|slot| slot.table.len()).sum()
    }
}

/// The leading bytes of the prompt that are in `table`: its blocks up to the first that is missing
/// and, if that is further, the message behind a turn that is known there.
///
/// The first missing block is found by halving. A chained hash stands for all blocks before it, which
/// went there together with it and have been younger ever since: where a block is known, those before
/// it are cached too, even if one of them has fallen out of a crowded bucket.
///
/// The message behind a turn counts because this endpoint generated it. A turn counts only when all
/// whole blocks before its end do: it went there together with them, and where they have fallen out
/// its answer has too.
fn match_one(table: &TagTable, facts: &RequestFacts, block_bytes: u32) -> u32 {
    // Most endpoints know nothing of most prompts.
    let blocks = match facts.prefix.first() {
        Some(first) if table.contains(*first) => {
            facts.prefix.partition_point(|hash| table.contains(*hash))
        }
        _ => 0,
    };
    let blocks = u32::try_from(blocks).unwrap_or(u32::MAX);
    let bytes = blocks.saturating_mul(block_bytes);
    let reach = bytes.saturating_add(block_bytes);
    let within = facts.turns.partition_point(|turn| turn.end_bytes < reach);
    let turns = facts
        .turns
        .get(..within.saturating_add(1))
        .unwrap_or(&facts.turns);
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
