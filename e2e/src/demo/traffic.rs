//! The requests of the demo: conversations that grow turn by turn, long prompts, and adapters.

use serde_json::json;

use crate::rig::RequestSpec;

/// How much of it, fitted to the servers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mix {
    /// Requests per second.
    pub(super) rate: f64,
    /// Characters that each turn adds to a conversation.
    turn_chars: usize,
    /// Turns after which a conversation starts anew.
    turns: u64,
    /// Characters of a long prompt.
    long_chars: usize,
    /// Tokens of a usual answer.
    max_tokens: u64,
    /// Conversations at a time.
    conversations: u64,
}

impl Mix {
    pub(super) const SIMULATED: Self = Self {
        rate: 32.0,
        turn_chars: 700,
        turns: 8,
        long_chars: 9_000,
        max_tokens: 64,
        conversations: 12,
    };

    /// The replicas of `vllm/` read at most 1,024 tokens and share two cores with everything else.
    pub(super) const VLLM: Self = Self {
        rate: 12.0,
        turn_chars: 90,
        turns: 6,
        long_chars: 900,
        max_tokens: 48,
        conversations: 8,
    };

    /// Request number `number`. Without streams every request can be repeated as long as it has not
    /// been answered.
    pub(super) fn request(self, number: u64, streams: bool) -> RequestSpec {
        match number % 4 {
            0 | 1 => self.conversation(number / 4 * 2 + number % 4, streams),
            2 => self.long_prompt(number),
            _ => self.adapter(number, streams),
        }
    }

    fn conversation(self, number: u64, streams: bool) -> RequestSpec {
        let who = number % self.conversations;
        let round = number / self.conversations;
        let (since, turn) = (round / self.turns, round % self.turns);
        let mut messages = vec![json!({
            "role": "system",
            "content": format!("You talk to customer {who}-{since}. {}", text(self.turn_chars, who)),
        })];
        for past in 0..=turn {
            messages.push(json!({"role": "user", "content": text(self.turn_chars, past + 7)}));
        }
        chat("tiny", &json!(messages), self.max_tokens, streams)
    }

    fn long_prompt(self, number: u64) -> RequestSpec {
        let content = format!("Document {number}. {}", text(self.long_chars, number));
        let messages = json!([{"role": "user", "content": content}]);
        chat("tiny", &messages, self.max_tokens / 3, false)
    }

    fn adapter(self, number: u64, streams: bool) -> RequestSpec {
        let adapter = if number % 8 < 4 { "sql" } else { "chat" };
        let content = format!("Question {number}. {}", text(self.turn_chars, number));
        let messages = json!([{"role": "user", "content": content}]);
        chat(adapter, &messages, self.max_tokens, streams)
    }
}

fn chat(model: &str, messages: &serde_json::Value, max_tokens: u64, stream: bool) -> RequestSpec {
    let body = json!({
        "model": model, "messages": messages, "max_tokens": max_tokens, "stream": stream,
    });
    RequestSpec {
        path: "/v1/chat/completions".to_owned(),
        ..RequestSpec::post(body.to_string())
    }
}

/// Text of some length that depends on `seed`.
fn text(chars: usize, seed: u64) -> String {
    const WORDS: [&str; 12] = [
        "the", "report", "for", "region", "shows", "growth", "in", "spring", "and", "less", "of",
        "it",
    ];
    let words = (seed..).map(|at| {
        let pick = (at * at + at / 3 + seed) % WORDS.len() as u64;
        WORDS
            .get(usize::try_from(pick).unwrap_or(0))
            .copied()
            .unwrap_or("and")
    });
    let mut text = String::with_capacity(chars + 8);
    for word in words {
        if text.len() >= chars {
            break;
        }
        text.push_str(word);
        text.push(' ');
    }
    text
}
