//! W1: single-turn chat with the lengths of the ShareGPT sample, Poisson arrivals, nothing shared.

use std::sync::Arc;

use model_sim::{
    engine::SimTime,
    lengths::{Lengths, SHAREGPT_OUTPUT, SHAREGPT_PROMPT},
};
use picker::{Entropy, RequestFacts, SplitMix64};

use super::{
    Arrival, ConversationId, PrefixBlocks, Transcript, Workload, transcript::BYTES_PER_TOKEN,
};

/// The workload.
#[derive(Debug, Clone)]
pub struct Chat {
    requests_per_second: f64,
    prompt: Lengths,
    output: Lengths,
    entropy: SplitMix64,
    seed: u64,
    number: u64,
    now: f64,
}

impl Chat {
    /// `requests_per_second` (above 0) of them on average, drawn from `seed`.
    #[must_use]
    pub fn new(seed: u64, requests_per_second: f64) -> Self {
        Self {
            requests_per_second,
            prompt: SHAREGPT_PROMPT,
            output: SHAREGPT_OUTPUT,
            entropy: SplitMix64::new(seed),
            seed,
            number: 0,
            now: 0.0,
        }
    }
}

impl Workload for Chat {
    fn next_arrival(&mut self) -> Option<Arrival> {
        self.now += -(1.0 - self.entropy.unit()).ln() / self.requests_per_second;
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
            at: SimTime::from_seconds(self.now),
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

/// Bytes of a prompt of so many tokens: four a token on average, a quarter more or less from prompt
/// to prompt, because texts differ.
pub(super) fn prompt_bytes(tokens: u32, entropy: &mut dyn Entropy) -> u64 {
    let noise = 0.75 + 0.5 * entropy.unit();
    (f64::from(tokens) * f64::from(BYTES_PER_TOKEN) * noise).round() as u64
}
