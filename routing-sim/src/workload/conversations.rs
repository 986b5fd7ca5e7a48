//! W2 and W2s: chats of several turns, each prompt repeating everything said before.
//!
//! ```text
//!   turn 1  [system prompt][question 1]                                  -> answer 1
//!   turn 2  [system prompt][question 1][answer 1][question 2]            -> answer 2
//!           '------------- cached where turn 1 was ------'
//! ```
//!
//! | | W2 | W2s |
//! | --- | --- | --- |
//! | system prompts | 50 of 256 tokens | 40 of 3,000 tokens |
//! | which one | Zipf, exponent 1 | the same |
//! | turns | geometric, mean 4, at most 8 | geometric, mean 2, at most 8 |
//! | question | log-normal tokens: median 60, sigma 0.8, at most 512 | the same |
//! | answer | ShareGPT's output lengths | the same |
//! | from an answer to the next question | 1 s and exponential, 2 s on average | the same |
//!
//! Conversations begin as a Poisson process whatever the pool does; inside one the loop is closed:
//! the next question comes after the answer ended and was read. So a slow pool delays questions, as
//! it would people, but sheds no load. A conversation whose request failed or was refused ends.
//!
//! The numbers are chosen: published traces of chats tell lengths, but not the pauses together with
//! the texts. The pauses are short, as of agents and quick chats; after long ones the caches have
//! lost the conversation whatever the policy. In W2 most of a cached prompt is the conversation's
//! own, in W2s the system prompt's: all of them together are larger than one pod's KV cache, so a
//! pool that spreads every one of them over all pods keeps computing them.
//!
//! At the start the conversations are in full swing, not all at their first turn: those that would
//! have begun earlier come in at the turn they have reached, with answers that are assumed to have
//! taken 4 s each.

use std::{collections::VecDeque, sync::Arc};

use hashbrown::HashMap;
use model_sim::{
    engine::SimTime,
    lengths::{Lengths, SHAREGPT_OUTPUT},
};
use picker::{Entropy, RequestFacts, SplitMix64};

use super::{
    Arrival, BYTES_PER_TOKEN, ConversationId, Pace, PrefixBlocks, Transcript, Workload, Zipf,
    exponential, prompt_bytes,
};

/// The most turns of a conversation.
const MAX_TURNS: u32 = 8;
/// Lengths of questions; those of ShareGPT's first prompts have whole articles among them.
const QUESTION: Lengths = Lengths {
    median: 60.0,
    sigma: 0.8,
    max: 512,
};
/// Seconds that pass at least between an answer and the next question.
const LEAST_PAUSE: f64 = 1.0;
/// Mean of the exponential part of that pause, in seconds.
const MEAN_FURTHER_PAUSE: f64 = 2.0;
/// What an answer is assumed to take before the experiment begins, in seconds.
const ASSUMED_ANSWER: f64 = 4.0;
/// Seconds before the start from which on conversations may still be going on.
const BEFORE: f64 = 120.0;

/// What distinguishes W2 and W2s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConversationShape {
    /// Different system prompts.
    pub system_prompts: u32,
    /// Tokens of each.
    pub system_tokens: u32,
    /// Mean of the geometric number of turns before it is cut at 8, at least 1.
    pub mean_turns: f64,
}

/// W2: long conversations under small system prompts.
pub const W2: ConversationShape = ConversationShape {
    system_prompts: 50,
    system_tokens: 256,
    mean_turns: 4.0,
};

/// W2s: short conversations under a few big system prompts.
pub const W2S: ConversationShape = ConversationShape {
    system_prompts: 40,
    system_tokens: 3_000,
    mean_turns: 2.0,
};

impl ConversationShape {
    /// The mean number of turns, with the cut at 8.
    #[must_use]
    pub fn turns(&self) -> f64 {
        let goes_on = 1.0 - 1.0 / self.mean_turns;
        (0..MAX_TURNS).map(|turn| goes_on.powi(turn as i32)).sum()
    }
}

/// A conversation between two of its turns.
#[derive(Debug, Clone)]
struct Conversation {
    id: u64,
    entropy: SplitMix64,
    text: Transcript,
    turns_left: u32,
    turn: u32,
}

/// The workload.
#[derive(Debug, Clone)]
pub struct Conversations {
    shape: ConversationShape,
    seed: u64,
    starts: Pace,
    popularity: Zipf,
    number: u64,
    /// Those under way when the experiment begins, by their next question.
    under_way: VecDeque<Arrival>,
    /// The next new conversation's first question.
    fresh: Option<Arrival>,
    open: HashMap<u64, Conversation>,
}

