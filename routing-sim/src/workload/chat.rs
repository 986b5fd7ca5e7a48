//! W1 and, with bursts, W7: single-turn chat with the lengths of the ShareGPT sample, nothing shared.
//!
//! Prompts: median 109, mean about 251 tokens; answers: median 144, mean about 225 (see
//! [`model_sim::lengths`]). Arrivals are Poisson, or come in bursts (see [`Pace`]).

use std::sync::Arc;

use model_sim::{
    engine::SimTime,
    lengths::{Lengths, SHAREGPT_OUTPUT, SHAREGPT_PROMPT},
};
use picker::{Entropy, RequestFacts, SplitMix64};

use super::{Arrival, ConversationId, Pace, PrefixBlocks, Transcript, Workload, prompt_bytes};

/// The workload.
#[derive(Debug, Clone)]
pub struct Chat {
    pace: Pace,
    prompt: Lengths,
    output: Lengths,
    entropy: SplitMix64,
    seed: u64,
    number: u64,
}

impl Chat {
    /// `requests_per_second` (above 0) of them on average as a Poisson process, drawn from `seed`.
    #[must_use]
    pub fn new(seed: u64, requests_per_second: f64) -> Self {
        Self::paced(seed, Pace::steady(seed, requests_per_second))
    }

    /// Arrivals at another pace.
    #[must_use]
    pub fn paced(seed: u64, pace: Pace) -> Self {
        Self {
            pace,
            prompt: SHAREGPT_PROMPT,
            output: SHAREGPT_OUTPUT,
            entropy: SplitMix64::new(seed ^ 0xc4a7),
            seed,
            number: 0,
        }
    }
}

impl Workload for Chat {
    fn next_arrival(&mut self) -> Option<Arrival> {
        let at = self.pace.next_at();
        self.number += 1;
        let prompt_tokens = self.prompt.draw(self.entropy.next_u64());
        let output_tokens = self.output.draw(self.entropy.next_u64());
        let mut text = Transcript::new(self.seed, PrefixBlocks::default());
        text.push_message(self.number << 1, prompt_tokens);
        let facts = RequestFacts {
            prefix: text.prefix().to_vec(),
            turns: text.turns().to_vec(),
            prompt_bytes: prompt_bytes(prompt_tokens, &mut self.entropy),
            stream: true,
            ..RequestFacts::default()
        };
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
