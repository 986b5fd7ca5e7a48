//! Sticky until saturated, the default of llm-d's guides since August 2026, to the letter: its
//! prefix-cache-affinity filter, its token-load scorer and the maximum. Reads no scraped metric. A
//! baseline for comparison.
//!
//! ```text
//!   sticky = endpoints that hold at least 80 % of the prompt's whole blocks
//!     none, or all             -> all endpoints
//!     the best sticky one's wait is over 18 s longer than the best other's -> all endpoints
//!     else                     -> the sticky ones
//!
//!   wait  = tokens in flight / 15,928 per second
//!   score = 1 - min(tokens in flight + this request's uncached tokens, T) / T,  T = 4,194,304
//! ```
//!
//! Tokens in flight are the uncached prompt tokens that this gateway sent and of which no answer has
//! begun: the reference gives them back at the first piece of the answer. The best score wins, equal
//! ones are drawn. The second and third of our list are the next best, sticky ones first.

use super::{Policy, Round, draw, hit};
use crate::{
    config::PrefixConfig,
    decision::{Decision, Reason},
    entropy::Entropy,
};

/// The cached share from which an endpoint is sticky.
const AFFINITY_THRESHOLD: f32 = 0.80;
/// The longest extra wait for a sticky endpoint, in milliseconds.
const MAX_TTFT_PENALTY_MS: u64 = 18_000;
/// Prefill throughput of a whole endpoint, in tokens per second.
const PEAK_PREFILL_THROUGHPUT: u64 = 15_928;
/// Tokens from which an endpoint scores 0. Token counts up to twice as many are whole in single
/// precision.
const TOKEN_LOAD_THRESHOLD: u64 = 4_194_304;
/// Bytes of prompt text per token, as the reference estimates them.
const BYTES_PER_TOKEN: u64 = 4;

/// Sticky until saturated.
#[derive(Debug)]
pub(crate) struct Sticky {
    block_bytes: u32,
    pods: Vec<Pod>,
    totals: Vec<f32>,
    near: Vec<(usize, f32)>,
}

/// What the policy knows of a candidate.
#[derive(Debug, Clone, Copy)]
struct Pod {
    /// Uncached tokens in flight.
    tokens: u64,
    /// Those, and the present request's.
    tokens_with: u64,
    /// Whether it holds enough of the prompt.
    sticky: bool,
}

impl Sticky {
    pub(crate) fn new(prefix: &PrefixConfig) -> Self {
        Self {
            block_bytes: prefix.block_bytes,
            pods: Vec::new(),
            totals: Vec::new(),
            near: Vec::new(),
        }
    }

    /// Whether only the sticky endpoints are left.
    fn sticks(&self) -> bool {
        let least = |sticky| {
            let pods = self.pods.iter().filter(|pod| pod.sticky == sticky);
            pods.map(|pod| pod.tokens).min()
        };
        match (least(true), least(false)) {
            (Some(sticky), Some(other)) => {
                let more = sticky.saturating_sub(other).saturating_mul(1_000);
                more <= MAX_TTFT_PENALTY_MS * PEAK_PREFILL_THROUGHPUT
            }
            _ => false,
        }
    }
}

impl Policy for Sticky {
    fn decide(&mut self, round: &Round<'_>, entropy: &mut dyn Entropy) -> Decision {
        let block_bytes = self.block_bytes;
        self.pods.clear();
        self.pods.extend(round.candidates.iter().map(|position| {
            let tokens = round.local(*position).in_flight.prefill_tokens;
            let cached = u64::from(round.matched(*position));
            let uncached = round.facts.prompt_bytes.saturating_sub(cached) / BYTES_PER_TOKEN;
            Pod {
                tokens,
                tokens_with: tokens.saturating_add(uncached),
                sticky: hit::share(round, *position, block_bytes) >= AFFINITY_THRESHOLD,
            }
        }));
        let sticks = self.sticks();
        self.totals.clear();
        self.totals.extend(self.pods.iter().map(|pod| {
            // The order of the scores, in whole tokens; who was filtered out comes after all others.
            let load = pod.tokens_with.min(TOKEN_LOAD_THRESHOLD);
            let out = sticks && !pod.sticky;
            let behind = if out { TOKEN_LOAD_THRESHOLD + 1 } else { 0 };
            -((load + behind) as f32)
        }));
        let drawn = draw::best(&self.totals, 0.0, round.choices, &mut self.near, entropy);
        let reason = if sticks {
            Reason::PrefixHit
        } else {
            Reason::BestScore
        };
        Decision::new(reason, drawn.positions(round.candidates))
    }

