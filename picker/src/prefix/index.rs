//! The prefix index: blocks remembered per endpoint, matched from the first block on.

use super::{holders::Holders, lru::BlockLru};
use crate::{config::PrefixConfig, endpoint::Endpoint};

/// Bytes of prompt text that one token stands for, on average.
const BYTES_PER_TOKEN: u64 = 4;
/// The least share of the total bound that an endpoint gets, so that a huge pool still remembers
/// the head of one long prompt per endpoint.
const LEAST_BLOCKS: usize = 64;

/// Which slot probably holds which blocks.
#[derive(Debug)]
pub(crate) struct PrefixIndex {
    config: PrefixConfig,
    /// The blocks of each slot; `None` for a slot that never got a prompt.
    slots: Vec<Option<BlockLru>>,
    /// The bound of each slot, as far as it is known.
    capacities: Vec<usize>,
    holders: Holders,
    alive: Vec<u64>,
}

impl PrefixIndex {
    pub(crate) fn new(config: PrefixConfig) -> Self {
        Self {
            config,
            slots: Vec::new(),
            capacities: Vec::new(),
            holders: Holders::default(),
            alive: Vec::new(),
        }
    }

    /// How many blocks an endpoint may have remembered in a pool of `members`: what its KV cache
    /// holds when it says so, within both bounds of the configuration.
    pub(crate) fn capacity_of(&self, endpoint: &Endpoint, members: usize) -> usize {
        let share = (self.config.total_blocks as usize / members.max(1)).max(LEAST_BLOCKS);
        let bound = share.min(self.config.capacity_blocks as usize);
        let signals = &endpoint.signals;
        let (Some(blocks), Some(tokens)) = (signals.kv_blocks, signals.kv_block_size) else {
            return bound;
        };
        let bytes = u64::from(blocks)
            .saturating_mul(u64::from(tokens))
            .saturating_mul(BYTES_PER_TOKEN);
        let blocks = bytes / u64::from(self.config.block_bytes.max(1));
        usize::try_from(blocks)
            .unwrap_or(usize::MAX)
            .clamp(1, bound.max(1))
    }

    /// Sets how many blocks `slot` may hold; what no longer fits is forgotten.
    pub(crate) fn set_capacity(&mut self, slot: u32, capacity: usize) {
        let at = slot as usize;
        if at >= self.capacities.len() {
            self.capacities
                .resize(at + 1, self.config.capacity_blocks as usize);
            self.slots.resize_with(at + 1, || None);
        }
        if let Some(known) = self.capacities.get_mut(at) {
            *known = capacity;
        }
        let holders = &mut self.holders;
        if let Some(Some(lru)) = self.slots.get_mut(at)
            && lru.capacity() != capacity
        {
            lru.set_capacity(capacity, |hash| holders.remove(hash, slot));
        }
    }

    /// Notes that a prompt with these blocks goes to `slot`.
    ///
    /// The last block is touched first, so that the head of a prompt is always younger than its
    /// tail and falls out after it: a tail without its head can never match.
    pub(crate) fn insert(&mut self, slot: u32, hashes: &[u64]) {
        let at = slot as usize;
        let capacity = self.capacities.get(at).copied().unwrap_or(LEAST_BLOCKS);
        let holders = &mut self.holders;
        let Some(entry) = self.slots.get_mut(at) else {
            return;
        };
        let lru = entry.get_or_insert_with(|| BlockLru::new(capacity));
        for hash in hashes.iter().take(lru.capacity()).rev() {
            if lru.touch(*hash, |gone| holders.remove(gone, slot)) {
                holders.add(*hash, slot);
            }
        }
    }

    /// Forgets everything about `slot`.
    pub(crate) fn forget(&mut self, slot: u32) {
        if let Some(lru) = self.slots.get_mut(slot as usize).and_then(Option::take) {
            for hash in lru.iter() {
                self.holders.remove(hash, slot);
            }
        }
    }

    /// Writes into `matched` how many leading blocks each slot below `bound` holds without a gap;
    /// returns whether any holds the first. When none does, `matched` is left empty.
    pub(crate) fn match_into(
        &mut self,
        hashes: &[u64],
        bound: usize,
        matched: &mut Vec<u32>,
    ) -> bool {
        matched.clear();
        let mut blocks = hashes.iter();
        let Some(first) = blocks.next() else {
            return false;
        };
        self.alive.resize(bound.div_ceil(64), 0);
        if !self.holders.fill(*first, &mut self.alive) {
            return false;
        }
        matched.resize(bound, 0);
        let mut depth = 1;
        let mut any = true;
        for hash in blocks {
            any = self
                .holders
                .narrow(*hash, &mut self.alive, |slot| note(matched, slot, depth));
            if !any {
                break;
            }
            depth += 1;
        }
        if any {
            for (at, word) in self.alive.iter().enumerate() {
                let mut left = *word;
                while left != 0 {
                    note(matched, at * 64 + left.trailing_zeros() as usize, depth);
                    left &= left - 1;
                }
            }
        }
        true
    }

    /// How many blocks are remembered, counted once per endpoint that holds them.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.slots.iter().flatten().map(BlockLru::len).sum()
    }
}

fn note(matched: &mut [u32], slot: usize, depth: u32) {
    if let Some(count) = matched.get_mut(slot) {
        *count = depth;
    }
}

#[cfg(test)]
mod tests;
