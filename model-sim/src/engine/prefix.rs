//! The prefix cache's index: which block holds the tokens with this chained hash.
//!
//! A hash names a block *and everything before it*, so a prompt's cached prefix is the longest run
//! of its hashes found here. The index says nothing about who uses a block; see `kv_cache`.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// The keys are hashes already; folding the halves keeps the map's control bits busy.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// From a chained block hash to the block that holds it.
#[derive(Clone, Debug, Default)]
pub(crate) struct PrefixIndex {
    blocks: HashMap<u64, u32, BuildHasherDefault<AlreadyHashed>>,
}

impl PrefixIndex {
    pub(crate) fn get(&self, hash: u64) -> Option<u32> {
        self.blocks.get(&hash).copied()
    }

    /// Remembers a block unless another one holds the same tokens already. Says whether it did.
    pub(crate) fn insert(&mut self, hash: u64, block: u32) -> bool {
        match self.blocks.entry(hash) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(block);
                true
            }
        }
    }

    pub(crate) fn remove(&mut self, hash: u64) {
        self.blocks.remove(&hash);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }
}
