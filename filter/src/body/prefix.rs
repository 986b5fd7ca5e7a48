//! The prefix hashes of a canonical prompt.

use xxhash_rust::xxh64::xxh64;

/// Chained hashes of the whole blocks of `canonical`.
pub(super) fn hashes(seeds: [&[u8]; 2], block_bytes: usize, canonical: &[u8]) -> Vec<u64> {
    let mut chain = 0;
    for seed in seeds {
        chain = xxh64(seed, chain);
    }
    canonical
        .chunks_exact(block_bytes.max(1))
        .map(|block| {
            chain = xxh64(block, chain);
            chain
        })
        .collect()
}