impl Conversations {
    /// `requests_per_second` (above 0) on average, turns of all conversations together, drawn from
    /// `seed`.
    #[must_use]
    pub fn new(seed: u64, requests_per_second: f64, shape: ConversationShape) -> Self {
        let starts_per_second = requests_per_second / shape.turns();
        let mut conversations = Self {
            shape,
            seed,
            starts: Pace::steady(seed, starts_per_second),
            popularity: Zipf::new(shape.system_prompts, 1.0),
            number: 0,
            under_way: VecDeque::new(),
            fresh: None,
            open: HashMap::new(),
        };
        let mut under_way: Vec<Arrival> = Vec::new();
        let mut before = Pace::steady(!seed, starts_per_second);
        loop {
            let start = before.next_seconds() - BEFORE;
            if start >= 0.0 {
                break;
            }
            under_way.extend(conversations.joined_late(start));
        }
        under_way.sort_by_key(|arrival| (arrival.at, arrival.conversation));
        conversations.under_way = under_way.into();
        conversations
    }

    /// A new conversation before its first question.
    fn begin(&mut self) -> Conversation {
        self.number += 1;
        let id = self.number;
        let mut entropy = SplitMix64::new(self.seed.wrapping_mul(0x9e37_79b9) ^ id << 20);
        let system = u64::from(self.popularity.draw(&mut entropy));
        let goes_on = 1.0 - 1.0 / self.shape.mean_turns;
        let mut turns = 1;
        while turns < MAX_TURNS && entropy.unit() < goes_on {
            turns += 1;
        }
        let mut text = Transcript::new(self.seed, PrefixBlocks::default());
        // Segments of system prompts have names below 2^20, those of conversations above.
        text.push_message(system, self.shape.system_tokens);
        Conversation {
            id,
            entropy,
            text,
            turns_left: turns,
            turn: 0,
        }
    }

    /// A conversation that began at `seconds` (negative), at its first question after the start.
    fn joined_late(&mut self, mut seconds: f64) -> Option<Arrival> {
        let mut conversation = self.begin();
        while seconds < 0.0 {
            conversation.ask(SimTime::ZERO)?;
            seconds += ASSUMED_ANSWER + conversation.pause();
        }
        let arrival = conversation.ask(SimTime::from_seconds(seconds))?;
        self.open.insert(conversation.id, conversation);
        Some(arrival)
    }

    fn first_question(&mut self) -> Option<Arrival> {
        let at = self.starts.next_at();
        let mut conversation = self.begin();
        let arrival = conversation.ask(at);
        self.open.insert(conversation.id, conversation);
        arrival
    }
}

impl Conversation {
    /// The next question, and in the transcript its answer; `None` when all is said.
    fn ask(&mut self, at: SimTime) -> Option<Arrival> {
        self.turns_left = self.turns_left.checked_sub(1)?;
        let name = self.id << 20 | u64::from(self.turn) << 1;
        self.turn += 1;
        let question = QUESTION.draw(self.entropy.next_u64());
        let answer = SHAREGPT_OUTPUT.draw(self.entropy.next_u64());
        let known_bytes = u64::from(self.text.tokens() * BYTES_PER_TOKEN);
        self.text.push_message(name, question);
        let facts = RequestFacts {
            prefix: self.text.prefix().to_vec(),
            turns: self.text.turns().to_vec(),
            prompt_bytes: known_bytes + prompt_bytes(question, &mut self.entropy),
            stream: true,
            ..RequestFacts::default()
        };
        let prompt_tokens = self.text.tokens();
        self.text.push_message(name | 1, answer);
        Some(Arrival {
            at,
            conversation: ConversationId(self.id),
            prompt_tokens,
            output_tokens: answer,
            block_hashes: Arc::from(self.text.kv_blocks()),
            facts,
            lora: None,
            priority: 0,
        })
    }

    /// Seconds from an answer to the next question.
    fn pause(&mut self) -> f64 {
        LEAST_PAUSE + exponential(&mut self.entropy, MEAN_FURTHER_PAUSE)
    }
}

impl Workload for Conversations {
    fn next_arrival(&mut self) -> Option<Arrival> {
        if self.fresh.is_none() {
            self.fresh = self.first_question();
        }
        let fresh = self.fresh.as_ref().map(|arrival| arrival.at);
        match self.under_way.front() {
            Some(late) if fresh.is_none_or(|fresh| late.at <= fresh) => self.under_way.pop_front(),
            _ => self.fresh.take(),
        }
    }

    fn on_ended(
        &mut self,
        conversation: ConversationId,
        answered: bool,
        at: SimTime,
    ) -> Option<Arrival> {
        let mut open = self.open.remove(&conversation.0)?;
        if !answered {
            return None;
        }
        let pause = open.pause();
        let arrival = open.ask(SimTime::from_seconds(at.as_seconds() + pause))?;
        self.open.insert(conversation.0, open);
        Some(arrival)
    }
}
