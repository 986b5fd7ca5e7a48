//! The endpoint that everybody would choose who knows nothing but the members: highest random
//! weight.
//!
//! ```text
//!   key ----+--> mix(key, endpoint A) ----.
//!           +--> mix(key, endpoint B) -----+--> the greatest is the favourite
//!           +--> mix(key, endpoint C) ----'
//! ```
//!
//! Workers and gateways that see the same members agree on the favourite of a prompt without talking
//! to each other, so that a burst of one new prompt meets at one endpoint instead of filling the
//! caches of many. When an endpoint leaves, only its own keys move; when one joins, it takes its share
//! of the keys and no other key moves. Thaler and Ravishankar, "Using name-based mappings to increase
//! hit rates" (IEEE/ACM Transactions on Networking, 1998).

use std::net::IpAddr;

use crate::{endpoint::EndpointId, policy::Round, request::RequestFacts};

/// How much of a prompt tells which prompt it is. Shorter, and all prompts behind one small system
/// prompt would meet at one endpoint; longer, and prompts that share a large one would not.
const KEY_BYTES: usize = 1_024;

/// The key of a request's prompt: the chained hash of its first KiB, or of its last whole block if
/// it is shorter. `block_bytes` are the bytes of one block of [`RequestFacts::prefix`]. `None` for a
/// prompt without a whole block.
#[must_use]
pub fn key_of(facts: &RequestFacts, block_bytes: u32) -> Option<u64> {
    let blocks = KEY_BYTES / (block_bytes as usize).max(1);
    let count = blocks.max(1).min(facts.prefix.len());
    facts.prefix.get(count.checked_sub(1)?).copied()
}

/// The view's position of the candidate that `key` belongs to; `None` only without candidates.
///
/// Over many keys every candidate gets its share by [`crate::Endpoint::weight`].
#[must_use]
pub fn favourite(key: u64, round: &Round<'_>) -> Option<u32> {
    let mut best: Option<(u32, Ticket)> = None;
    for (position, endpoint) in round.candidates.iter().zip(round.endpoints()) {
        let ticket = Ticket {
            draw: mix(identity(endpoint.id) ^ key),
            weight: endpoint.weight,
        };
        if best.is_none_or(|(_, best)| ticket.beats(best)) {
            best = Some((*position, ticket));
        }
    }
    best.map(|(position, _)| position)
}

/// What one candidate draws for one key.
#[derive(Debug, Clone, Copy)]
struct Ticket {
    draw: u64,
    weight: f32,
}

impl Ticket {
    /// Whether it wins against `other`. Of equal weights, the usual case, the draws alone decide.
    fn beats(self, other: Self) -> bool {
        if self.weight.to_bits() == other.weight.to_bits() {
            self.draw > other.draw
        } else {
            self.wait() < other.wait()
        }
    }

    /// The draw as the time until a process of rate `weight` fires: the least of such times belongs to
    /// each candidate with a probability proportional to its weight.
    fn wait(self) -> f64 {
        minus_ln(self.draw) / f64::from(self.weight)
    }
}

/// `-ln(draw / 2^64)` to about 1e-5, from operations that give the same bits on every machine, which
/// a library's logarithm need not.
fn minus_ln(draw: u64) -> f64 {
    // Zero has no logarithm; nobody can tell it from one.
    let draw = draw.max(1);
    let zeros = draw.leading_zeros();
    // 1..2, by the 52 bits behind the leading one.
    let fraction = (draw << zeros << 1) >> 12;
    let mantissa = f64::from_bits(1.0_f64.to_bits() | fraction);
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let series = 1.0 + square * (1.0 / 3.0 + square * (1.0 / 5.0 + square * (1.0 / 7.0)));
    f64::from(zeros + 1) * std::f64::consts::LN_2 - 2.0 * s * series
}

/// One number for an endpoint's address and generation.
fn identity(id: EndpointId) -> u64 {
    let host = match id.address.ip() {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            mix((bits >> 64) as u64) ^ bits as u64
        }
    };
    let port = u64::from(id.address.port());
    mix(mix(host ^ port << 48) ^ id.generation)
}

/// The finalizer of SplitMix64: every bit of the input changes each bit of the output with
/// probability one half. The constant keeps 0 from being its own image.
fn mix(bits: u64) -> u64 {
    let mut mixed = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
