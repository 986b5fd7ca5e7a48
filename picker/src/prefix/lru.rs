//! The blocks that one endpoint probably holds, least recently used first out.

use hashbrown::HashTable;

/// No node: the end of the recency list.
const NIL: u32 = u32::MAX;

/// A block's place in the recency list.
#[derive(Debug, Clone, Copy)]
struct Node {
    hash: u64,
    newer: u32,
    older: u32,
}

/// A bounded set of block hashes that forgets the least recently touched one first.
///
/// Nodes live in one vector and point at each other by number, so that a block costs 16 bytes and no
/// allocation of its own.
#[derive(Debug)]
pub(crate) struct BlockLru {
    capacity: usize,
    table: HashTable<u32>,
    nodes: Vec<Node>,
    free: Vec<u32>,
    newest: u32,
    oldest: u32,
}

impl BlockLru {
    /// An empty set of at most `capacity` blocks (at least 1).
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            table: HashTable::new(),
            nodes: Vec::new(),
            free: Vec::new(),
            newest: NIL,
            oldest: NIL,
        }
    }

    /// The most blocks it holds.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many blocks it holds.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Makes `hash` the most recent block.
    ///
    /// Returns whether it is new here; what falls out in exchange is handed to `evicted`.
    pub(crate) fn touch(&mut self, hash: u64, evicted: impl FnMut(u64)) -> bool {
        if let Some(at) = self.find(hash) {
            if at != self.newest {
                self.unlink(at);
                self.link_newest(at);
            }
            return false;
        }
        self.shrink_to(self.capacity.saturating_sub(1), evicted);
        let node = Node {
            hash,
            newer: NIL,
            older: NIL,
        };
        let at = match self.free.pop() {
            Some(at) => {
                if let Some(slot) = self.nodes.get_mut(at as usize) {
                    *slot = node;
                }
                at
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).unwrap_or(NIL)
            }
        };
        self.link_newest(at);
        let nodes = &self.nodes;
        self.table.insert_unique(hash, at, |at| hash_of(nodes, *at));
        true
    }

    /// Changes the bound; what no longer fits is handed to `evicted`, oldest first.
    pub(crate) fn set_capacity(&mut self, capacity: usize, evicted: impl FnMut(u64)) {
        self.capacity = capacity.max(1);
        self.shrink_to(self.capacity, evicted);
    }

    /// Every block, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.table.iter().map(|at| hash_of(&self.nodes, *at))
    }

    fn shrink_to(&mut self, length: usize, mut evicted: impl FnMut(u64)) {
        while self.table.len() > length {
            let at = self.oldest;
            let hash = hash_of(&self.nodes, at);
            let Ok(entry) = self.table.find_entry(hash, |other| *other == at) else {
                return;
            };
            entry.remove();
            self.unlink(at);
            self.free.push(at);
            evicted(hash);
        }
    }

    fn find(&self, hash: u64) -> Option<u32> {
        self.table
            .find(hash, |at| hash_of(&self.nodes, *at) == hash)
            .copied()
    }

    fn unlink(&mut self, at: u32) {
        let Some(Node { newer, older, .. }) = self.nodes.get(at as usize).copied() else {
            return;
        };
        match self.nodes.get_mut(newer as usize) {
            Some(node) => node.older = older,
            None => self.newest = older,
        }
        match self.nodes.get_mut(older as usize) {
            Some(node) => node.newer = newer,
            None => self.oldest = newer,
        }
    }

    fn link_newest(&mut self, at: u32) {
        let older = self.newest;
        if let Some(node) = self.nodes.get_mut(at as usize) {
            node.newer = NIL;
            node.older = older;
        }
        match self.nodes.get_mut(older as usize) {
            Some(node) => node.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
    }
}

fn hash_of(nodes: &[Node], at: u32) -> u64 {
    nodes.get(at as usize).map_or(0, |node| node.hash)
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::entropy::{Entropy, SplitMix64};

    #[test]
    fn the_least_recently_touched_falls_out() {
        let mut lru = BlockLru::new(2);
        let mut out = Vec::new();
        assert!(lru.touch(1, |hash| out.push(hash)));
        assert!(lru.touch(2, |hash| out.push(hash)));
        assert!(!lru.touch(1, |hash| out.push(hash)));
        assert!(lru.touch(3, |hash| out.push(hash)));
        assert_eq!(out, [2]);
        lru.set_capacity(1, |hash| out.push(hash));
        assert_eq!(out, [2, 1]);
        assert_eq!(lru.iter().collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn it_agrees_with_a_plain_list_over_many_steps() {
        let mut entropy = SplitMix64::new(11);
        let mut lru = BlockLru::new(20);
        let mut model: Vec<u64> = Vec::new();
        for step in 0..20_000 {
            let mut out = Vec::new();
            let mut expected = Vec::new();
            if entropy.below(100) == 0 {
                let capacity = 1 + entropy.below(30);
                lru.set_capacity(capacity, |hash| out.push(hash));
                while model.len() > capacity {
                    expected.push(model.remove(0));
                }
            } else {
                let hash = entropy.below(40) as u64;
                let fresh = lru.touch(hash, |hash| out.push(hash));
                assert_eq!(fresh, !model.contains(&hash), "step {step}");
                model.retain(|other| *other != hash);
                while model.len() >= lru.capacity() {
                    expected.push(model.remove(0));
                }
                model.push(hash);
            }
            assert_eq!(out, expected, "step {step}: other evictions");
            assert_eq!(lru.len(), model.len(), "step {step}: other length");
            assert!(lru.nodes.len() <= 30, "step {step}: nodes leak");
        }
    }
}
