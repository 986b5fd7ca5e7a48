//! The scan of one request body: cap, early decision and the facts at its end.

use picker::{RequestFacts, Turn, prefix::PrefixHasher};
use xxhash_rust::xxh64::xxh64;

use super::{
    Learned, Media, ModelReading, ScanConfig, ScanOutcome,
    collector::{BYTES_PER_TOKEN, Collector},
    lexer::{Lexer, Stop},
};

/// Bytes of a prompt that must have been read before its density is trusted.
const DENSITY_SAMPLE_BYTES: u64 = 256;

/// What a scan allocates at most beside the canonical prompt: key, model, salt, user, number and frames.
pub const SCRATCH_BYTES: usize = 2_560;

/// Whether more of the body is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The facts may still change: push the next chunk, or finish when there is none.
    NeedMore,
    /// Nothing that follows is looked at: finish.
    Decided,
}

/// Learns the facts of one request from the chunks of its body.
#[derive(Debug, Clone)]
pub struct BodyScanner {
    lexer: Lexer,
    collector: Collector,
    cap_bytes: usize,
    block_bytes: usize,
    strict_model: bool,
    /// Whether bytes past the cap were offered.
    capped: bool,
}

impl BodyScanner {
    /// A scan that has seen nothing yet.
    #[must_use]
    pub fn new(config: &ScanConfig) -> Self {
        Self {
            lexer: Lexer::new(),
            collector: Collector::new(config),
            cap_bytes: config.cap_bytes,
            block_bytes: config.block_bytes,
            strict_model: config.strict_model,
            capped: false,
        }
    }

    /// Reads the next chunk. The end of the document alone decides nothing: what follows may make
    /// it invalid, and no engine begins before the end of the body either.
    pub fn push(&mut self, chunk: &[u8]) -> Progress {
        if !self.capped && self.lexer.stop().is_none() {
            let read = usize::try_from(self.lexer.read()).unwrap_or(usize::MAX);
            let room = self.cap_bytes.saturating_sub(read);
            self.lexer
                .push(chunk.get(..room).unwrap_or(chunk), &mut self.collector);
            self.capped = self.lexer.stop().is_none() && chunk.len() > room;
        }
        if self.capped || self.lexer.stop().is_some() {
            Progress::Decided
        } else {
            Progress::NeedMore
        }
    }

    /// The facts of the request. `end_of_stream` says that everything was pushed, or that trailers
    /// came; `content_length` is the body's announced length, by which the size of a prompt that
    /// was not read to its end is estimated.
    #[must_use]
    pub fn finish(&mut self, end_of_stream: bool, content_length: Option<u64>) -> RequestFacts {
        self.learn(end_of_stream, content_length).facts
    }

    /// As [`Self::finish`], with how the scan ended and how sure the model is.
    #[must_use]
    pub fn learn(&mut self, end_of_stream: bool, content_length: Option<u64>) -> Learned {
        self.learn_as(end_of_stream, content_length, |_| None)
    }

    /// As [`Self::learn`] of a request that is going to be rewritten: `target` says which model the
    /// engine will read in place of the one that was read, if another. The prefix hashes and the facts
    /// are the target's.
    #[must_use]
    pub fn learn_as(
        &mut self,
        end_of_stream: bool,
        content_length: Option<u64>,
        target: impl FnOnce(&str) -> Option<String>,
    ) -> Learned {
        let read = self.lexer.read();
        let ended = !self.capped && (end_of_stream || content_length == Some(read));
        let outcome = self.outcome(ended);
        let complete = outcome == ScanOutcome::Complete;
        let readable = match outcome {
            ScanOutcome::Complete | ScanOutcome::Enough | ScanOutcome::CapReached => true,
            ScanOutcome::Unfinished => !ended,
            ScanOutcome::Empty
            | ScanOutcome::NotJson
            | ScanOutcome::NotObject
            | ScanOutcome::TooDeep => false,
        };
        let facts = if readable {
            self.facts(complete, content_length, target)
        } else {
            RequestFacts::default()
        };
        Learned {
            outcome,
            model_reading: if readable {
                self.collector.model_reading
            } else {
                ModelReading::Absent
            },
            model_certain: complete && facts.model.is_some(),
            model_repeated: self.collector.model_repeated(),
            choices: if readable {
                self.collector.limits.choices()
            } else {
                1
            },
            prompts: if readable {
                self.collector.prompts()
            } else {
                1
            },
            media: if readable {
                self.media(content_length)
            } else {
                Media::default()
            },
            reports_usage: facts.stream && self.collector.include_usage,
            user_hash: readable
                .then(|| self.collector.user().map(|user| xxh64(user, 0)))
                .flatten(),
            scanned_bytes: read,
            model_spans: self.collector.take_model_spans(),
            facts,
        }
    }

