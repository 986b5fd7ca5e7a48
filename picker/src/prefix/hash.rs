//! Chained hashes of a prompt's leading blocks, in one pass over the bytes.
//!
//! ```text
//!   parts --xxh64--> seed
//!   block 0 --xxh64(seed)--> h0 --.
//!   block 1 --xxh64(h0)----> h1 --.      h1 stands for blocks 0 and 1 together
//!   block 2 --xxh64(h1)----> h2 ...
//! ```
//!
//! Two prompts share `hN` exactly when their first `N + 1` blocks and their parts are equal (but for
//! collisions of 64 bits, which cost a worse pick and never a wrong answer). Parts separate what
//! must not share: the pool, a tenant's salt. Whoever does not know the parts cannot aim a prompt at
//! an endpoint's cached blocks. xxh64 because its output is fixed for all time, so that all builds
//! and machines agree, and because it is fast where 64-bit multiplication is all there is (wasm).

use xxhash_rust::xxh64::xxh64;

/// Keeps a turn that ends where a block does apart from that block.
const TURN: u64 = 0x7475_726e_7475_726e;

/// A streaming hasher of prompt blocks. How the input is cut into updates makes no difference.
#[derive(Debug, Clone)]
pub struct PrefixHasher {
    chain: u64,
    block_bytes: usize,
    max_blocks: usize,
    /// The bytes of a block that is not whole yet; shorter than one block.
    partial: Vec<u8>,
    hashes: Vec<u64>,
}

impl PrefixHasher {
    /// A hasher for blocks of `block_bytes` (at least 1) whose hashes depend on `parts`.
    #[must_use]
    pub fn new(parts: &[&[u8]], block_bytes: usize) -> Self {
        Self {
            chain: seed(parts),
            block_bytes: block_bytes.max(1),
            max_blocks: usize::MAX,
            partial: Vec::new(),
            hashes: Vec::new(),
        }
    }

    /// The same hasher, but what lies past the first `max_bytes` of the prompt is ignored.
    #[must_use]
    pub fn with_limit(mut self, max_bytes: usize) -> Self {
        self.max_blocks = max_bytes / self.block_bytes;
        self
    }

    /// Whether further input makes no difference any more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.hashes.len() >= self.max_blocks
    }

    /// Takes the next bytes of the prompt.
    pub fn update(&mut self, mut bytes: &[u8]) {
        if !self.partial.is_empty() {
            let missing = self.block_bytes.saturating_sub(self.partial.len());
            let (head, rest) = bytes.split_at(missing.min(bytes.len()));
            self.partial.extend_from_slice(head);
            bytes = rest;
            if self.partial.len() < self.block_bytes {
                return;
            }
            let block = std::mem::take(&mut self.partial);
            self.push(&block);
            self.partial = block;
            self.partial.clear();
        }
        let mut blocks = bytes.chunks_exact(self.block_bytes);
        for block in &mut blocks {
            if self.is_full() {
                return;
            }
            self.push(block);
        }
        if !self.is_full() {
            self.partial.extend_from_slice(blocks.remainder());
        }
    }

    fn push(&mut self, block: &[u8]) {
        if self.is_full() {
            return;
        }
        self.chain = xxh64(block, self.chain);
        self.hashes.push(self.chain);
    }

    /// A hash of everything taken so far, to the byte: what a [`crate::Turn`] has. Longer prompts that
    /// begin the same way have the same one at the same place. Not for a hasher with a limit, which
    /// forgets what lies past it.
    #[must_use]
    pub fn so_far(&self) -> u64 {
        xxh64(&self.partial, self.chain ^ TURN)
    }

    /// The hashes of all whole blocks, first block first.
    #[must_use]
    pub fn finish(self) -> Vec<u64> {
        self.hashes
    }
}

/// Makes finished hashes depend on `parts` that were not known when the hashing began, such as a
/// model that stands behind the prompt in the body. Equal hashes and parts give equal results.
pub fn rekey(hashes: &mut [u64], parts: &[&[u8]]) {
    let seed = seed(parts);
    for hash in hashes {
        *hash = xxh64(&hash.to_le_bytes(), seed);
    }
}

