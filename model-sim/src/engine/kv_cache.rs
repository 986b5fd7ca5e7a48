//! KV blocks: reference counts, the free list in order of last use, and sharing by prefix hash.
//!
//! ```text
//!            allocate: takes the front, forgets its hash
//!   free list  [oldest] <-> ... <-> [newest]      blocks here count as free, but their hash stays
//!            release: count reaches 0, goes to the back      findable until they are taken
//!            share:   found by hash, leaves the list
//! ```
//!
//! The list is threaded through the block table, so every operation takes constant time.

use super::prefix::PrefixIndex;

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Block {
    users: u32,
    hash: Option<u64>,
    previous: u32,
    next: u32,
}

/// All KV blocks of one engine.
#[derive(Clone, Debug)]
pub(crate) struct KvCache {
    blocks: Vec<Block>,
    index: PrefixIndex,
    oldest: u32,
    newest: u32,
    free: u32,
    caching: bool,
}

impl KvCache {
    pub(crate) fn new(blocks: u32, caching: bool) -> Self {
        let blocks = blocks.min(NONE - 1);
        let mut cache = KvCache {
            blocks: Vec::with_capacity(blocks as usize),
            index: PrefixIndex::default(),
            oldest: NONE,
            newest: NONE,
            free: 0,
            caching,
        };
        for number in 0..blocks {
            cache.blocks.push(Block {
                users: 0,
                hash: None,
                previous: NONE,
                next: NONE,
            });
            cache.push_newest(number);
        }
        cache
    }

    pub(crate) fn free(&self) -> u32 {
        self.free
    }

    pub(crate) fn total(&self) -> u32 {
        self.blocks.len() as u32
    }

    pub(crate) fn used(&self) -> u32 {
        self.total() - self.free
    }

    /// How many leading hashes are cached, and how many of those blocks are on the free list.
    pub(crate) fn match_prefix(&self, hashes: &[u64]) -> PrefixMatch {
        let mut found = PrefixMatch::default();
        if !self.caching {
            return found;
        }
        for hash in hashes {
            let Some(block) = self.index.get(*hash).and_then(|number| self.block(number)) else {
                break;
            };
            found.blocks += 1;
            found.unused += u32::from(block.users == 0);
        }
        found
    }

    /// Takes a share of the block with this hash, if there is one.
    pub(crate) fn share(&mut self, hash: u64) -> Option<u32> {
        let number = self.index.get(hash)?;
        let users = self.block(number)?.users;
        if users == 0 {
            self.unlink(number);
        }
        self.block_mut(number)?.users = users + 1;
        Some(number)
    }

    /// Takes the free block that was used the longest time ago; its old contents are forgotten.
    pub(crate) fn allocate(&mut self) -> Option<u32> {
        let number = self.oldest;
        if number == NONE {
            return None;
        }
        self.unlink(number);
        let block = self.block_mut(number)?;
        block.users = 1;
        if let Some(hash) = block.hash.take() {
            self.index.remove(hash);
        }
        Some(number)
    }

    /// Makes a block findable. A block whose tokens another block holds already stays unknown.
    pub(crate) fn remember(&mut self, number: u32, hash: u64) {
        if self.caching
            && self.block(number).is_some_and(|block| block.hash.is_none())
            && self.index.insert(hash, number)
            && let Some(block) = self.block_mut(number)
        {
            block.hash = Some(hash);
        }
    }

    /// Gives back a sequence's blocks, the last one first: the tail of a prompt is the least
    /// likely part to be used again, so it is taken first.
    pub(crate) fn release(&mut self, blocks: &mut Vec<u32>) {
        while let Some(number) = blocks.pop() {
            let Some(block) = self.block_mut(number) else {
                continue;
            };
            block.users = block.users.saturating_sub(1);
            if block.users == 0 {
                self.push_newest(number);
            }
        }
    }

    fn block(&self, number: u32) -> Option<&Block> {
        self.blocks.get(number as usize)
    }

    fn block_mut(&mut self, number: u32) -> Option<&mut Block> {
        self.blocks.get_mut(number as usize)
    }

    fn push_newest(&mut self, number: u32) {
        let last = self.newest;
        if let Some(block) = self.block_mut(number) {
            block.previous = last;
            block.next = NONE;
        }
        match self.block_mut(last) {
            Some(block) => block.next = number,
            None => self.oldest = number,
        }
        self.newest = number;
        self.free += 1;
    }