    /// The bytes this scan has allocated; never more than [`ScanConfig::prefix_max_bytes`] and
    /// [`SCRATCH_BYTES`].
    #[must_use]
    pub fn scratch_bytes(&self) -> usize {
        self.collector.scratch_bytes() + self.lexer.frames().bytes()
    }

    #[cfg(test)]
    pub(crate) const fn frames(&self) -> &super::frames::Frames {
        self.lexer.frames()
    }

    fn outcome(&self, ended: bool) -> ScanOutcome {
        match self.lexer.stop() {
            Some(Stop::Enough) => ScanOutcome::Enough,
            Some(Stop::NotJson) => ScanOutcome::NotJson,
            Some(Stop::NotObject) => ScanOutcome::NotObject,
            Some(Stop::TooDeep) => ScanOutcome::TooDeep,
            None if self.capped => ScanOutcome::CapReached,
            None if self.lexer.read() == 0 => ScanOutcome::Empty,
            None if ended && self.lexer.is_complete() => ScanOutcome::Complete,
            None => ScanOutcome::Unfinished,
        }
    }

    fn facts(
        &self,
        complete: bool,
        content_length: Option<u64>,
        target: impl FnOnce(&str) -> Option<String>,
    ) -> RequestFacts {
        let model = self
            .collector
            .model()
            .filter(|_| complete || !self.strict_model)
            .map(|model| target(model).unwrap_or_else(|| model.to_owned()));
        let parts = [
            model.as_deref().unwrap_or_default().as_bytes(),
            self.collector.cache_salt.kept(),
        ];
        let mut hasher = PrefixHasher::new(&parts, self.block_bytes);
        let mut rest = self.collector.canonical.as_bytes();
        let mut hashed = 0;
        let mut turns = Vec::with_capacity(self.collector.turns.iter().len());
        for end_bytes in self.collector.turns.iter() {
            let length = end_bytes.saturating_sub(hashed) as usize;
            let (message, behind) = rest.split_at(length.min(rest.len()));
            hasher.update(message);
            (rest, hashed) = (behind, end_bytes);
            turns.push(Turn {
                hash: hasher.so_far(),
                end_bytes,
            });
        }
        hasher.update(rest);
        RequestFacts {
            prefix: hasher.finish(),
            turns,
            model,
            prompt_bytes: self
                .prompt_bytes(content_length)
                .saturating_add(BYTES_PER_TOKEN.saturating_mul(self.media(content_length).tokens)),
            stream: self.collector.stream,
            max_tokens: self.max_tokens(),
            ..RequestFacts::default()
        }
    }

    /// The limit of all answers to all prompts together.
    fn max_tokens(&self) -> Option<u64> {
        let limits = &self.collector.limits;
        let answers = limits.choices().saturating_mul(self.collector.prompts());
        Some(limits.max_tokens()?.saturating_mul(answers))
    }

    /// The images, sounds and files read; one that is cut off goes on to the end of the body.
    fn media(&self, content_length: Option<u64>) -> Media {
        let read = self.lexer.read();
        let rest = content_length.and_then(|length| length.checked_sub(read));
        let cut_off = self.collector.is_inside_media();
        let rest = rest.unwrap_or_default();
        self.collector.media.seen(cut_off.then_some(rest))
    }

    /// The prompt text read, and for a prompt that was not read to its end as much of the rest of
    /// the body as of the part that was read.
    fn prompt_bytes(&self, content_length: Option<u64>) -> u64 {
        let seen = self.collector.prompt_bytes;
        let read = self.lexer.read();
        let Some(remaining) = content_length.and_then(|length| length.checked_sub(read)) else {
            return seen;
        };
        let Some((start, seen_before)) = self.collector.open_prompt() else {
            return seen;
        };
        let body = read.saturating_sub(start);
        let expected = if body < DENSITY_SAMPLE_BYTES {
            remaining
        } else {
            let text = u128::from(seen.saturating_sub(seen_before));
            let expected = u128::from(remaining) * text / u128::from(body);
            u64::try_from(expected).unwrap_or(u64::MAX)
        };
        seen.saturating_add(expected)
    }
}