/// One number for a list of parts; the lengths count, so that no part can run into the next.
fn seed(parts: &[&[u8]]) -> u64 {
    parts.iter().fold(0, |seed, part| {
        let length = xxh64(&(part.len() as u64).to_le_bytes(), seed);
        xxh64(part, length)
    })
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use crate::entropy::{Entropy, SplitMix64};

    fn hashes(parts: &[&[u8]], block_bytes: usize, input: &[u8]) -> Vec<u64> {
        let mut hasher = PrefixHasher::new(parts, block_bytes);
        hasher.update(input);
        hasher.finish()
    }

    #[test]
    fn the_hashes_are_fixed_for_all_time() {
        let input: Vec<u8> = (0..=255).collect();
        assert_eq!(
            hashes(&[b"pool"], 64, &input),
            FIXED,
            "agents, gateways and stored indexes of other builds rely on these values"
        );
    }

    const FIXED: [u64; 4] = [
        2_764_391_247_201_069_255,
        16_848_628_873_129_717_674,
        11_345_376_098_398_421_950,
        10_918_213_753_311_100_882,
    ];

    #[test]
    fn any_split_gives_the_same_hashes() {
        let mut entropy = SplitMix64::new(3);
        let input: Vec<u8> = (0..2_000).map(|_| entropy.next_u64() as u8).collect();
        for block_bytes in [1, 16, 63, 64, 256, 1_999, 2_000, 2_001] {
            let whole = hashes(&[b"a"], block_bytes, &input);
            assert_eq!(whole.len(), input.len() / block_bytes);
            for _ in 0..50 {
                let mut hasher = PrefixHasher::new(&[b"a"], block_bytes);
                let mut rest = input.as_slice();
                while !rest.is_empty() {
                    let (head, tail) = rest.split_at(entropy.below(400).min(rest.len()));
                    hasher.update(head);
                    rest = tail;
                }
                assert_eq!(hasher.finish(), whole, "blocks of {block_bytes} bytes");
            }
        }
    }

    #[test]
    fn a_hash_stands_for_everything_before_it() {
        let same_tail = [[1u8; 32], [9u8; 32]].concat();
        let other_head = [[2u8; 32], [9u8; 32]].concat();
        let one = hashes(&[], 32, &same_tail);
        let two = hashes(&[], 32, &other_head);
        assert_ne!(one[1], two[1], "equal blocks behind unequal ones");
        assert_eq!(one[0], hashes(&[], 32, &same_tail[..40])[0]);
    }

    #[test]
    fn parts_separate() {
        let input = [7u8; 64];
        let variants: [&[&[u8]]; 5] = [&[], &[b"ab"], &[b"a", b"b"], &[b"ab", b""], &[b"", b"ab"]];
        for (at, one) in variants.iter().enumerate() {
            for other in &variants[at + 1..] {
                assert_ne!(
                    hashes(one, 64, &input),
                    hashes(other, 64, &input),
                    "{one:?} and {other:?}"
                );
            }
        }
    }

    #[test]
    fn the_limit_ends_the_hashing() {
        let input = [7u8; 1_000];
        let mut hasher = PrefixHasher::new(&[], 100).with_limit(350);
        hasher.update(&input[..120]);
        assert!(!hasher.is_full());
        hasher.update(&input[120..]);
        assert!(hasher.is_full());
        assert_eq!(hasher.finish(), hashes(&[], 100, &input)[..3]);
    }

    #[test]
    fn a_late_part_separates_too() {
        let plain = hashes(&[], 8, &[7; 64]);
        let mut one = plain.clone();
        let mut two = plain.clone();
        rekey(&mut one, &[b"model-a"]);
        rekey(&mut two, &[b"model-b"]);
        assert!(one.iter().zip(&two).all(|(one, two)| one != two));
        let mut again = plain;
        rekey(&mut again, &[b"model-a"]);
        assert_eq!(one, again);
    }
}
