//! Generated text: deterministic words of four bytes, so that a token is four bytes here as it is
//! in the estimate of prompt lengths.

use crate::lengths::mix;

const WORDS: [&str; 32] = [
    " the", " and", " for", " not", " but", " you", " all", " any", " can", " had", " her", " was",
    " one", " our", " out", " day", " get", " has", " him", " his", " how", " man", " new", " now",
    " old", " see", " two", " way", " who", " boy", " did", " its",
];

/// The text of one choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filler {
    seed: u64,
}

impl Filler {
    pub(crate) fn new(seed: u64) -> Self {
        Filler { seed }
    }

    /// The token at `position`.
    pub(crate) fn token(self, position: u32) -> &'static str {
        let draw = mix(self.seed ^ u64::from(position).wrapping_mul(0x2545_F491_4F6C_DD1D));
        WORDS
            .get((draw % WORDS.len() as u64) as usize)
            .copied()
            .unwrap_or(" the")
    }

    /// The first `tokens` tokens.
    pub(crate) fn text(self, tokens: u32) -> String {
        let mut text = String::with_capacity(tokens as usize * 4);
        for position in 0..tokens {
            text.push_str(self.token(position));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Filler, WORDS};

    #[test]
    fn every_token_is_four_bytes_that_json_does_not_escape() {
        assert!(WORDS.iter().all(|word| word.len() == 4));
        let text = Filler::new(3).text(500);
        assert_eq!(text.len(), 2_000);
        assert_eq!(serde_json::to_string(&text).unwrap().len(), 2_002);
        assert_eq!(text, Filler::new(3).text(500));
        assert_ne!(text, Filler::new(4).text(500));
    }
}
