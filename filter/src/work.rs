//! What a request asks of a model server, by its path.
//!
//! ```text
//!   /v1/chat/completions --longest suffix--> Generate   prefill and decode
//!   /v1/embeddings ------------------------> Encode     prefill alone
//!   /tokenize -----------------------------> Count      nothing of the model
//!   anything else -------------------------> Opaque     unknown: by load alone
//! ```

use picker::RequestFacts;

/// The work of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Work {
    /// A prompt is prefilled and an answer decoded.
    Generate,
    /// A prompt is prefilled; the answer is no text.
    Encode,
    /// A prompt is looked at by the tokenizer alone.
    Count,
    /// Nothing is known of it: neither pictures nor speech nor what we have no name for is cached by
    /// prefix.
    Opaque,
}

impl Work {
    /// The work of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "generate" => Some(Self::Generate),
            "encode" => Some(Self::Encode),
            "count" => Some(Self::Count),
            "opaque" => Some(Self::Opaque),
            _ => None,
        }
    }

    /// What remains of the facts that a body told, whatever its path.
    pub fn limit(self, facts: &mut RequestFacts) {
        match self {
            Self::Generate => {}
            Self::Encode => facts.max_tokens = Some(0),
            Self::Count => {
                facts.model = None;
                facts.max_tokens = Some(0);
                forget_prompt(facts);
            }
            Self::Opaque => {
                facts.max_tokens = None;
                forget_prompt(facts);
            }
        }
    }
}

fn forget_prompt(facts: &mut RequestFacts) {
    facts.prefix.clear();
    facts.turns.clear();
    facts.prompt_bytes = 0;
}

/// The paths that are known, by their ends. Pictures, speech and all others are opaque.
const KNOWN: [(&str, Work); 15] = [
    ("/chat/completions", Work::Generate),
    ("/completions", Work::Generate),
    ("/responses", Work::Generate),
    ("/messages", Work::Generate),
    ("/inference/v1/generate", Work::Generate),
    ("/embeddings", Work::Encode),
    ("/embed", Work::Encode),
    ("/pooling", Work::Encode),
    ("/classify", Work::Encode),
    ("/rerank", Work::Encode),
    ("/score", Work::Encode),
    ("/messages/count_tokens", Work::Count),
    ("/tokenize", Work::Count),
    ("/detokenize", Work::Count),
    ("/render", Work::Count),
];

/// Paths of the configuration beside those that are known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Paths(pub Vec<(String, Work)>);

impl Paths {
    /// The work of a request for `path`: that of the longest known end of it, the configuration's first.
    /// Without a path nothing speaks against the most usual one.
    #[must_use]
    pub fn work(&self, path: Option<&[u8]>) -> Work {
        let Some(path) = path else {
            return Work::Generate;
        };
        let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
        let configured = self.0.iter().map(|(end, work)| (end.as_str(), *work));
        let mut longest = ("", Work::Opaque);
        for (end, work) in configured.chain(KNOWN) {
            if end.len() > longest.0.len() && path.ends_with(end.as_bytes()) {
                longest = (end, work);
            }
        }
        longest.1
    }
}

#[cfg(test)]
mod tests;