    fn unlink(&mut self, number: u32) {
        let Some(&Block { previous, next, .. }) = self.block(number) else {
            return;
        };
        match self.block_mut(previous) {
            Some(block) => block.next = next,
            None => self.oldest = next,
        }
        match self.block_mut(next) {
            Some(block) => block.previous = previous,
            None => self.newest = previous,
        }
        self.free -= 1;
    }
}

/// A prompt's cached prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PrefixMatch {
    /// Blocks found.
    pub(crate) blocks: u32,
    /// Of these, blocks that nobody uses now: sharing them takes them off the free list.
    pub(crate) unused: u32,
}

#[cfg(test)]
impl KvCache {
    /// Checks everything that must hold, given every sequence's blocks.
    pub(crate) fn check<'a>(&self, held: impl Iterator<Item = &'a [u32]>) {
        let mut users = vec![0u32; self.blocks.len()];
        for blocks in held {
            for number in blocks {
                users[*number as usize] += 1;
            }
        }
        for (number, block) in self.blocks.iter().enumerate() {
            assert_eq!(block.users, users[number], "users of block {number}");
            if let Some(hash) = block.hash {
                assert_eq!(
                    self.index.get(hash),
                    Some(number as u32),
                    "index of block {number}"
                );
            }
        }
        let hashed = self
            .blocks
            .iter()
            .filter(|block| block.hash.is_some())
            .count();
        assert_eq!(self.index.len(), hashed, "every index entry has its block");
        let (mut walked, mut at, mut before) = (0, self.oldest, NONE);
        while at != NONE {
            let block = &self.blocks[at as usize];
            assert_eq!(
                (block.users, block.previous),
                (0, before),
                "free block {at}"
            );
            walked += 1;
            assert!(walked <= self.blocks.len(), "the free list has a loop");
            (before, at) = (at, block.next);
        }
        assert_eq!(
            (walked as u32, before),
            (self.free, self.newest),
            "free list's length and end"
        );
        assert_eq!(
            walked,
            users.iter().filter(|count| **count == 0).count(),
            "nothing leaks"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{KvCache, PrefixMatch};

    #[test]
    fn shared_blocks_are_freed_when_their_last_user_leaves() {
        let mut cache = KvCache::new(4, true);
        let first = cache.allocate().unwrap();
        cache.remember(first, 11);
        assert_eq!(cache.share(11), Some(first));
        let (mut one, mut other) = (vec![first], vec![first]);
        cache.release(&mut one);
        assert_eq!((cache.free(), cache.used()), (3, 1));
        cache.release(&mut other);
        assert_eq!(cache.free(), 4);
        assert_eq!(
            cache.match_prefix(&[11]),
            PrefixMatch {
                blocks: 1,
                unused: 1
            }
        );
        cache.check(std::iter::empty());
    }

    #[test]
    fn cached_blocks_count_as_free_and_the_oldest_is_forgotten_first() {
        let mut cache = KvCache::new(3, true);
        let mut blocks: Vec<u32> = (0..3).map(|_| cache.allocate().unwrap()).collect();
        for (block, hash) in blocks.clone().into_iter().zip([1, 2, 3]) {
            cache.remember(block, hash);
        }
        assert_eq!(cache.allocate(), None);
        cache.release(&mut blocks);
        assert_eq!(cache.match_prefix(&[1, 2, 3]).blocks, 3);
        // The tail was given back first, so it is the oldest.
        let taken = cache.allocate().unwrap();
        assert_eq!(cache.match_prefix(&[1, 2, 3]).blocks, 2);
        // Using a cached block makes it the newest again.
        let shared = cache.share(2).unwrap();
        cache.release(&mut vec![shared]);
        let second = cache.allocate().unwrap();
        assert_eq!(cache.match_prefix(&[1]).blocks, 0, "1 is now older than 2");
        assert_eq!(cache.match_prefix(&[2]).blocks, 1);
        cache.check([[taken, second].as_slice()].into_iter());
    }

    #[test]
    fn equal_tokens_in_two_blocks_are_remembered_once() {
        let mut cache = KvCache::new(2, true);
        let (one, two) = (cache.allocate().unwrap(), cache.allocate().unwrap());
        cache.remember(one, 5);
        cache.remember(two, 5);
        cache.release(&mut vec![two]);
        assert_eq!(cache.allocate(), Some(two));
        assert_eq!(
            cache.share(5),
            Some(one),
            "the first block is still findable"
        );
    }

    #[test]
    fn nothing_is_remembered_without_prefix_caching() {
        let mut cache = KvCache::new(1, false);
        let block = cache.allocate().unwrap();
        cache.remember(block, 5);
        assert_eq!(cache.match_prefix(&[5]), PrefixMatch::default());
    }
}
