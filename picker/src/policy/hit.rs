//! The cached share of a prompt as the reference counts it.

use super::Round;

/// How much of the prompt's whole blocks of `block_bytes` the endpoint at `position` probably holds,
/// `0.0..=1.0`; 0 for a prompt without a whole block.
///
/// The reference counts the whole prompt up to 524,288 bytes (131,072 tokens), ours as much as
/// [`crate::config::PrefixConfig::max_bytes`] allows: a comparison to the letter raises that.
pub(super) fn share(round: &Round<'_>, position: u32, block_bytes: u32) -> f32 {
    let blocks = u32::try_from(round.facts.prefix.len()).unwrap_or(u32::MAX);
    let all = blocks.saturating_mul(block_bytes);
    if all == 0 {
        return 0.0;
    }
    round.matched(position).min(all) as f32 / all as f32
}