    fn wants_prefix(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::TOKEN_LOAD_THRESHOLD;
    use crate::{
        decision::Reason,
        policy::{PolicyName, fixture::Pool},
    };

    /// Endpoints that hold so many of the prompt's ten blocks and have so many uncached tokens in
    /// flight.
    fn pool(pods: &[(u32, u64)]) -> Pool {
        let mut pool = Pool::of(pods.len());
        pool.prompt_blocks(10);
        for (at, (blocks, tokens)) in pods.iter().enumerate() {
            pool.holds(at, *blocks);
            pool.local[at].in_flight.prefill_tokens = *tokens;
        }
        pool
    }

    fn firsts(pods: &[(u32, u64)]) -> Vec<u32> {
        pool(pods).firsts(PolicyName::Sticky, 1_000)
    }

    #[test]
    fn the_filter_in_one_table() {
        // 18 s at 15,928 tokens a second.
        const MOST: u64 = 286_704;
        type Row<'a> = (&'a str, &'a [(u32, u64)], usize);
        let table: [Row<'_>; 7] = [
            ("80 % is enough", &[(8, 5_000), (7, 0), (0, 0)], 0),
            ("79 % is not", &[(7, 5_000), (0, 0)], 1),
            (
                "the less loaded sticky one",
                &[(10, 9_000), (8, 100), (0, 0)],
                1,
            ),
            ("18 s longer is borne", &[(10, MOST), (0, 0)], 0),
            ("more is not", &[(10, MOST + 1), (0, 0)], 1),
            (
                "the best other counts",
                &[(10, MOST + 1), (0, 5_000), (0, 9_000)],
                0,
            ),
            ("all sticky is all", &[(10, 9_000_000), (10, 1)], 1),
        ];
        for (what, pods, winner) in table {
            let counts = firsts(pods);
            assert_eq!(counts[winner], 1_000, "{what}: {counts:?}");
        }
    }

    #[test]
    fn uncached_tokens_of_this_request_count() {
        // Ten blocks of 256 bytes are 640 tokens, seven of them uncached 448.
        assert_eq!(firsts(&[(3, 192), (0, 1)]), [1_000, 0]);
        assert_eq!(firsts(&[(3, 193), (0, 0)]), [0, 1_000]);
        let even = firsts(&[(3, 192), (0, 0)]);
        assert!(
            even[0].abs_diff(500) < 80,
            "equal loads are drawn: {even:?}"
        );
    }

    #[test]
    fn above_the_threshold_all_score_nothing() {
        let counts = firsts(&[(0, TOKEN_LOAD_THRESHOLD), (0, u64::MAX), (0, 5_000_000)]);
        assert!(
            counts.iter().all(|count| count.abs_diff(333) < 80),
            "{counts:?}"
        );
        let counts = firsts(&[(0, TOKEN_LOAD_THRESHOLD), (0, TOKEN_LOAD_THRESHOLD - 641)]);
        assert_eq!(counts, [0, 1_000], "one token below it is better");
    }

    #[test]
    fn sticky_ones_come_first_in_the_list() {
        let pool = pool(&[(0, 0), (9, 700), (0, 10), (10, 900)]);
        for list in pool.lists(PolicyName::Sticky, 50) {
            assert_eq!(list, [1, 3, 0]);
        }
        assert_eq!(pool.reason(PolicyName::Sticky), Reason::PrefixHit);
    }

    #[test]
    fn a_request_without_a_prompt_goes_by_tokens_alone() {
        let mut pool = Pool::of(3);
        for (local, tokens) in pool.local.iter_mut().zip([30, 10, 20]) {
            local.in_flight.prefill_tokens = tokens;
        }
        assert_eq!(pool.firsts(PolicyName::Sticky, 100), [0, 100, 0]);
        assert_eq!(pool.reason(PolicyName::Sticky), Reason::BestScore);
    }
}
