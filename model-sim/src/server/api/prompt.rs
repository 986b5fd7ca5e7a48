//! A prompt as bytes: its length in tokens and the chained hashes of its KV blocks.
//!
//! Four bytes are a token. A chat is written as one byte string in which the next turn of the same
//! conversation begins with the whole of this one, answer included; that is what makes prefix
//! caching work as it does with a real chat template.

use serde_json::Value;
use xxhash_rust::xxh64::xxh64;

const BYTES_PER_TOKEN: usize = 4;

/// Chained xxh64 over blocks of bytes; any split of the input gives the same hashes.
#[derive(Clone, Debug)]
pub(crate) struct BlockChain {
    block_bytes: usize,
    last: u64,
    partial: Vec<u8>,
    hashes: Vec<u64>,
}

impl BlockChain {
    /// `root` separates what must not be shared, such as adapters.
    pub(crate) fn new(block_tokens: u32, root: &str) -> Self {
        let block_bytes = (block_tokens as usize).max(1) * BYTES_PER_TOKEN;
        BlockChain {
            block_bytes,
            last: xxh64(root.as_bytes(), 0),
            partial: Vec::with_capacity(block_bytes),
            hashes: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.block_bytes - self.partial.len();
            let (head, tail) = bytes.split_at(room.min(bytes.len()));
            self.partial.extend_from_slice(head);
            bytes = tail;
            if self.partial.len() == self.block_bytes {
                self.last = xxh64(&self.partial, self.last);
                self.hashes.push(self.last);
                self.partial.clear();
            }
        }
    }

    pub(crate) fn hashes(&self) -> &[u64] {
        &self.hashes
    }
}

/// A prompt's canonical bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prompt {
    pub(crate) bytes: Vec<u8>,
}

impl Prompt {
    pub(crate) fn text(text: &str) -> Self {
        Prompt {
            bytes: text.as_bytes().to_vec(),
        }
    }

    pub(crate) fn token_ids(ids: &[u64]) -> Self {
        Prompt {
            bytes: ids
                .iter()
                .flat_map(|id| (*id as u32).to_le_bytes())
                .collect(),
        }
    }

    /// Tools first, then each message as role and content, then the beginning of the answer.
    pub(crate) fn chat(messages: &[Value], tools: Option<&Value>) -> Self {
        let mut bytes = Vec::new();
        if let Some(tools) = tools.filter(|tools| !tools.is_null()) {
            bytes.extend_from_slice(tools.to_string().as_bytes());
        }
        for message in messages {
            let role = message
                .get("role")
                .and_then(Value::as_str)
                .unwrap_or("user");
            push_role(&mut bytes, role);
            push_content(&mut bytes, message.get("content"));
            for further in ["tool_calls", "name", "tool_call_id"] {
                if let Some(value) = message.get(further).filter(|value| !value.is_null()) {
                    bytes.extend_from_slice(value.to_string().as_bytes());
                }
            }
        }
        push_role(&mut bytes, "assistant");
        Prompt { bytes }
    }

    /// At least 1.
    pub(crate) fn tokens(&self) -> u64 {
        (self.bytes.len().div_ceil(BYTES_PER_TOKEN) as u64).max(1)
    }
}

fn push_role(bytes: &mut Vec<u8>, role: &str) {
    bytes.push(1);
    bytes.extend_from_slice(role.as_bytes());
    bytes.push(2);
}

fn push_content(bytes: &mut Vec<u8>, content: Option<&Value>) {
    match content {
        Some(Value::String(text)) => bytes.extend_from_slice(text.as_bytes()),
        Some(Value::Array(parts)) => {
            for part in parts {
                match part.get("text").and_then(Value::as_str) {
                    Some(text) => bytes.extend_from_slice(text.as_bytes()),
                    None => bytes.extend_from_slice(part.to_string().as_bytes()),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{BlockChain, Prompt};
    use serde_json::json;

    #[test]
    fn any_split_gives_the_same_hashes_and_the_root_separates() {
        let text: Vec<u8> = (0..1_000u32).map(|i| (i % 251) as u8).collect();
        let mut whole = BlockChain::new(16, "");
        whole.push(&text);
        assert_eq!(whole.hashes().len(), 15);
        let mut pieces = BlockChain::new(16, "");
        for piece in text.chunks(7) {
            pieces.push(piece);
        }
        assert_eq!(whole.hashes(), pieces.hashes());
        let mut other = BlockChain::new(16, "sql");
        other.push(&text);
        assert_ne!(whole.hashes()[0], other.hashes()[0]);
    }

    #[test]
    fn the_next_turn_begins_with_this_turn_and_its_answer() {
        let system = json!({"role": "system", "content": "You are terse."});
        let question = json!({"role": "user", "content": [{"type": "text", "text": "Why?"}]});
        let answer = json!({"role": "assistant", "content": " the and for"});
        let again = json!({"role": "user", "content": "And then?"});
        let first = Prompt::chat(&[system.clone(), question.clone()], None);
        let second = Prompt::chat(&[system, question, answer], None);
        let mut expected = first.bytes.clone();
        expected.extend_from_slice(b" the and for");
        assert!(second.bytes.starts_with(&expected));
        assert!(Prompt::chat(&[again], None).tokens() > 0);
    }
}
