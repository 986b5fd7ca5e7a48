//! W3: long prompts among short ones: one request in seven carries retrieved documents.
//!
//! | share | prompt tokens | output tokens |
//! | --- | --- | --- |
//! | 15 % | 200 of a shared instruction, then log-normal documents: median 8,000, sigma 0.25, at most 12,000, never the same twice | ShareGPT |
//! | 85 % | ShareGPT | ShareGPT |
//!
//! Arrivals are Poisson. The length of 8k tokens is the study's; the share is chosen so that the
//! 90th percentile of the time to the first token is that of a long prompt.

use std::sync::Arc;

use model_sim::{
    engine::SimTime,
    lengths::{Lengths, SHAREGPT_OUTPUT, SHAREGPT_PROMPT},
};
use picker::{Entropy, RequestFacts, SplitMix64};

use super::{
    Arrival, BYTES_PER_TOKEN, ConversationId, Pace, PrefixBlocks, Transcript, Workload,
    prompt_bytes,
};

/// The share of requests with documents.
const LONG_SHARE: f64 = 0.15;
/// Tokens of the instruction that all requests with documents begin with.
const INSTRUCTION_TOKENS: u32 = 200;
/// The name of the instruction's segment; requests have even and odd numbers from 2 on.
const INSTRUCTION: u64 = 1;
/// Lengths of the documents of one request.
const DOCUMENTS: Lengths = Lengths {
    median: 8_000.0,
    sigma: 0.25,
    max: 12_000,
};

/// The workload.
#[derive(Debug, Clone)]
pub struct Rag {
    seed: u64,
    pace: Pace,
    entropy: SplitMix64,
    number: u64,
}

impl Rag {
    /// `requests_per_second` (above 0) of both kinds together on average, drawn from `seed`.
    #[must_use]
    pub fn new(seed: u64, requests_per_second: f64) -> Self {
        Self {
            seed,
            pace: Pace::steady(seed, requests_per_second),
            entropy: SplitMix64::new(seed ^ 0x4a6),
            number: 0,
        }
    }
}

impl Workload for Rag {
    fn next_arrival(&mut self) -> Option<Arrival> {
        let at = self.pace.next_at();
        self.number += 1;
        let mut text = Transcript::new(self.seed, PrefixBlocks::default());
        let own = if self.entropy.unit() < LONG_SHARE {
            text.push_message(INSTRUCTION, INSTRUCTION_TOKENS);
            DOCUMENTS.draw(self.entropy.next_u64())
        } else {
            SHAREGPT_PROMPT.draw(self.entropy.next_u64())
        };
        let shared_bytes = u64::from(text.tokens() * BYTES_PER_TOKEN);
        text.push_message(self.number << 1, own);
        let prompt_tokens = text.tokens();
        let facts = RequestFacts {
            prefix: text.prefix().to_vec(),
            turns: text.turns().to_vec(),
            prompt_bytes: shared_bytes + prompt_bytes(own, &mut self.entropy),
            stream: true,
            ..RequestFacts::default()
        };
        let output_tokens = SHAREGPT_OUTPUT.draw(self.entropy.next_u64());
        text.push(self.number << 1 | 1, output_tokens);
        Some(Arrival {
            at,
            conversation: ConversationId(self.number),
            prompt_tokens,
            output_tokens,
            block_hashes: Arc::from(text.kv_blocks()),
            facts,
            lora: None,
            priority: 0,
        })
    }

    fn on_ended(&mut self, _: ConversationId, _: bool, _: SimTime) -> Option<Arrival> {
        None
    }
}
